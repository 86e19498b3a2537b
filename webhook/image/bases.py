"""Which base an image stands on, proved by what cannot be forged.

Two proofs are known: the image's first layers are a published base's layers (``bases.json``,
by diff_id: the hash of their very bytes), or nothing of any distribution is in it at all, so
that it stands on ``scratch``. What ``/etc/os-release`` says is a claim: shown, never proof.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from webhook.image.facts import Files, ImageFacts

SCRATCH = "scratch"

_LOADER = re.compile(r"ld(?:64)?[-.].*so(?:\.\d+)*|ld-(?:linux|musl).*")
"""Dynamic loaders: ``ld-linux-x86-64.so.2``, ``ld-musl-x86_64.so.1``, ``ld.so.1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base image that an image was proved to stand on."""

    name: str
    """``alpine``, or ``scratch``."""
    version: str | None = None
    proof: Literal["layers", "content"]

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    name: str
    version: str
    diff_ids: tuple[str, ...]


def base_by_layers(image: ImageFacts) -> Base | None:
    """The published base whose layers the image begins with; the longest, if several."""
    fitting = [
        known
        for known in _known()
        if image.config.diff_ids[: len(known.diff_ids)] == known.diff_ids
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda known: len(known.diff_ids))
    return Base(name=best.name, version=best.version, proof="layers")


def base_of(image: ImageFacts) -> Base | None:
    """The base the image was proved to stand on, None where that cannot be proved.

    Raises:
        NotRead: its layers do not tell, and their contents were not read yet.
    """
    known = base_by_layers(image)
    if known is not None:
        return known
    return Base(name=SCRATCH, proof="content") if _is_bare(image.files) else None


def claim_of(contents: Files) -> str | None:
    """What the image says of itself: ``Debian GNU/Linux 13 (trixie)``."""
    release = contents.os_release
    return release.get("PRETTY_NAME") or release.get("NAME") or release.get("ID") or None


def _is_bare(contents: Files) -> bool:
    """Whether nothing of a distribution is there: no release, packages, loader or shell."""
    programs = contents.programs
    return not (
        contents.os_release
        or contents.package_databases
        or contents.shells
        or contents.package_managers
        or any(
            _LOADER.fullmatch(path.rpartition("/")[2])
            for path in (*programs.executables, *programs.links)
        )
    )


@cache
def _known() -> tuple[_Known, ...]:
    text = Path(__file__).with_name("bases.json").read_text(encoding="utf-8")
    return tuple(
        _Known(name=item["name"], version=item["version"], diff_ids=tuple(item["diffIds"]))
        for item in json.loads(text)["bases"]
    )
