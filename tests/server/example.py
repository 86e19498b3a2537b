"""A server as a process, for tests that need real sockets: ``python -m tests.server.example``.

Its judge is a value: it denies images that have ``bad`` in their name, warns of ``old`` ones,
fails on ``bug`` and takes a second for ``slow`` ones.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.server.judges import by_name
from webhook.metrics import Metrics
from webhook.review.answer import answer
from webhook.server.app import create_app
from webhook.server.log import LogAndCount, json_log
from webhook.server.serve import Serving, serve


def build():
    log, metrics = json_log(sys.stderr), Metrics("test")
    recorder = LogAndCount(log, metrics)
    return create_app(
        lambda body, deadline: answer(body, by_name, deadline=deadline, recorder=recorder),
        metrics=metrics,
        ready=lambda: None,
        log=log,
        clock=time.monotonic,
        max_in_flight=8,
    )


def main(threads="4", cert=None, key=None):
    serve(
        build,
        Serving(
            listen="127.0.0.1:0",
            metrics="127.0.0.1:0",
            threads=int(threads),
            cert=Path(cert) if cert else None,
            key=Path(key) if key else None,
        ),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
