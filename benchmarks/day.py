"""A day of a cluster, on a clock of its own: what is fetched, and where answers come from.

The gatherer, the caches and the stores are the product's; the registry is in memory.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from redis import Redis

from benchmarks import readers, samples
from benchmarks.cluster import Images, Pod, Size, created, images
from benchmarks.foretold import (
    NOON,
    Counts,
    Life,
    by_file,
    by_memory,
    by_server,
    foretold,
    on_average,
)
from benchmarks.rounds import Found, timed
from tests.cluster.support.processes import kept
from tests.support import valkey
from webhook.gather.gatherer import Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import Document, ImageRequest, ImageSource, Unread, unread
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import MIB, Deadline, Limits
from webhook.store.shelf import Outcome, Shelf, Trouble
from webhook.store.sqlite import SQLite
from webhook.store.valkey import Server, Valkey
from webhook.wiring.caches import Shelved, caches

CLUSTER: Final = Size(pods=10_000, images=600, bases=80, replicas=3)
ON_PAPER: Final = Size(pods=100_000, images=600, bases=80, replicas=50, nodes=400)
TAG_SECONDS: Final = 30.0
"""As ``slimgate serve`` has it."""


@dataclass(frozen=True)
class Seen:
    """What came of it, and what it cost."""

    counts: Counts
    tags: int
    """Times the registry was asked where a tag leads."""
    cpu: float
    """Seconds, for layers as small as they are."""
    stored: float
    """Bytes, of all replicas' stores together."""


class _Registry(ImageSource):
    """Serves the images, and counts."""

    def __init__(self, served: Images) -> None:
        self._served = served
        self._by_name = {served.name(n): image for n, image in enumerate(served.made)}
        self.counted: Counter[str] = Counter()
        self.bytes = 0.0

    def resolve(
        self,
        reference: Reference,
        deadline: Deadline,  # noqa: ARG002
        most: int | None = None,  # noqa: ARG002
    ) -> Document:
        self.counted["manifests"] += 1
        image = self._by_name[str(reference)]
        return Document(body=image.body, media_type=image.media_type, digest=image.digest)

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:  # noqa: ARG002
        self.counted["tags"] += 1
        return self._by_name[str(reference)].digest

    def document(
        self,
        reference: Reference,
        descriptor: Descriptor,
        deadline: Deadline,  # noqa: ARG002
    ) -> Document:
        self.counted["manifests"] += 1
        body = self._by_name[str(reference)].blobs[descriptor.digest]
        return Document(body=body, media_type=descriptor.media_type, digest=descriptor.digest)

    def blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        deadline: Deadline,  # noqa: ARG002
    ) -> Iterator[bytes]:
        stands_for = self._served.bytes.get(descriptor.digest)
        self.counted["configs" if stands_for is None else "layers"] += 1
        self.bytes += stands_for or 0.0
        yield self._by_name[str(reference)].blobs[descriptor.digest]


@dataclass
class _Watch:
    """What stores said."""

    hits: int = 0

    def looked(self, kind: str, outcome: Outcome) -> None:  # noqa: ARG002
        self.hits += outcome == "hit"

    def trouble(self, trouble: Trouble, detail: str) -> None:
        raise AssertionError(f"{trouble}: {detail}")


@dataclass
class _Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class _Replica:
    """What gathers in a process of slimgate."""

    def __init__(
        self, registry: _Registry, shelf: Shelf | None, watch: _Watch, clock: _Clock
    ) -> None:
        self._clock, self._limits = clock, Limits()
        self._registry, self._watch = registry, watch
        self._shelved = None if shelf is None else Shelved(shelf=shelf, watch=watch)
        self._lanes = Lanes(8, 128), Lanes(4, 8)
        self.begin()

    def begin(self) -> None:
        """As a process does: with nothing in memory."""
        self._gatherer = Gatherer(
            self._registry,
            caches=caches(
                tag_seconds=TAG_SECONDS,
                limits=self._limits,
                shelved=self._shelved,
                clock=self._clock,
            ),
            limits=self._limits,
            opening=self._lanes[0],
            reading=self._lanes[1],
            clock=self._clock,
            background=600,
        )

    def review(self, image: str) -> str:
        """Read all of it; where that came from."""
        hits, counted = self._watch.hits, self._fetched()
        request = ImageRequest(reference=Reference.parse(image), os="linux")
        deadline = Deadline.after(10, self._clock)
        (facts,) = self._gatherer.configs([request], deadline)[request]
        assert not isinstance(facts, Unread), facts
        if facts.contents is None:
            read = self._gatherer.layers(unread(request, (facts,)), deadline)
            assert not any(isinstance(one, Unread) for one in read.values()), read
        if self._fetched() > counted:
            return "registry"
        return "store" if self._watch.hits > hits else "memory"

    def _fetched(self) -> int:
        """Manifests and layers; not tags, which are asked for again whatever is known."""
        return self._registry.counted["manifests"] + self._registry.counted["layers"]

    def close(self) -> None:
        for each in self._lanes:
            each.close()


@dataclass(frozen=True)
class Store:
    """A kind of store."""

    open: Callable[[int, _Clock, _Watch], Shelf | None]
    """A replica's; None: it has its memory only."""
    size: Callable[[], float]
    """Bytes of all of them."""
    life: Life
    """What is found out for a pod is known to the others with the same one."""


def simulated(pods: Sequence[Pod], served: Images, replicas: int, store: Store) -> Seen:
    """What comes of a day of these pods, by time."""
    clock, watch, registry = _Clock(), _Watch(), _Registry(served)
    shelves = [store.open(number, clock, watch) for number in range(replicas)]
    gate = [_Replica(registry, shelf, watch, clock) for shelf in shelves]
    before = time.process_time()
    answered: Counter[str] = Counter()
    for pod in pods:
        if clock.now < NOON <= pod.at:
            for each in gate:
                each.begin()
        clock.now = pod.at
        answered[gate[pod.replica].review(served.name(pod.image))] += 1
    cpu = time.process_time() - before
    for each in gate:
        each.close()
    for shelf in filter(None, shelves):
        shelf.close()
    counts = Counts(
        bytes=registry.bytes,
        layers=registry.counted["layers"],
        memory=answered["memory"],
        store=answered["store"],
        registry=answered["registry"],
    )
    return Seen(counts, registry.counted["tags"], cpu, store.size())


def day() -> Found:
    """A day with each kind of store, beside the formula; and by it, one of a larger cluster."""
    served = images(CLUSTER)
    pods, many = created(CLUSTER), created(ON_PAPER)
    read = samples.big()
    per_byte = timed(partial(readers.facts, read))().cpu / read.ref.compressed
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        _title(CLUSTER)
        kinds = stores(Path(work), stack, CLUSTER.replicas)
        found: dict[str, dict[str, Found]] = {"day": {}, "by formula": {}, "on paper": {}}
        for name, store in kinds.items():
            seen = simulated(pods, served, CLUSTER.replicas, store)
            _show(name, seen.counts, per_byte)
            print(
                f"{'':12}{seen.tags:,} tags asked for, {seen.cpu:.1f} s of CPU as small as layers "
                f"are, stores of {seen.stored / 1e6:.1f} MB"
            )
            average = foretold(pods, served, store.life, on_average(CLUSTER.replicas))
            _show("by formula", average, per_byte)
            costs = {"tags": seen.tags, "stored": seen.stored}
            found["day"][name] = _found(seen.counts, per_byte) | costs
            found["by formula"][name] = _found(average, per_byte)
        _title(ON_PAPER)
        for name, store in kinds.items():
            average = foretold(many, served, store.life, on_average(ON_PAPER.replicas))
            _show(name, average, per_byte)
            found["on paper"][name] = _found(average, per_byte)
    return found


def _found(counts: Counts, per_byte: float) -> dict[str, float]:
    return asdict(counts) | {"cpu": counts.bytes * per_byte}


def stores(folder: Path, stack: ExitStack, replicas: int) -> Mapping[str, Store]:
    """Each kind; Valkey where there is one."""
    files = [folder / f"{number}.sqlite" for number in range(replicas)]
    kinds = {
        "memory": Store(lambda _, __, ___: None, lambda: 0.0, by_memory),
        "SQLite": Store(
            lambda number, clock, watch: SQLite(
                files[number], capacity=256 * MIB, watch=watch, now=clock, clock=clock
            ),
            lambda: sum(file.stat().st_size for file in files),
            by_file,
        ),
    }
    if valkey.PROGRAM is None:
        print("\nday with Valkey: skipped, there is no redis-server and no valkey-server")
        return kinds
    service, port = valkey.server(folder)
    stack.enter_context(kept(service))
    admin = stack.enter_context(Redis(port=port))
    empty = admin.info("memory")["used_memory"]
    return kinds | {
        "Valkey": Store(
            lambda _, clock, watch: Valkey(
                Server(host="127.0.0.1", port=port, timeout=valkey.PATIENCE),
                watch=watch,
                clock=clock,
            ),
            lambda: admin.info("memory")["used_memory"] - empty,
            by_server,
        )
    }


def _title(size: Size) -> None:
    print(
        f"\na day: {size.pods:,} pods, {size.images} images on {size.bases} bases, "
        f"{size.replicas} replicas begun anew at noon\n"
        f"{'':12}{'layers fetched':>16}{'GB':>8}{'CPU s':>8}    reviews: memory     store  registry"
    )


def _show(name: str, counts: Counts, per_byte: float) -> None:
    from_where = (counts.memory, counts.store, counts.registry)
    shares = "".join(f"{each / sum(from_where):10.2%}" for each in from_where)
    print(
        f"{name:12}{counts.layers:16,.0f}{counts.bytes / 1e9:8.1f}{counts.bytes * per_byte:8.0f}"
        f"{'':10}{shares}"
    )
