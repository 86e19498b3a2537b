"""Time to a verdict where nothing is known, by a registry whose link makes layers take seconds.

What the registry saw tells how much had to be fetched for it.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.rounds import Found, spread
from benchmarks.serving import Verdict, ask, review, server
from tests.support import forge
from tests.support.registry import Registry, slow
from tests.support.samples import built, program
from webhook.limits import MIB

ROUNDS: Final = 3
LAYER: Final = 12 * MIB
"""Bytes of each, that no compression makes fewer."""
LAYERS: Final = 4
PER_SECOND: Final = 20e6
"""Bytes over the link to the registry."""
_MOST: Final = 150 * MIB
"""That the policy lets an image have, compressed."""


@dataclass(frozen=True)
class Took:
    """One verdict: how long it took, and what was fetched for it."""

    seconds: float
    documents: int
    """Manifests and configs."""
    layers: int
    of: int
    """Layers of the image."""

    def __str__(self) -> str:
        """``2 documents, 0 of 4 layers``."""
        return f"{self.documents} documents, {self.layers} of {self.of} layers"


@dataclass(frozen=True)
class Case:
    """An image, and what a denial of it says; empty: it is let in."""

    make: Callable[[int, int], forge.Image]
    """By a number that no other image has, and the bytes of a layer."""
    says: str = ""


def _image(
    number: int, size: int, *, layers: int = LAYERS, user: str = "65532", shell: int | None = None
) -> forge.Image:
    """An image that shares nothing with any other; ``shell`` is the layer that brings one."""
    noise = random.Random(number)  # noqa: S311 - the same each time
    contents = [[forge.file(f"srv/{n}", noise.randbytes(size))] for n in range(layers)]
    contents[-1].append(program("app/server"))
    if shell is not None:
        contents[shell].append(program("bin/sh"))
    return built(*contents, user=user, compression="zstd")


CASES: Final[Mapping[str, Case]] = {
    "root": Case(lambda n, size: _image(n, size, user="0"), "nonRoot"),
    "too big": Case(lambda n, size: _image(n, size, layers=_MOST // size + 1), "size"),
    "a shell in the first layer": Case(lambda n, size: _image(n, size, shell=0), "noShell"),
    "a shell in the last layer": Case(lambda n, size: _image(n, size, shell=-1), "noShell"),
    "let in": Case(_image),
}


def verdict() -> Found:
    """Seconds to a verdict, by the command (its start included) and by the webhook."""
    print(
        f"\ntime to a verdict: nothing known, {LAYERS} layers of {LAYER // MIB} MiB, "
        f"{PER_SECOND / 1e6:.0f} MB/s to the registry\n"
        f"{'':28}{'check, s':^20}{'webhook, s':^20}  fetched\n"
        f"{'':28}{'min   med   max':^20}{'min   med   max':^20}"
    )
    found = {}
    for name, (command, webhook) in verdicts(ROUNDS, LAYER, PER_SECOND).items():
        fetched = " / ".join(dict.fromkeys(map(str, (*command, *webhook))))
        check, review = ([one.seconds for one in each] for each in (command, webhook))
        print(f"{name:28}{spread(check):^20}{spread(review):^20}  {fetched}")
        found[name] = {
            "check": statistics.median(check),
            "webhook": statistics.median(review),
            "layers": max(one.layers for one in (*command, *webhook)),
            "of": command[0].of,
        }
    return found


def verdicts(
    rounds: int, layer: int, per_second: float
) -> Mapping[str, tuple[Sequence[Took], Sequence[Took]]]:
    """By case: what each round took by ``slimgate check``, and by a review of the webhook.

    Args:
        rounds: how often; the webhook is begun anew each time.
        layer: bytes of each.
        per_second: over the link to the registry.

    Raises:
        AssertionError: a verdict was wrong.
    """
    images = {name: case.make(number, layer) for number, (name, case) in enumerate(CASES.items())}
    tags = {name: f"{name.replace(' ', '-')}:1" for name in CASES}
    taken: dict[str, tuple[list[Took], list[Took]]] = {name: ([], []) for name in CASES}
    link = {"*/blobs/*": slow(per_second)}
    served = {tags[name]: image for name, image in images.items()}
    with Registry(served, faults=link) as registry, tempfile.TemporaryDirectory() as work:
        for turn in range(rounds):
            with server(Path(work) / str(turn), registry.host) as one:
                for name, case in CASES.items():
                    where = f"{registry.host}/{tags[name]}"
                    measure = partial(_took, registry, images[name], case)
                    taken[name][0].append(measure(partial(_checked, where)))
                    taken[name][1].append(measure(partial(ask, one, review(where))))
    return taken


def _took(
    registry: Registry, image: forge.Image, case: Case, answered: Callable[[], Verdict]
) -> Took:
    before, began = len(registry.requests), time.perf_counter()
    verdict = answered()
    seconds = time.perf_counter() - began
    if verdict.allowed is bool(case.says) or case.says not in verdict.message:
        raise AssertionError(f"wanted {case.says or 'to be let in'}: {verdict}")
    fetched = {one.path for one in registry.requests[before:] if one.method == "GET"}
    layers = sum(path.rpartition("/")[2] in image.layers for path in fetched)
    return Took(seconds, len(fetched) - layers, layers, len(image.layers))


def _checked(image: str) -> Verdict:
    """What the command says of it."""
    command = [sys.executable, "-m", "webhook", "check", image]
    done = subprocess.run(  # noqa: S603 - ours
        command, check=False, capture_output=True, text=True, env={**os.environ, "NO_PROXY": "*"}
    )
    return Verdict(done.returncode == 0, done.stdout + done.stderr)
