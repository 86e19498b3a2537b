"""Images that are small to send and huge to read, made as streams: none is ever whole in memory.

gzip members and zstd frames may follow each other, so a piece that was compressed once is
repeated; only what stands first or last is another one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable

from backports import zstd

from tests.support import forge
from tests.support.rawtar import END, member

GZIP, ZSTD = "+gzip", "+zstd"
NOTHING = forge.sha256(b"")


def layered(blob: bytes, how: str = GZIP, diff_id: str = NOTHING) -> forge.Image:
    """An image of that one layer."""
    image = forge.image(
        user="65532",
        config={"rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": None},
        manifest={"layers": [described(blob, how)]},
    )
    image.blobs[forge.sha256(blob)] = blob
    return image


def described(blob: bytes, how: str = GZIP) -> dict[str, object]:
    """A layer's descriptor."""
    return {
        "mediaType": forge.OCI_LAYER + how,
        "digest": forge.sha256(blob),
        "size": len(blob),
    }


def squeezed(pieces: Iterable[tuple[bytes, int]], how: str = GZIP) -> tuple[bytes, str]:
    """Each piece compressed once and repeated so often: the blob, and its diff_id."""
    compress = zstd.compress if how == ZSTD else lambda data: gzip.compress(data, 1, mtime=0)
    blob, plain = b"", hashlib.sha256()
    for piece, times in pieces:
        blob += compress(piece) * times
        for _ in range(times):
            plain.update(piece)
    return blob, f"sha256:{plain.hexdigest()}"


def files(number: int, *, batch: int = 10_000) -> tuple[bytes, int]:
    """A piece of empty files with paths of 90 bytes, and how often it makes ``number`` of them."""
    assert number % batch == 0
    names = (b"srv/%s/%06d" % (b"d" * 79, one) for one in range(batch))
    return b"".join(map(member, names)), number // batch


def zeros(size: int, *, piece: int = 64 << 20) -> tuple[bytes, int]:
    """The same of zeros."""
    return bytes(piece), size // piece


def of_files(number: int, shell: bytes = b"") -> forge.Image:
    """A layer of so many files, with whatever stands before its end."""
    blob, diff_id = squeezed([files(number), (shell + END, 1)])
    return layered(blob, diff_id=diff_id)
