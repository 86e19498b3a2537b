"""Pods asked for at a steady rate, good and bad in turn, while something happens to the cluster.

Each is a server-side dry run: the whole way through admission, and nothing is stored. Whatever is
not the right answer (a good pod let in, a bad one refused by slimgate's own words) is kept.
"""

from __future__ import annotations

import http.client
import itertools
import json
import queue
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

CREATED, FORBIDDEN = 201, 403
DENIED = b'admission webhook \\"pods.slimgate.dev\\" denied the request'
_DYING = 0.25
_CLIENTS = 24
"""Connections: enough for the rate where answers take a third of a second."""
_BEHIND = 10.0
"""Seconds that all may be late: as long as a busy machine stands still, and some more."""


@dataclass(frozen=True)
class Asked:
    """One pod that was asked for."""

    at: float
    """Seconds since the load began."""
    seconds: float
    good: bool
    status: int
    """0 where the connection broke."""
    said: str

    @property
    def right(self) -> bool:
        """Whether it was answered, and as it should be."""
        return self.status == CREATED if self.good else self.said == "denied"


@dataclass
class Load:
    """What came of it; filled while it runs."""

    started: float
    """On the monotonic clock."""
    asked: list[Asked] = field(default_factory=list)
    late: int = 0
    """Pods that no client was free for in time: the rate was not held."""

    @property
    def failed(self) -> list[Asked]:
        """Neither let in nor denied by slimgate: a webhook that did not answer, an error."""
        return [one for one in self.asked if not one.right and one.said != "wrong"]

    @property
    def wrong(self) -> list[Asked]:
        """A good pod that slimgate denied, or a bad one that was let in."""
        return [one for one in self.asked if one.said == "wrong"]

    def cut_off(self, before: float, after: float) -> list[Asked]:
        """What was being asked, and not answered yet, between moments of the monotonic clock.

        A process that is killed in between takes a moment to go: what reaches it is lost, too.
        """
        first, last = before - self.started, after - self.started + _DYING
        return [one for one in self.asked if one.at <= last and one.at + one.seconds >= first]

    def summary(self) -> str:
        """``1000 asked, 0 failed, 0 wrong; p50 9 ms, p99 41 ms``."""
        times = [one.seconds * 1000 for one in self.asked]
        cuts = quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
        return (
            f"{len(self.asked)} asked, {len(self.failed)} failed, {len(self.wrong)} wrong; "
            f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, worst {max(times, default=0):.0f} ms"
        )

    def faults(self) -> str:
        """The first of each kind that went wrong."""
        kinds = Counter(
            (one.good, one.status, one.said[:300]) for one in self.asked if not one.right
        )
        return "\n".join(f"{count} × good={g} {s}: {said}" for (g, s, said), count in kinds.items())


@contextmanager
def load(
    url: str,
    *,
    token: str,
    trust: ssl.SSLContext,
    good: Mapping[str, Any],
    bad: Mapping[str, Any],
    namespace: str,
    rate: float = 50.0,
) -> Iterator[Load]:
    """Ask for pods, ``rate`` a second, until the block ends; every answer has come by then.

    Args:
        url: of the API server: ``https://127.0.0.1:6443``.
        token: a bearer token that may create pods there.
        trust: trust in the API server.
        good: a Pod that is let in.
        bad: a Pod that slimgate denies.
        namespace: where.
        rate: pods a second, by the clock, however long the answers take.
    """
    jobs: queue.Queue[bool | None] = queue.Queue(maxsize=int(rate * _BEHIND))
    started = time.monotonic()
    done = Load(started)
    ask = _asker(url.removeprefix("https://"), token, trust, namespace, {True: good, False: bad})
    clients = [threading.Thread(target=_client, args=(jobs, ask, done)) for _ in range(_CLIENTS)]
    stop = threading.Event()
    clock = threading.Thread(target=_schedule, args=(jobs, rate, stop, done))
    for thread in (*clients, clock):
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        clock.join()
        for _ in clients:
            jobs.put(None)
        for client in clients:
            client.join()


def _schedule(
    jobs: queue.Queue[bool | None],
    rate: float,
    stop: threading.Event,
    done: Load,
) -> None:
    for number in itertools.count():
        due = done.started + number / rate
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        try:
            jobs.put_nowait(number % 2 == 0)
        except queue.Full:
            done.late += 1


def _client(jobs: queue.Queue[bool | None], ask: Callable[..., Any], done: Load) -> None:
    connection = None
    while (good := jobs.get()) is not None:
        begun = time.monotonic()
        connection, status, said = ask(connection, good=good)
        now = time.monotonic()
        done.asked.append(Asked(begun - done.started, now - begun, good, status, said))
    if connection is not None:
        connection.close()


def _asker(
    host: str, token: str, trust: ssl.SSLContext, namespace: str, pods: Mapping[bool, Any]
) -> Callable[..., tuple[http.client.HTTPSConnection | None, int, str]]:
    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    bodies = {good: json.dumps(document).encode() for good, document in pods.items()}

    def ask(
        connection: http.client.HTTPSConnection | None, *, good: bool
    ) -> tuple[http.client.HTTPSConnection | None, int, str]:
        connection = connection or http.client.HTTPSConnection(host, timeout=40, context=trust)
        try:
            connection.request("POST", path, bodies[good], headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return None, 0, f"{type(error).__name__}: {error}"
        return connection, response.status, _said(response.status, body, good=good)

    return ask


def _said(status: int, body: bytes, *, good: bool) -> str:
    denied = status == FORBIDDEN and DENIED in body
    if (good and denied) or (not good and status == CREATED):
        return "wrong"
    if denied:
        return "denied"
    return "created" if status == CREATED else body.decode(errors="replace")
