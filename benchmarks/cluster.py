"""A day of a cluster, drawn with a fixed seed: which pods are created when, and of which images.

Deployments are of very different popularity: the n-th has an n-th of the first one's pods (Zipf).
Each is rolled out twice in the course of the day, to an image of its own; every node is drained
once, at night, and its pods are made again elsewhere; single pods come all day, as Jobs, scaling
and crashes bring them.

Layers are real, and small: each has a tenth of the files of one such as images have, and stands
for so many bytes as such a one has.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.support import forge
from tests.support.samples import PASSWD, program

DAY: Final = 86_400.0
"""Seconds."""
_BETWEEN: Final = 3.0
"""Seconds from one pod of a rollout to the next."""
_NIGHT: Final = (3_600.0, 18_000.0)
"""When nodes are drained, one after the other."""
VERSIONS: Final = 3
"""Images of a deployment: the one that runs in the morning, and those that it is rolled out to."""
_RUNNING: Final = 0.2
"""Pods that run at a time, as a part of those that are created in a day."""
_FILES: Final = (300, 100, 10)
"""In the layer of a base, of dependencies, and of the program: a tenth of what such layers have."""
_MEDIANS: Final = (30e6, 15e6, 8e6)
"""Bytes, compressed, that such layers stand for; two thirds are within a half and twice of that."""


@dataclass(frozen=True)
class Size:
    """Of a cluster, and of its day."""

    pods: int
    """That are created."""
    images: int
    bases: int
    """That images share."""
    replicas: int
    """Of slimgate."""
    nodes: int = 40

    @property
    def deployments(self) -> int:
        """How many there are."""
        return self.images // VERSIONS


@dataclass(frozen=True, order=True)
class Pod:
    """One that is created."""

    at: float
    """Seconds since midnight."""
    image: int
    """By number; those of a deployment follow each other."""
    replica: int
    """Of slimgate, which is asked."""


@dataclass(frozen=True)
class Images:
    """All that are ever run."""

    made: Sequence[forge.Image]
    bytes: Mapping[str, float]
    """That a layer stands for, by digest."""

    def name(self, number: int) -> str:
        """A version of a deployment, by tag."""
        return f"registry.test/app-{number // VERSIONS}:v{number % VERSIONS}"


@dataclass(frozen=True)
class _Deployment:
    number: int
    pods: int
    begun: Sequence[float]
    """When each of its images was rolled out."""

    def image(self, at: float) -> int:
        """The one that pods have at that time."""
        return VERSIONS * self.number + sum(begun <= at for begun in self.begun) - 1


def created(size: Size, seed: int = 0) -> Sequence[Pod]:
    """The pods that are created, by time.

    Raises:
        ValueError: there are so many images that rollouts and drains create too many pods.
    """
    chance = random.Random(seed)  # noqa: S311 - the same day each time
    running = [
        max(1, round(size.pods * _RUNNING * share)) for share in popularity(size.deployments)
    ]
    deployments = [
        _Deployment(number, pods, [0.0, *sorted(_times(chance, VERSIONS - 1))])
        for number, pods in enumerate(running)
    ]
    pods = [*_rolled_out(deployments), *_drained(deployments, size.nodes, chance)]
    rest = size.pods - len(pods)
    if rest < 0:
        raise ValueError(f"rollouts and drains alone create {len(pods)} pods")
    asked = chance.choices(deployments, popularity(size.deployments), k=rest)
    times = _times(chance, rest)
    pods += [(at, one.image(at)) for one, at in zip(asked, times, strict=True)]
    return sorted(Pod(at, image, chance.randrange(size.replicas)) for at, image in pods)


def popularity(count: int) -> Sequence[float]:
    """The share of each in all, by Zipf."""
    total = sum(1 / rank for rank in range(1, count + 1))
    return [1 / rank / total for rank in range(1, count + 1)]


def images(size: Size, seed: int = 0) -> Images:
    """Images of three layers: a base, what the versions of a deployment share, a program."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    share = popularity(size.bases)
    weights: dict[str, float] = {}
    made = []
    for number in range(size.deployments):
        # Each base has an image; the popular ones have more.
        base = number if number < size.bases else chance.choices(range(size.bases), share)[0]
        shared = [_layer("base", base, _FILES[0]), _layer("lib", number, _FILES[1])]
        for version in range(VERSIONS):
            own = _layer("app", number * VERSIONS + version, _FILES[2])
            image = forge.image(
                [*shared, own], user="65532", entrypoint=["/app/server"], compression="zstd"
            )
            for digest, median in zip(image.layers, _MEDIANS, strict=True):
                weights.setdefault(digest, median * chance.lognormvariate(0, 0.7))
            made.append(image)
    return Images(made, weights)


def _layer(kind: str, number: int, files: int) -> bytes:
    """The tar."""
    first = program("app/server") if kind == "app" else forge.file("etc/passwd", PASSWD)
    own = (forge.file(f"{kind}/{number}/{n}", b"%d" % n) for n in range(files))
    return forge.tar([first, program(f"{kind}/{number}/tool"), *own])


def _times(chance: random.Random, count: int) -> Sequence[float]:
    return [chance.uniform(0, DAY) for _ in range(count)]


def _rolled_out(deployments: Sequence[_Deployment]) -> Iterator[tuple[float, int]]:
    """One pod after the other."""
    for one in deployments:
        for begun in one.begun[1:]:
            yield from ((begun + _BETWEEN * n, one.image(begun)) for n in range(one.pods))


def _drained(
    deployments: Sequence[_Deployment], nodes: int, chance: random.Random
) -> Iterator[tuple[float, int]]:
    """The pods of each node, all at once."""
    first, last = _NIGHT
    for one in deployments:
        for _ in range(one.pods):
            at = first + (last - first) * chance.randrange(nodes) / nodes
            yield at, one.image(at)
