"""Chapter 3: compressed layers."""

from __future__ import annotations

import gzip
import struct

from backports import zstd

from tests.catalogue.case import (
    FAILS,
    LIMIT,
    MALFORMED,
    REFUSED_IN_PART,
    SHELL,
    Case,
    denied,
)
from tests.catalogue.images import SH, app, raw, stored, tar
from tests.support.forge import OCI_LAYER, file
from tests.support.rawtar import member, pax
from tests.support.samples import program

TOOL = tar(program("opt/tool"))
DIRTY = TOOL[: len(TOOL.rstrip(b"\0")) // 512 * 512 + 512] + tar(SH)
"""A tool, and then a shell: each a part of its own."""
CUT = len(DIRTY) - len(tar(SH))
ZSTD = OCI_LAYER + "+zstd"
SKIPPABLE = struct.pack("<II", 0x184D2A50, 4) + b"skip"
EMPTY = gzip.compress(b"", mtime=0)


def packed(data: bytes) -> bytes:
    """A gzip member."""
    return gzip.compress(data, mtime=0)


def wide(data: bytes, log: int) -> bytes:
    """A zstd frame of one raw block that asks for a window of 2^log bytes."""
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x00" + bytes([log - 10 << 3]) + block + data


def sparse(size: int) -> bytes:
    """A file of that many bytes, nearly all of them holes."""
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": b"data",
        b"GNU.sparse.realsize": b"%d" % size,
    }
    return pax(*records.items()) + member(b"x", b"1\n0\n1\n".ljust(512, b"\0") + bytes(512))


CASES = (
    Case(
        "41 the second member holds the shell",
        stored(DIRTY, packed(DIRTY[:CUT]) + packed(DIRTY[CUT:])),
        "the first member: clean",
        "both are read",
        SHELL,
    ),
    Case(
        "42 an empty first member",
        stored(DIRTY, EMPTY + packed(DIRTY)),
        "nothing: clean",
        "both are read",
        SHELL,
    ),
    Case(
        "43 members with zeros between",
        stored(DIRTY, packed(DIRTY[:CUT]) + bytes(64) + packed(DIRTY[CUT:])),
        "both, or one",
        "Go refuses; unpigz stops at the zeros",
        MALFORMED,
    ),
    Case(
        "43b and the diff_id of the first",
        stored(TOOL, packed(TOOL) + bytes(64) + packed(DIRTY)),
        "both, or one",
        "Go refuses; unpigz stops at the zeros",
        MALFORMED,
    ),
    Case(
        "44 garbage behind",
        stored(DIRTY, packed(DIRTY) + b"garbage"),
        "an error, or nothing",
        "Go refuses; unpigz says nothing",
        MALFORMED,
    ),
    Case(
        "45 a skippable zstd frame first",
        stored(DIRTY, SKIPPABLE + zstd.compress(DIRTY), ZSTD),
        "nothing: clean",
        "it is skipped",
        SHELL,
    ),
    Case(
        "45b the second zstd frame holds the shell",
        stored(DIRTY, zstd.compress(DIRTY[:CUT]) + zstd.compress(DIRTY[CUT:]), ZSTD),
        "the first frame: clean",
        "both are read",
        SHELL,
    ),
    Case(
        "46 truncated zstd",
        stored(DIRTY, zstd.compress(DIRTY)[:-4], ZSTD),
        "as far as it goes",
        FAILS,
        MALFORMED,
    ),
    Case(
        "46b truncated gzip",
        stored(DIRTY, packed(DIRTY)[:-9]),
        "as far as it goes",
        FAILS,
        MALFORMED,
    ),
    Case(
        "47 a gzip bomb", app([file("zeros", bytes(32 << 20))]), "it runs out", "it runs out", LIMIT
    ),
    Case(
        "47b a zstd bomb",
        app([file("zeros", bytes(32 << 20))], compression="zstd"),
        "it runs out",
        "it runs out",
        LIMIT,
    ),
    Case(
        "47c a window of 2 GiB",
        stored(DIRTY, wide(DIRTY, 31), ZSTD),
        "2 GiB of memory",
        "2 GiB of memory",
        LIMIT,
    ),
    Case(
        "47d a sparse file of 1 TiB",
        raw(sparse(1 << 40)),
        "2 KiB",
        "it is expanded",
        REFUSED_IN_PART,
    ),
    Case(
        "47e a registry that drips",
        app([SH]),
        "it hangs",
        "the pull takes for ever",
        denied("image deadline"),
        drips=True,
    ),
)
