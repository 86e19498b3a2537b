"""The tar walk: the same answer however the bytes are cut, and whether bodies are read or not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tests.support import forge
from tests.support.rawtar import END, GNU, V7, member, pax
from webhook.errors import ImageRefused
from webhook.image.tar import Reader
from webhook.image.tarheader import SIZE
from webhook.limits import KIB, Limits

MAX_BYTES = 16 * KIB
LIMITS = Limits(entries=200, header_bytes=8 * KIB)
WORDS = (
    *(b"ustar\x0000", b"ustar  \0", b"tar\0", b"path=", b"linkpath=", b"size=", b"uid=", b"gid="),
    *(b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.map=", b"GNU.sparse.name="),
    *(b"GNU.sparse.realsize=", b"SCHILY.xattr.security.capability=", b"\x80", b"\xff", b"../"),
)
SEEDS = {
    "plain": forge.tar([forge.file("bin/sh", b"#!/bin/x", mode=0o755), forge.folder("etc")]),
    "links": forge.tar([forge.file("a"), forge.hardlink("b", "a"), forge.symlink("c", "/a")]),
    "devices": forge.tar([forge.special("dev/null", b"3", major=1, minor=3)]),
    "long-pax": forge.tar([forge.file("d/" * 150 + "e", b"x")]),
    "xattr": forge.tar([forge.file("p", pax={"SCHILY.xattr.user.a": "b"})]),
    "long-gnu": member(b"L", b"n" * 200 + b"\0", kind=b"L", magic=GNU) + member(b"x", b"y") + END,
    "old-type": member(b"dir/", kind=b"\0", magic=V7) + END,
    "base-256": member(b"u", uid=b"\x80" + bytes(6) + b"\x05") + END,
    "sparse": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + member(b"s", b"0\n"),
    "global": pax((b"path", b"decoy"), kind=b"g") + member(b"x") + END,
    "stacked": pax((b"path", b"a")) + pax((b"size", b"3")) + member(b"x", b"abc") + END,
    "cut": member(b"cut", b"abc", size=b"00000001000\0"),
}

Walked = tuple[list[tuple[object, ...]], str, list[object]]
"""Entries with size and hash of their bodies, how it ended, and the problems noted."""


def repaired(data: bytes) -> bytes:
    """With right checksums: without them hardly any mutation gets past the first header."""
    blocks = [data[at : at + SIZE] for at in range(0, len(data), SIZE)]
    return b"".join(map(_summed, blocks))


def _summed(block: bytes) -> bytes:
    if len(block) < SIZE or (block[257:262] != b"ustar" and not block[148:154].isdigit()):
        return block
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def check(data: bytes) -> None:
    whole = walk([data])
    for size in (1 + len(data) % 7, 511, 513):
        assert walk([data[at : at + size] for at in range(0, len(data), size)]) == whole
    entries, ending, problems = whole
    for header, length, _ in entries:
        assert length in {header.size, 0}
    skipped, skipped_ending, skipped_problems = walk([data], bodies=False)
    assert (skipped_ending, skipped_problems) == (ending, problems)
    assert [entry[0] for entry in skipped] == [entry[0] for entry in entries]


def walk(chunks: Sequence[bytes], *, bodies: bool = True) -> Walked:
    reader = Reader(chunks, LIMITS)
    entries = []
    ending = "end"
    try:
        for header in reader:
            # What ends within a body is only listed where nobody asks for the body.
            body = b"".join(reader.body()) if bodies else b""
            entries.append((header, len(body), hashlib.sha256(body).digest()))
    except ImageRefused as error:
        ending = repr(error)
        entries = [] if "within a file" in error.detail else entries
    return entries, ending, list(reader.problems)
