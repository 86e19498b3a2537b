"""How long reviews of a known image take at 200/s, alone and while a big image is read.

The server and its clients are on one core; the other one reads the big image, and is its registry.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import yaml

from benchmarks import samples
from benchmarks.rounds import Found, one_core
from benchmarks.samples import Sample
from benchmarks.serving import Client, Server, ask, on_core, review, server
from benchmarks.warm import allowed
from tests.cluster.support.processes import eventually, running
from tests.support import forge
from tests.support.registry import Registry, slow
from tests.support.served import POLICY

RATE: Final = 200
"""Reviews a second."""
SECONDS: Final = 5
ROUNDS: Final = 7
CONNECTIONS: Final = 4
LAYERS: Final = 4
"""Of the big image; each is 540 MB unpacked."""
_LAB: Final = "lab"
"""A namespace whose policy bounds no size, or nothing of the big image would be read."""


def steady() -> Found:
    """p50 and p99, and what reading does to them."""
    if len(os.sched_getaffinity(0)) == 1:
        print("\nsteady: skipped, there is no second core")
        return {}
    first, last = on_core(min), on_core(max)
    big = samples.big()
    with (
        tempfile.TemporaryDirectory() as work,
        one_core(),  # the last: of the registry, too, which is in this process
        Registry({"app:1": allowed()}, faults={"*/blobs/*": slow(1e12)}) as images,
        _reader(Path(work), last) as (reader, socket),
        server(
            Path(work) / "server", images.host, options=["--reader", str(socket)],
            policies=_policies(Path(work) / "policies"), before=first,
        ) as one,
        _client(int(first[-1])) as client,
    ):  # fmt: skip
        known = review(f"{images.host}/app:1")
        assert ask(one, known).allowed  # it is read
        measured = partial(load, one, known, RATE, SECONDS)
        print(f"\n{RATE} reviews/s of a known image, alone and while 2.1 GB are read")
        print(
            "      alone: p50   p99 ms    reading: p50   p99 ms   p99 reading / alone"
            "   p99 of the clients' waking"
        )
        rounds = []
        for number in range(ROUNDS):
            alone = client.submit(measured).result()
            images.add("big:1", _copies(big, number))
            with _being_read(one, reader, f"{images.host}/big@{images.images['big:1'].digest}"):
                reading = client.submit(measured).result()
            rounds.append(_show(alone, reading))
        return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _show(alone: Sequence[Took], reading: Sequence[Took]) -> dict[str, float]:
    found = {
        f"{name}, p{percent}": _ms((one.seconds for one in taken), percent)
        for name, taken in (("alone", alone), ("reading", reading))
        for percent in (50, 99)
    }
    found["p99 of alone"] = found["reading, p99"] / found["alone, p99"]
    found["noise, p99"] = _ms((one.late for one in (*alone, *reading)), 99)
    print("{:16.2f}{:9.2f}{:16.2f}{:9.2f}{:22.2f}{:29.2f}".format(*found.values()))
    return found


def _ms(seconds: Iterable[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


@dataclass(frozen=True)
class Took:
    """One review."""

    seconds: float
    """From when it was due to its answer."""
    late: float
    """Seconds after that at which its client, which slept, was woken: the machine's own noise."""


def load(one: Server, body: bytes, rate: float, seconds: float) -> Sequence[Took]:
    """Post a review ``rate`` times a second on kept connections, however long the answers take.

    Raises:
        AssertionError: one was not let in.
    """

    def each(first: int, client: Client) -> list[Took]:
        taken = []
        for number in range(first, int(rate * seconds), CONNECTIONS):
            due = begun + number / rate
            early = due - time.perf_counter()
            time.sleep(max(0.0, early))
            late = time.perf_counter() - due if early > 0 else 0.0
            assert client.ask(body).allowed
            taken.append(Took(time.perf_counter() - due, late))
        return taken

    with ExitStack() as stack, ThreadPoolExecutor(CONNECTIONS) as threads:
        clients = [stack.enter_context(closing(Client(one))) for _ in range(CONNECTIONS)]
        for client in clients:  # connected before the first review is due
            assert client.ask(body).allowed
        begun = time.perf_counter()
        taken = threads.map(each, range(CONNECTIONS), clients)
        return list(chain.from_iterable(taken))


@contextmanager
def _client(core: int) -> Iterator[ProcessPoolExecutor]:
    """A process on that core, which shares nothing with this one."""
    anew = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=anew, initializer=os.sched_setaffinity, initargs=(0, {core})
    ) as process:
        yield process


@contextmanager
def _reader(folder: Path, before: Sequence[str]) -> Iterator[tuple[int, Path]]:
    """``slimgate reader`` on a core of its own: its pid and its socket."""
    socket = folder / "reader.sock"
    command = [*before, sys.executable, "-m", "webhook", "reader", "--socket", str(socket)]
    with running(command, log=folder / "reader.log", ready=socket.exists) as process:
        yield process.pid, socket


def _policies(folder: Path) -> Path:
    """The policy of the known image, and the same for ``_LAB`` without a bound on size."""
    folder.mkdir()
    policy = yaml.safe_load(POLICY.read_text())
    (folder / "shop.yaml").write_text(yaml.safe_dump(policy))
    policy["metadata"]["name"] = _LAB
    policy["spec"]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": _LAB}}
    del policy["spec"]["checks"]["size"]
    (folder / "lab.yaml").write_text(yaml.safe_dump(policy))
    return folder


def _copies(layer: Sample, number: int) -> forge.Image:
    """An image of such layers, none of which was ever read: their gzip headers' times differ."""
    blob, first = layer.path.read_bytes(), number * LAYERS + 1
    blobs = [blob[:4] + at.to_bytes(4, "little") + blob[8:] for at in range(first, first + LAYERS)]
    return image_of(layer, blobs)


def image_of(layer: Sample, blobs: Sequence[bytes]) -> forge.Image:
    """An image of these, each of which inflates to what the layer does."""
    return forge.of_blobs(blobs, layer.ref.media_type, layer.ref.diff_id)


@contextmanager
def _being_read(one: Server, reader: int, image: str) -> Iterator[None]:
    """Within this context an image is read, in the background from its first second on."""
    impatient = replace(one, url=one.url.replace("timeout=10s", "timeout=2s"))
    said = ask(impatient, review(image, namespace=_LAB)).message
    assert "layers read so far" in said, said
    yield
    assert _jobs(reader), "the image was read before the load was over"
    assert eventually(lambda: not _jobs(reader), seconds=300)


def _jobs(reader: int) -> str:
    """The processes that read layers, by pid."""
    return Path(f"/proc/{reader}/task/{reader}/children").read_text()
