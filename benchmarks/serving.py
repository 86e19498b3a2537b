"""A slimgate that answers reviews, the reviews, and a client that asks in Python."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

BYTES: Final = 9_743
"""Of a review with three containers and managedFields, as an API server sends it."""
POLICY: Final = Path(__file__).parent.parent / "policies" / "distroless-nonroot.yaml"
SPACE: Final = "shop"
"""The namespace that ``POLICY`` judges."""
_JSON: Final = {"Content-Type": "application/json"}
_OK: Final = 200


@dataclass(frozen=True)
class Server:
    """One that runs."""

    pid: int
    url: str
    """Where reviews go, with the API server's timeout."""
    authority: str
    """The PEM file of the CA that vouches for it."""

    def cpu(self) -> float:
        """Seconds computed so far, by the arbiter and its worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in (self.pid, *children)]
        ticks = sum(
            int(ticks) for stat in stats for ticks in stat.rpartition(")")[2].split()[11:13]
        )
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(
    folder: Path,
    registry: str,
    *,
    options: Sequence[str] = (),
    policies: Path = POLICY,
    before: Sequence[str] = (),
) -> Iterator[Server]:
    """A server of its own, with its log in ``folder``, which is made.

    Args:
        folder: for what it needs and writes.
        registry: ``host:port`` on the loopback, spoken to by http.
        options: more, of ``slimgate serve``.
        policies: a file or a folder.
        before: words before the command: ``taskset``.
    """
    folder.mkdir()
    log, namespaces = folder / "log", folder / "namespaces.yaml"
    namespaces.write_text(json.dumps(_namespace()))
    command = [sys.executable, "-m", "webhook", "serve", "--listen", "127.0.0.1:0"]
    command += ["--policies", str(policies), "--namespaces", str(namespaces)]
    command += ["--plain-http", registry, "--allow-loopback", *options]
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - ours
            [*before, *command],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "NO_PROXY": "*"},
        )
    try:
        said = _said(process, log)
        url = f"{said['listening']['validate']}?timeout=10s"
        yield Server(process.pid, url, said["self-signed"]["ca"])
    finally:
        process.send_signal(signal.SIGINT)  # SIGTERM would have it answer on for a while
        process.wait(60)


def _said(process: subprocess.Popen[bytes], log: Path) -> Mapping[str, Mapping[str, str]]:
    """What it logged of itself, by event, once it listens."""
    while process.poll() is None:
        found = {one["event"]: one for one in map(json.loads, log.read_text().splitlines())}
        if "listening" in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"the server ended: {log.read_text()}")


def on_core(which: Callable[[Iterable[int]], int]) -> list[str]:
    """Words before a command that hold it to the first core (``min``) or the last (``max``)."""
    return ["taskset", "-c", str(which(os.sched_getaffinity(0)))]


def review(image: str, *, namespace: str = SPACE) -> bytes:
    """An AdmissionReview of ``BYTES`` bytes: a pod with three containers of the image."""
    containers = [{"name": f"app-{number}", "image": image} for number in range(3)]
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {"containers": containers},
    }
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "app",
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {"username": "admin"},
        "object": pod,
    }
    document = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    fields: dict[str, Any] = {}
    pod["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": fields}}]
    while len(json.dumps(document)) < BYTES:
        fields[f"f:terminationMessagePath-{len(fields)}"] = {}
    return json.dumps(document).encode()


@dataclass(frozen=True)
class Verdict:
    """What a review came to."""

    allowed: bool
    message: str
    """Of a denial."""


class Client:
    """A connection that is kept; to be closed."""

    def __init__(self, server: Server) -> None:
        """Connect when first asked."""
        where = urlsplit(server.url)
        self._path = f"{where.path}?{where.query}"
        trust = ssl.create_default_context(cafile=server.authority)
        self._connection = http.client.HTTPSConnection(where.netloc, timeout=40, context=trust)

    def ask(self, body: bytes) -> Verdict:
        """Post a review.

        Raises:
            AssertionError: it was answered with an error.
        """
        self._connection.request("POST", self._path, body, _JSON)
        response = self._connection.getresponse()
        said = response.read()
        if response.status != _OK:
            raise AssertionError(f"{response.status} {said[:500]!r}")
        answered = json.loads(said)["response"]
        return Verdict(answered["allowed"], answered.get("status", {}).get("message", ""))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def ask(server: Server, body: bytes) -> Verdict:
    """Post one review, on a connection of its own."""
    with closing(Client(server)) as client:
        return client.ask(body)


def _namespace() -> dict[str, Any]:
    labels = {"slimgate.dev/policy": "distroless-nonroot"}
    metadata = {"name": SPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
