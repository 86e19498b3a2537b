"""What comes of a day of a cluster, by arithmetic: docs/performance.md has it as a formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.cluster import DAY, Images, Pod

Life = Callable[[Pod], object]
"""Of what is found out for a pod: pods with the same one need not find it out again."""
NOON: Final = DAY / 2
"""When every replica's process is begun anew, with nothing in memory."""


@dataclass(frozen=True)
class Counts:
    """What comes of a day."""

    bytes: float
    """Of layers that are fetched."""
    layers: float
    memory: float
    """Reviews that are answered from what the replica has in memory."""
    store: float
    """And from what is on its store."""
    registry: float
    """Reviews for which something is fetched."""


def by_file(pod: Pod) -> object:
    """A replica's file outlives its process."""
    return pod.replica


def by_memory(pod: Pod) -> object:
    """A replica's memory ends at noon."""
    return pod.replica, pod.at >= NOON


def by_server(_: Pod) -> object:
    """A server is everybody's."""
    return None


Lives = Callable[[Sequence[Pod], Life], float]
"""How often what these pods ask for is found out."""


def counted(pods: Sequence[Pod], life: Life) -> float:
    """As it was drawn."""
    return len({life(pod) for pod in pods})


def on_average(replicas: int) -> Lives:
    """Whatever replicas are asked: ``R (1 - (1 - 1/R)**n)`` of R are, by n pods."""

    def lives(pods: Sequence[Pod], life: Life) -> float:
        if life is by_server:
            return 1
        parts = Counter(life is by_memory and pod.at >= NOON for pod in pods)
        return sum(replicas * (1 - (1 - 1 / replicas) ** n) for n in parts.values())

    return lives


def foretold(pods: Sequence[Pod], served: Images, life: Life, lives: Lives) -> Counts:
    """What comes of a day, by arithmetic alone.

    Each image and each layer is fetched once for each life of the store in which a pod asks for it;
    for each life of the memory it is looked for there.
    """
    by_image: dict[int, list[Pod]] = {}
    by_layer: dict[str, list[Pod]] = {}
    for pod in pods:
        by_image.setdefault(pod.image, []).append(pod)
        for digest in served.made[pod.image].layers:
            by_layer.setdefault(digest, []).append(pod)
    fetched = {digest: lives(asked, life) for digest, asked in by_layer.items()}
    registry = sum(lives(asked, life) for asked in by_image.values())
    looked_for = sum(lives(asked, by_memory) for asked in by_image.values())
    return Counts(
        bytes=sum(served.bytes[digest] * times for digest, times in fetched.items()),
        layers=sum(fetched.values()),
        memory=len(pods) - looked_for,
        store=looked_for - registry,
        registry=registry,
    )
