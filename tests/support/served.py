"""``slimgate serve`` as a process of its own, asked over TLS; also two of them, of both modes.

with serving(folder, "--ca-file", ca) as served:
    served.ask("registry.example/app:1")        # the response of the AdmissionReview
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "policies" / "distroless-nonroot.yaml"
JSON = {"Content-Type": "application/json"}
MODES: Mapping[str, Sequence[str]] = {"Enforce": (), "audit-only": ("--audit-only",)}
"""What a server of each is told; a namespace with an Enforce policy is asked about in both."""
SPACES = ("shop", "next-door")
"""Namespaces, judged by the same policy."""
_NUMBER = itertools.count()


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    process: subprocess.Popen[bytes]
    port: int
    authority: str
    """The file of its CA."""
    log: Path

    @property
    def worker(self) -> int:
        """The pid of the process that answers: another one once it was killed."""
        return children(self.process.pid)[0]

    def connection(self, timeout: float = 40) -> http.client.HTTPSConnection:
        """A connection that trusts its CA, and no other."""
        trust = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=timeout)

    def ask(self, *images: str, seconds: int = 30) -> dict[str, Any]:
        """What it answers to a pod of these images, within that ``timeout``; HTTP 200.

        By default within the longest one that there is: a test machine may stand still for seconds.
        """
        status, body = self.post(review(*images), seconds=seconds)
        assert status == 200, body
        response: dict[str, Any] = json.loads(body)["response"]
        return response

    def post(self, body: bytes, *, seconds: int = 30) -> tuple[int, bytes]:
        """The status and the body that answer any bytes."""
        with closing(self.connection()) as one:
            one.request("POST", f"/validate?timeout={seconds}s", body, JSON)
            response = one.getresponse()
            return response.status, response.read()

    def get(self, path: str) -> str:
        """What is there: ``/metrics``, ``/healthz``."""
        with closing(self.connection()) as one:
            one.request("GET", path)
            return one.getresponse().read().decode()

    def said(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return _lines(self.log)


@contextmanager
def serving(
    folder: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    root: Path = ROOT,
) -> Iterator[Served]:
    """A server of the policy ``distroless-nonroot`` and the namespaces ``SPACES``.

    Args:
        folder: for its files.
        options: for ``slimgate serve``, besides.
        env: variables, besides.
        before: a command that runs it: ``unshare``.
        root: the folder of the sources.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "namespaces.yaml").write_text("\n---\n".join(map(_space, SPACES)))
    policies = () if "--policies" in options else ("--policies", str(POLICY))
    command = [
        *(*before, sys.executable, "-m", "webhook", "serve", "--listen", "127.0.0.1:0"),
        *(*policies, "--namespaces", str(folder / "namespaces.yaml"), "--allow-loopback"),
        *("--lame-duck", "1ms", "--drain", "10s", *options),
    ]
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(root), "NO_PROXY": "*", **(env or {})},
            cwd=root,
        )
    try:
        said = _said(process, log, reads="--reader" not in options)
        port = int(said["listening"]["validate"].rpartition(":")[2].partition("/")[0])
        yield Served(process, port, said["self-signed"]["ca"], log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def both(folder: Path, *options: str, **more: Any) -> Iterator[dict[str, Served]]:
    """A server of each mode, with the same options."""
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        begun = [serving(folder / mode, *options, *told, **more) for mode, told in MODES.items()]
        servers = dict(zip(MODES, threads.map(stack.enter_context, begun), strict=True))
        yield servers
        for served in servers.values():
            served.process.terminate()


def review(*images: str, space: str = SPACES[0], uid: str | None = None) -> bytes:
    """An AdmissionReview of a new pod; each has a uid of its own, unless it is told."""
    containers = [{"name": f"app-{n}" if n else "app", "image": i} for n, i in enumerate(images)]
    request = {
        "uid": uid or f"00000000-0000-4000-8000-{next(_NUMBER):012}",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "app",
        "namespace": space,
        "operation": "CREATE",
        "userInfo": {"username": "tests"},
        "object": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "app", "namespace": space},
            "spec": {"containers": containers},
        },
    }
    document = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(document).encode()


def _space(name: str) -> str:
    metadata = {"name": name, "labels": {"slimgate.dev/policy": "distroless-nonroot"}}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def _said(
    process: subprocess.Popen[bytes], log: Path, *, reads: bool
) -> Mapping[str, Mapping[str, str]]:
    """What it logged of itself, by event, once it listens; ``reads``: and its own reader does."""
    while process.poll() is None:
        found = {one["event"]: one for one in _lines(log)}
        workers = children(process.pid) if "listening" in found else []
        if workers and (not reads or can_read(process.pid)):
            return found
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def can_read(server: int) -> bool:
    """Whether what reads layers for it can be asked: on a busy machine that takes some seconds."""
    with suppress(OSError):
        for reader in (one for worker in children(server) for one in children(worker)):
            command = Path(f"/proc/{reader}/cmdline").read_text().split("\0")
            if "--socket" in command:
                return Path(command[command.index("--socket") + 1]).exists()
    return False


def _lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a log that are whole, but for what ends a start."""
    whole = log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


def children(pid: int) -> list[int]:
    """The pids of a process's children; none of one that is gone."""
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
