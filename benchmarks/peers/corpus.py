"""Images whose user is known for sure: the first chapter of the catalogue of tricky images.

Counted are images that start somewhere. Left out are those where the truth is about the pod, those
that no node pulls or starts, and those that some versions of containerd refuse: whether they run
as root has no one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.catalogue import users
from tests.catalogue.case import Case
from tests.support import forge

NO_ANSWER = ("refused", "not created", "the pull fails")


@dataclass(frozen=True)
class Known:
    """An image, and whether a container of it runs as uid 0 where the pod says nothing."""

    name: str
    make: Callable[[], forge.Image]
    root: bool


def known() -> Iterator[Known]:
    """Every image that counts, with its truth."""
    for case in users.CASES:
        if not case.pod and not any(words in case.true for words in NO_ANSWER):
            yield Known(case.name, case.image, _root(case))


def _root(case: Case) -> bool:
    """What the catalogue's sentence says, or its truth where slimgate refuses the image whole."""
    if case.says.startswith("user "):
        return case.says.startswith("user 0:")
    if not case.true.endswith("uid 0"):
        raise ValueError(f"{case.name}: not said whether it runs as root")
    return True
