"""Reviews of an image that is known, over TLS: the server on one core, wrk on another."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.wrk import Load
from tests.support.registry import Registry
from tests.support.samples import SAMPLES

BYTES: Final = 9_743
"""Of a review with three containers and managedFields, as an API server sends it."""
CONNECTIONS: Final = (1, 16)
ROUNDS: Final = 5
SECONDS: Final = 4
_POLICY: Final = Path(__file__).parent.parent / "policies" / "distroless-nonroot.yaml"
_NAMESPACE: Final = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"slimgate.dev/policy": "distroless-nonroot"}},
}


@dataclass(frozen=True)
class Server:
    """One that runs, and where its files are."""

    pid: int
    url: str
    folder: Path

    def cpu(self) -> float:
        """Seconds computed so far, by the arbiter and its worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in (self.pid, *children)]
        ticks = sum(
            int(ticks) for stat in stats for ticks in stat.rpartition(")")[2].split()[11:13]
        )
        return ticks / os.sysconf("SC_CLK_TCK")


def warm() -> None:
    """Reviews a second, how long they take, and what one costs the server."""
    if not wrk.there("warm reviews"):
        return
    image = SAMPLES[_allowed()].image
    with tempfile.TemporaryDirectory() as work, Registry({"app:1": image}) as images:
        folder = Path(work)
        body = _review(f"{images.host}/app:1")
        (folder / "post.lua").write_text(_script(body))
        print(f"\nwarm reviews: {len(body):,} bytes, TLS, keep-alive, one worker on one core")
        with _server(folder, images.host) as server:
            _load(server, 1, 1)  # the image is read
            for connections in CONNECTIONS:
                _show(connections, [_load(server, connections, SECONDS) for _ in range(ROUNDS)])


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


def _review(image: str) -> bytes:
    """An AdmissionReview of ``BYTES`` bytes."""
    containers = [{"name": f"app-{number}", "image": image} for number in range(3)]
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"containers": containers},
    }
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "app",
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "admin"},
        "object": pod,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    fields: dict[str, Any] = {}
    pod["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": fields}}]
    while len(json.dumps(review)) < BYTES:
        fields[f"f:terminationMessagePath-{len(fields)}"] = {}
    return json.dumps(review).encode()


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


@contextmanager
def _server(folder: Path, registry: str) -> Iterator[Server]:
    """A server of its own, on one core."""
    (folder / "namespaces.yaml").write_text(json.dumps(_NAMESPACE))
    command = [sys.executable, "-m", "webhook", "serve", "--listen", "127.0.0.1:0"]
    command += ["--policies", str(_POLICY), "--namespaces", str(folder / "namespaces.yaml")]
    command += ["--plain-http", registry, "--allow-loopback"]
    log = folder / "log"
    with log.open("w") as errors:
        server = subprocess.Popen(  # noqa: S603 - ours
            [*_on_core(min), *command], stderr=errors, env={**os.environ, "NO_PROXY": "*"}
        )
    try:
        yield Server(server.pid, f"{_listening(server, log)}?timeout=10s", folder)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _on_core(which: Any) -> list[str]:
    return ["taskset", "-c", str(which(os.sched_getaffinity(0)))]


def _listening(server: subprocess.Popen[bytes], log: Path) -> str:
    while server.poll() is None:
        for line in log.read_text().splitlines():
            said = json.loads(line)
            if said["event"] == "listening":
                return str(said["validate"])
        time.sleep(0.1)
    raise AssertionError(f"the server ended: {log.read_text()}")


def _load(server: Server, connections: int, seconds: int) -> tuple[Load, float]:
    """What wrk saw from another core, and the server's seconds of CPU for one review."""
    before = server.cpu()
    seen = wrk.load(
        server.url, server.folder / "post.lua", connections, seconds, before=_on_core(max)
    )
    return seen, (server.cpu() - before) / seen.requests
