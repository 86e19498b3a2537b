"""Programs packed by UPX: what they hold is seen when they run, and not before.

Such a file is a small loader with the program in it, compressed: neither its strings nor its
symbols can be searched. Two marks tell it, and either is enough:

- ``UPX!``, the magic of the ``l_info`` header that follows the ELF program headers (src/p_unix.h,
  src/p_lx_elf.cpp). It is in whatever UPX 4.2 made of programs for amd64, 386, arm, arm64, mips,
  mipsle, ppc64 and ppc64le.
- The text that UPX writes into its loader (src/packer.cpp, ``getIdentstr``), in a file that names
  no dynamic loader: shared libraries have the magic elsewhere, and some overwrite it to make
  ``upx -d`` refuse. UPX itself holds the text, too, and a dynamic loader's name.

Both can be removed by whoever means to hide, and other packers leave other marks.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from webhook.image import shells
from webhook.image.elf import Elf
from webhook.image.shells import Signature

UPX: Final = "upx"
_MAGIC: Final = b"UPX!"
_CHECKSUM: Final = 4
"""Bytes of ``l_checksum``, before the magic."""

SIGNATURES: Final = (
    Signature(
        UPX,
        (rb"packed with the UPX executable packer http[^\x00]{1,60}\x00\$Id: UPX [0-9]\.[0-9]+ ",),
        "src/packer.cpp; UPX 4.2.3, built from its source",
    ),
)


def patterns() -> tuple[bytes, ...]:
    """All patterns, in the order that ``identify`` numbers them by."""
    return shells.patterns(SIGNATURES)


def identify(head: bytes, header: Elf, found: AbstractSet[int]) -> str | None:
    """What packed an ELF file: by its first bytes, its header and the patterns in it."""
    at = header.end + _CHECKSUM
    if header.end and head[at : at + len(_MAGIC)] == _MAGIC:
        return UPX
    return None if header.interpreter else shells.identify(found, SIGNATURES)
