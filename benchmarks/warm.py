"""Reviews of an image that is known, over TLS: the server on one core, wrk on another."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import wrk
from benchmarks.serving import Server, on_core, review, server
from benchmarks.wrk import Load
from tests.support.registry import Registry
from tests.support.samples import SAMPLES

CONNECTIONS: Final = (1, 16)
ROUNDS: Final = 5
SECONDS: Final = 4


def warm() -> None:
    """Reviews a second, how long they take, and what one costs the server."""
    if not wrk.there("warm reviews"):
        return
    image = SAMPLES[_allowed()].image
    with tempfile.TemporaryDirectory() as work, Registry({"app:1": image}) as images:
        folder = Path(work)
        body = review(f"{images.host}/app:1")
        script = folder / "post.lua"
        script.write_text(_script(body))
        print(f"\nwarm reviews: {len(body):,} bytes, TLS, keep-alive, one worker on one core")
        with server(folder / "one", images.host, before=on_core(min)) as one:
            _load(one, script, 1, 1)  # the image is read
            for connections in CONNECTIONS:
                loads = [_load(one, script, connections, SECONDS) for _ in range(ROUNDS)]
                _show(connections, loads)


def _show(connections: int, loads: Sequence[tuple[Load, float]]) -> None:
    rates = [load.rate for load, _ in loads]
    print(
        f"{connections:3} connections: {min(rates):,.0f} {statistics.median(rates):,.0f} "
        f"{max(rates):,.0f} reviews/s (min med max), "
        f"p50 {statistics.median(load.p50 for load, _ in loads):.2f} ms, "
        f"p99 {statistics.median(load.p99 for load, _ in loads):.2f} ms, "
        f"CPU {statistics.median(cpu for _, cpu in loads) * 1e6:.0f} us a review"
    )


def _allowed() -> str:
    """A sample that the policy lets in as it is."""
    return next(name for name, one in SAMPLES.items() if one.fails is None and not one.pod)


def _script(body: bytes) -> str:
    """For wrk: it posts the review, and counts an answer that lets nothing in as an error."""
    return (
        'wrk.method = "POST"\n'
        f"wrk.body = [==[{body.decode()}]==]\n"
        'wrk.headers["Content-Type"] = "application/json"\n'
        "local bad = 0\n"
        "function response(status, headers, body)\n"
        "  if status ~= 200 or not body:find('\"allowed\":true', 1, true) then\n"
        '    print("not allowed: " .. status .. " " .. body)\n'
        "    wrk.thread:stop()\n"
        "  end\n"
        "end\n"
    )


def _load(one: Server, script: Path, connections: int, seconds: int) -> tuple[Load, float]:
    """What wrk saw from another core, and the server's seconds of CPU for one review."""
    before = one.cpu()
    seen = wrk.load(one.url, script, connections, seconds, before=on_core(max))
    return seen, (one.cpu() - before) / seen.requests
