"""Images that are small to send and huge to read, made without ever being huge.

gzip members and zstd frames may follow each other: a piece is compressed once, and repeated.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from backports import zstd

from tests.support import forge
from tests.support.rawtar import END, member, pax
from webhook.limits import GIB, KIB, MIB

Piece = tuple[bytes, int]
"""Bytes, and how often they come."""
SHELL: Piece = (member(b"bin/sh", b"\x7fELF") + END, 1)
NOTHING = forge.sha256(b"")
"""For layers that are given up before anybody looks at their diff_id."""


@dataclass(frozen=True)
class How:
    """A compression."""

    suffix: str
    compress: Callable[[bytes], bytes]


BEST = How("+gzip", partial(gzip.compress, compresslevel=9, mtime=0))
"""Zeros to a 1,030th."""
QUICK = How("+gzip", partial(gzip.compress, compresslevel=1, mtime=0))
"""Zeros to a 230th, which is below the limit on the ratio."""
ZSTD = How("+zstd", zstd.compress)


def layered(pieces: Sequence[Piece], how: How, *, honest: bool = False) -> forge.Image:
    """An image of one layer; ``honest`` where it is read to its end, so that its diff_id counts."""
    blob = b"".join(how.compress(piece) * times for piece, times in pieces)
    plain = hashlib.sha256()
    for piece, times in pieces if honest else ():
        for _ in range(times):
            plain.update(piece)
    return of_blobs([blob], how, f"sha256:{plain.hexdigest()}")


def zeros(size: int) -> Piece:
    return bytes(64 * MIB), size // (64 * MIB)


def of_blobs(blobs: Sequence[bytes], how: How, diff_id: str = NOTHING) -> forge.Image:
    """An image of these layers."""
    return forge.of_blobs(blobs, forge.OCI_LAYER + how.suffix, diff_id)


def files(number: int, *, batch: int = 10_000) -> Piece:
    """Empty files with paths of 90 bytes."""
    assert number % batch == 0
    names = (b"srv/%s/%06d" % (b"d" * 79, one) for one in range(batch))
    return b"".join(map(member, names)), number // batch


def of_files(number: int) -> forge.Image:
    """A layer of so many files, and a shell."""
    return layered([files(number), SHELL], QUICK, honest=True)


def of_headers(megabytes: int) -> forge.Image:
    """A layer with so much in PAX headers, none of which is too big, and a shell."""
    header = pax((b"comment", b"a" * (MIB - KIB))) + member(b"srv/file")
    assert megabytes % 16 == 0
    return layered([(header * 16, megabytes // 16), SHELL], QUICK, honest=True)


def of_a_header(size: int) -> forge.Image:
    """A layer with a PAX header of so many bytes, all of which would come."""
    header = member(b"p", kind=b"x", size=b"%o\0" % size)
    return layered([(header, 1), zeros(size)], QUICK)


def of_folders(number: int) -> forge.Image:
    """Each file is in a hundred folders of its own, which no entry of the layer makes."""
    deep = (
        member(b"e/" * 40 + b"file", at_345=b"%06d/" % one + b"d/" * 59)
        for one in range(number // 100)
    )
    return layered([(b"".join(deep), 1), SHELL], QUICK, honest=True)


def of_a_terabyte(most: int) -> forge.Image:
    """The tar says that a file has as much; somewhat more than ``most`` bytes of it come."""
    size = b"\x80" + (1024 * GIB).to_bytes(11, "big")
    return layered([(member(b"srv/file", size=size), 1), zeros(most + 64 * MIB)], QUICK)


def of_a_long_path() -> forge.Image:
    return layered([(pax((b"path", b"d/" * 2_500)) + member(b"file"), 1)], QUICK)


def of_a_window() -> forge.Image:
    """A zstd frame that wants 2 GiB of memory to be read: RFC 8878, 3.1.1.1.2."""
    exponent = 31 - 10
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([exponent << 3]) + b"\x01\x00\x00"
    return of_blobs([frame], ZSTD)


def of_layers(number: int) -> forge.Image:
    return of_blobs([QUICK.compress(member(b"%d" % one) + END) for one in range(number)], QUICK)


def of_indexes(depth: int) -> forge.Image:
    """An index of an index of an index of … an image."""
    image = forge.image(user="65532")
    for _ in range(depth):
        image = forge.index([(image, None)])
    return image


def of_a_config(size: int) -> forge.Image:
    """With a label of so many bytes."""
    config = {"config": {"User": "65532", "Labels": {"x": "a" * size}}, "architecture": "amd64"}
    document = {**config, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    return forge.image(config=json.dumps(document).encode())
