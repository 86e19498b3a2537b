"""A slimgate that answers reviews, the reviews, and a client that asks in Python."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.support.served import JSON, POLICY, SPACES, children, serving
from tests.support.served import review as served_review

BYTES: Final = 9_743
"""Of a review with three containers and managedFields, as an API server sends it."""
_UID: Final = "705ab4f5-6393-11e8-b7cc-42010a800002"
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
        pids = (self.pid, *children(self.pid))
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
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
    told = ["--policies", str(policies), "--plain-http", registry, *options]
    with serving(folder, *told, before=before) as served:
        url = f"https://127.0.0.1:{served.port}/validate?timeout=10s"
        yield Server(served.process.pid, url, served.authority)


def on_core(which: Callable[[Iterable[int]], int]) -> list[str]:
    """Words before a command that hold it to the first core (``min``) or the last (``max``)."""
    return ["taskset", "-c", str(which(os.sched_getaffinity(0)))]


def review(image: str, *, namespace: str = SPACES[0]) -> bytes:
    """An AdmissionReview of ``BYTES`` bytes: a pod with three containers of the image."""
    document = json.loads(served_review(image, image, image, space=namespace, uid=_UID))
    fields: dict[str, Any] = {}
    managed = [{"manager": "kubectl", "fieldsV1": {"f:spec": fields}}]
    document["request"]["object"]["metadata"]["managedFields"] = managed
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
        self._connection.request("POST", self._path, body, JSON)
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
