"""Reviews of an image that is known, over TLS: the server on one core, wrk on another."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import wrk
from benchmarks.rounds import Found
from benchmarks.serving import Server, on_core, review, server
from benchmarks.wrk import Load
from tests.support import forge
from tests.support.registry import Registry
from tests.support.samples import SAMPLES

CONNECTIONS: Final = (1, 16)
ROUNDS: Final = 5
SECONDS: Final = 4


def warm() -> Found:
    """Reviews a second, how long they take, and what one costs the server."""
    if not wrk.there("warm reviews"):
        return {}
    with tempfile.TemporaryDirectory() as work, Registry({"app:1": allowed()}) as images:
        folder, image = Path(work), f"{images.host}/app:1"
        posts = folder / "post.lua"
        posts.write_text(script([image]))
        print(
            f"\nwarm reviews: {len(review(image)):,} bytes, TLS, keep-alive, one worker on one core"
        )
        with server(folder / "one", images.host, before=on_core(min)) as one:
            load(one, posts, 1, 1)  # the image is read
            return {
                str(connections): _show(
                    connections, [load(one, posts, connections, SECONDS) for _ in range(ROUNDS)]
                )
                for connections in CONNECTIONS
            }


def _show(connections: int, loads: Sequence[tuple[Load, float]]) -> Found:
    rates, middle = [load.rate for load, _ in loads], medians(loads)
    print(
        f"{connections:3} connections: {min(rates):,.0f} {middle['rate']:,.0f} "
        f"{max(rates):,.0f} reviews/s (min med max), p50 {middle['p50']:.2f} ms, "
        f"p99 {middle['p99']:.2f} ms, CPU {middle['cpu'] * 1e6:.0f} us a review"
    )
    return middle


def medians(loads: Sequence[tuple[Load, float]]) -> dict[str, float]:
    """Reviews a second, p50 and p99 in ms, seconds of CPU a review."""
    return {
        "rate": statistics.median(load.rate for load, _ in loads),
        "p50": statistics.median(load.p50 for load, _ in loads),
        "p99": statistics.median(load.p99 for load, _ in loads),
        "cpu": statistics.median(cpu for _, cpu in loads),
    }


def allowed() -> forge.Image:
    """A sample that the policy lets in as it is."""
    return next(one.image for one in SAMPLES.values() if one.fails is None and not one.pod)


def script(images: Sequence[str]) -> str:
    """For wrk: it posts a review of each image in turn, and cries where one is not let in.

    Their names are of one length.
    """
    body = review(images[0]).decode().replace(images[0], "@IMAGE@")
    return (
        f"local images = {{{', '.join(map(json.dumps, images))}}}\n"
        f"local body, number = [==[{body}]==], 0\n"
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        "function request()\n"
        "  number = number % #images + 1\n"
        '  return wrk.format(nil, nil, nil, (body:gsub("@IMAGE@", images[number])))\n'
        "end\n"
        "function response(status, headers, body)\n"
        "  if status ~= 200 or not body:find('\"allowed\":true', 1, true) then\n"
        '    print("not allowed: " .. status .. " " .. body)\n'
        "    wrk.thread:stop()\n"
        "  end\n"
        "end\n"
    )


def load(one: Server, posts: Path, connections: int, seconds: int) -> tuple[Load, float]:
    """What wrk saw from another core, and the server's seconds of CPU for one review."""
    before = one.cpu()
    seen = wrk.load(one.url, posts, connections, seconds, before=on_core(max))
    return seen, (one.cpu() - before) / seen.requests
