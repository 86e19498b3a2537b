"""What a program was made with, by what its compiler leaves in it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from webhook.image import shells
from webhook.image.shells import Signature

SIGNATURES: Final = (
    Signature(
        "go", (rb"\xff Go buildinf:",), "debug/buildinfo buildInfoMagic; Go 1.26, stripped too"
    ),
    Signature(
        "rust",
        (rb"/rustc/[0-9a-f]{40}/library/",),
        "where panics of the standard library point to; rustc 1.9x, stripped too",
    ),
)


def patterns() -> tuple[bytes, ...]:
    """All patterns, in the order that ``identify`` numbers them by."""
    return shells.patterns(SIGNATURES)


def identify(found: AbstractSet[int]) -> str | None:
    """``go`` or ``rust``, by the numbers of the patterns found; None where nothing tells."""
    return shells.identify(found, SIGNATURES)
