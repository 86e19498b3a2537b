"""Fifty reviews a second over images that change, with everything failing that can: ``make soak``.

A real ``slimgate serve`` as a process, with the layers' processes that it begins, between clients
that ask over TLS and registries on loopback: one that is well, and one for each way of being
unwell. What is right is known of every image. Processes that read layers are killed, connections
are held half-open.

Right is: a good image is let in, once it could be read; what has a shell, runs as root or is a bomb
is denied; and of a registry that is unwell nothing is ever let in. The only answer that is no
review's is the documented 503. What registries are unwell for is asked in a namespace of its own:
it holds as many places to wait as it leaves to the other.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import queue
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.support import forge, registry
from tests.support.registry import Registry
from tests.support.samples import PASSWD, busybox, program
from tests.support.served import JSON, SPACES, Served, children, review, serving

RATE = 50
CLIENTS = 24
POOL = 120
"""Good images; of each kind of bad ones a third as many."""
SHOWN = 12
"""Of each kind, how many are asked for in the same ten seconds."""
TURN = 10.0
UNREAD = ("timeout", "unreachable", "limit: the process")
"""What may be said of a good image instead: not read yet, or its reader was killed."""
SICK = {
    "stalls": {"*/manifests/*": registry.stall()},
    "drips": {"*/blobs/*": registry.drip()},
    "resets": {"*/blobs/*": registry.reset()},
    "lies": {"*/blobs/*": registry.wrong_bytes()},
    "is overrun": {"*": registry.status(429, Retry_After="1")},
    "is down": {"*": registry.status(503)},
    "never ends": {"*/manifests/*": registry.endless()},
    "sends short": {"*/blobs/*": registry.wrong_length(9)},
}


@dataclass(frozen=True)
class Kind:
    """Images of which the same is right."""

    name: str
    images: Sequence[str]
    allowed: bool
    share: int
    """Of a hundred reviews."""
    space: str = SPACES[0]
    """The namespace that it is asked for in."""


@dataclass(frozen=True)
class Sample:
    """What the server's process has at a moment."""

    at: float
    memory: float
    """MiB."""
    files: int
    threads: int


@dataclass
class Soaked:
    """What came of it."""

    seconds: float
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Wrong answers, and what should never be sent."""
    took: list[float] = field(default_factory=list)
    """Seconds, of reviews that were let in."""
    samples: list[Sample] = field(default_factory=list)
    killed: int = 0
    late: int = 0

    def grown(self) -> list[str]:
        """What grew from the first quarter after the warm-up to the last: a sixth of the time."""
        after = [one for one in self.samples if one.at > self.seconds / 6]
        quarter = max(1, len(after) // 4)
        first, last = after[:quarter], after[-quarter:]
        found = []
        for name, slack in (("memory", 16.0), ("files", 24), ("threads", 16)):
            before, now = (median(getattr(one, name) for one in part) for part in (first, last))
            if now > before * 1.1 + slack:
                found.append(f"{name}: {before:.0f} → {now:.0f}")
        return found

    def __str__(self) -> str:
        """A few lines for people."""
        cuts = quantiles(self.took, n=100) if len(self.took) > 1 else [0.0] * 99
        first, last = self.samples[0], self.samples[-1]
        most = max(one.memory for one in self.samples)
        lines = [f"{name}: {count:,}" for name, count in sorted(self.answers.items())]
        return "\n".join(
            [
                *lines,
                f"let in: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms",
                f"memory {first.memory:.0f} → {last.memory:.0f} MiB (most {most:.0f})",
                f"files {first.files} → {last.files}, threads {first.threads} → {last.threads}",
                f"processes that read layers killed: {self.killed}; no client free: {self.late}",
                f"wrong: {len(self.faults)}",
                *self.faults[:9],
            ]
        )


def soak(seconds: float, *, say: bool = False) -> Soaked:
    """Run it for so long."""
    done = Soaked(seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kinds, hosts = _world(stack)
        plain = [word for host in hosts for word in ("--plain-http", host)]
        served = stack.enter_context(serving(folder, *plain))
        over = threading.Event()
        stack.enter_context(_half_open(served.port, over))
        _run(done, kinds, served, over, say=say)
    return done


def _world(stack: ExitStack) -> tuple[list[Kind], list[str]]:
    """Registries and what they have; each image differs from every other."""
    well = stack.enter_context(Registry())
    kinds = []
    for name, count, share in (
        ("good", POOL, 60),
        ("with a shell", POOL // 3, 12),
        ("as root", POOL // 3, 12),
    ):
        names = [f"{name.replace(' ', '-')}/{n}:v1" for n in range(count)]
        for n, one in enumerate(names):
            well.add(one, varied(name, n))
        kinds.append(Kind(name, [f"{well.host}/{one}" for one in names], name == "good", share))
    for n in range(4):
        well.add(f"bomb/{n}:v1", _bomb(n))
    bombs = [f"{well.host}/bomb/{n}:v1" for n in range(4)]
    kinds.append(Kind("a bomb", bombs, allowed=False, share=2))
    hosts = [well.host]
    for name, faults in SICK.items():
        sick = stack.enter_context(Registry(faults=faults))
        names = [f"app/{n}:v1" for n in range(6)]
        for n, one in enumerate(names):
            sick.add(one, varied("good", 1_000 + n))
        hosts.append(sick.host)
        where = [f"{sick.host}/{one}" for one in names]
        what = f"of a registry that {name}"
        kinds.append(Kind(what, where, allowed=False, share=1, space=SPACES[1]))
    return kinds, hosts


def varied(kind: str, number: int) -> forge.Image:
    """An image of that kind with a layer of its own, of 200 KiB that do not compress."""
    own = [forge.file(f"srv/{number}", random.Random(number).randbytes(200 << 10))]
    app = [program("app/server"), forge.file("etc/passwd", PASSWD)]
    if kind == "with a shell":
        app.append(forge.file("app/helper", busybox(), mode=0o755))
    user = "0" if kind == "as root" else "65532"
    return forge.image([app, own], user=user, entrypoint=["/app/server"])


def _bomb(number: int) -> forge.Image:
    """A layer that is a thousand times as big as it looks."""
    return forge.image([[forge.file(f"srv/{number}", bytes(64 << 20))]], user="65532")


def _run(
    done: Soaked,
    kinds: Sequence[Kind],
    served: Served,
    over: threading.Event,
    *,
    say: bool,
) -> None:
    jobs: queue.Queue[tuple[Kind, str] | None] = queue.Queue(CLIENTS * 4)
    begun = time.monotonic()
    clients = [threading.Thread(target=_client, args=(jobs, served, done)) for _ in range(CLIENTS)]
    killer = threading.Thread(target=_kill, args=(served, done, over))
    for thread in (*clients, killer):
        thread.start()
    for number in itertools.count():
        at = time.monotonic() - begun
        if at >= done.seconds:
            break
        if number % (RATE * 2) == 0:
            done.samples.append(sample(served.worker, at))
        if say and number % (RATE * 60) == 0:
            print(f"--- {at / 60:.0f} min\n{done}", flush=True)
        time.sleep(max(0.0, number / RATE - at))
        try:
            jobs.put_nowait(_chosen(kinds, at))
        except queue.Full:
            done.late += 1
    over.set()
    for _ in clients:
        jobs.put(None)
    for thread in (*clients, killer):
        thread.join()
    done.samples.append(sample(served.worker, done.seconds))


def _chosen(kinds: Sequence[Kind], at: float) -> tuple[Kind, str]:
    """An image of those whose turn it is: others every ten seconds."""
    (kind,) = random.choices(kinds, [one.share for one in kinds])
    first = int(at / TURN) * SHOWN // 3
    return kind, kind.images[(first + random.randrange(SHOWN)) % len(kind.images)]


def _client(jobs: queue.Queue[tuple[Kind, str] | None], served: Served, done: Soaked) -> None:
    connection = None
    while (job := jobs.get()) is not None:
        kind, image = job
        connection = connection or served.connection()
        begun = time.monotonic()
        try:
            connection.request(
                "POST", "/validate?timeout=10s", review(image, space=kind.space), JSON
            )
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            done.faults.append(f"{kind.name}: no answer: {error!r}")
            connection.close()
            connection = None
            continue
        if response.getheader("Connection") == "close":
            connection.close()
            connection = None
        _judge(done, kind, image, response, body, time.monotonic() - begun)
    if connection is not None:
        connection.close()


def _judge(
    done: Soaked,
    kind: Kind,
    image: str,
    response: http.client.HTTPResponse,
    body: bytes,
    seconds: float,
) -> None:
    if response.status == 503 and response.getheader("Retry-After"):
        done.answers[f"503, try again, in {kind.space}"] += 1
        return
    if response.status != 200:
        done.faults.append(f"{kind.name}: {response.status} {body[:200]!r}")
        return
    answered = json.loads(body)["response"]
    text = answered.get("status", {}).get("message", "")
    if answered["allowed"]:
        done.answers[f"{kind.name}: let in"] += 1
        done.took.append(seconds)
        if not kind.allowed:
            done.faults.append(f"{kind.name}, {image}: let in")
    elif kind.allowed and any(word in text for word in UNREAD):
        done.answers[f"{kind.name}: not read yet"] += 1
    else:
        done.answers[f"{kind.name}: denied"] += 1
        if kind.allowed:
            done.faults.append(f"{kind.name}, {image}: denied: {text}")


def _kill(served: Served, done: Soaked, over: threading.Event) -> None:
    """One that reads a layer every second where there is one; what begins them every minute."""
    for second in itertools.count(1):
        if over.wait(1):
            return
        for reader in children(served.worker):
            victims = [reader] if second % 60 == 3 else children(reader)[:1]
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    done.killed += 1


@contextmanager
def _half_open(port: int, over: threading.Event) -> Iterator[None]:
    """Twenty clients that begin a handshake, and a byte every half second go on with it."""

    def hold() -> None:
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
                for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9:
                    one.send(bytes([byte]))
                    if over.wait(0.5):
                        return
            over.wait(0.5)

    threads = [threading.Thread(target=hold) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def sample(pid: int, at: float) -> Sample:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Sample(
        at=at,
        memory=int(status["VmRSS"].split()[0]) / 1024,
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
    )


def main() -> None:
    """Run it, print what came of it, and fail where something was wrong or grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    asked = parser.parse_args()
    done = soak(asked.seconds, say=True)
    grown = done.grown()
    print(f"=== {asked.seconds / 60:.0f} min\n{done}\ngrown: {'; '.join(grown) or 'nothing'}")
    sys.exit(bool(done.faults or grown))


if __name__ == "__main__":
    main()
