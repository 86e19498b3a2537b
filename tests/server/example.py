"""A server as a process, for tests that need real sockets: ``python -m tests.server.example``.

Its argument is JSON: the fields of ``Serving``, and ``stuck`` for the application. Its judge is
a value: it denies images that have ``bad`` in their name, warns of ``old`` ones, fails on ``bug``,
waits for a hundredth of a second for ``short`` ones, a second for ``slow`` and twenty for ``hang``;
for ``held`` ones, as long as the file ``gate`` is there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.server.judges import by_name
from webhook.cluster.keeper import Kept
from webhook.metrics import Metrics
from webhook.review.answer import answer
from webhook.server.app import create_app
from webhook.server.log import LogAndCount, json_log
from webhook.server.places import PATIENCE, STUCK
from webhook.server.serve import Serving, serve


def wait(gate):
    while gate.exists():
        time.sleep(0.01)


def build(places, stuck, patience, gate):
    def judge(workload, deadline):
        if any("held" in one.image for one in workload.containers):
            deadline.before_waiting()
            wait(gate)
        return by_name(workload, deadline)

    log, metrics = json_log(sys.stderr), Metrics("test")
    recorder = LogAndCount(log, metrics)
    return create_app(
        lambda body, deadline: answer(body, judge, deadline=deadline, recorder=recorder),
        metrics=metrics,
        ready=lambda: None,
        log=log,
        clock=time.monotonic,
        max_in_flight=places,
        stuck=stuck,
        patience=patience,
    )


def main(
    gate,
    held,
    *,
    threads=4,
    lame_duck=0.1,
    stuck=STUCK,
    patience=PATIENCE,
    kept=None,
    **more,
):
    more.setdefault("listen", "127.0.0.1:0")
    paths = {name: Path(more.pop(name)) for name in ("cert", "key", "client_ca") if name in more}
    serving = Serving(
        metrics="127.0.0.1:0",
        threads=threads,
        lame_duck=lame_duck,
        kept=None if kept is None else Kept(Path(kept)),
        **paths,
        **more,
    )

    def built():
        if held:
            wait(Path(gate))
        return build(threads, stuck, patience, Path(gate))

    serve(built, serving)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
