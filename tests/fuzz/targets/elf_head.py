"""The first bytes of a program: never an exception, and what is found early stays."""

from __future__ import annotations

import struct

from tests.support.samples import linked
from webhook.image import elf, libraries

MAX_BYTES = elf.HEAD
WORDS = (b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01", b"#!", b"/lib/ld.so\0", b"\x03\0\0\0")


def _wide(count: int, kind: int, offset: int, size: int, at: int = 64) -> bytes:
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, at, 0, 0,
        64, 56, count, 0, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", kind, 0, offset, 0, 0, size, size, 1)
    return head.ljust(at, b"\0") + segment * count


SEEDS = {
    "static": _wide(1, 1, 0, 0),
    "dynamic": _wide(2, 3, 200, 11) + b"/lib/ld.so\0" * 3,
    "far-headers": _wide(1, 3, 64, 9, at=3000),
    "no-size": _wide(1, 3, 64, 0),
    "huge": _wide(1, 3, 2**63, 2**63),
    "small-big-endian": b"\x7fELF\x01\x02\x01" + bytes(9) + struct.pack(">HH", 2, 8) + bytes(60),
    "cut": b"\x7fELF\x02\x01\x01",
    "script": b"#!/usr/bin/env python3\nx\n",
    "script-spaces": b"#! \t/bin/sh \t -e -x  \n",
    "script-empty": b"#!\n",
    "script-long": b"#!/" + b"a" * 300,
    "other": b"MZ",
    "linked": linked("libz.so.1", "libc.so.6", run_path="$ORIGIN/../lib"),
}


def check(data: bytes) -> None:
    head = data[: elf.HEAD]
    found = elf.parse(head)
    assert (found is None) == (not head.startswith(b"\x7fELF"))
    if found is not None and found.interpreter is not None:
        offset, size = found.interpreter
        assert offset >= 0
        assert 2 <= size <= 4096
    if found is not None and found.linking is not None:
        _check_libraries(data, found.linking)
    if found is not None:
        shorter = elf.parse(head[: len(head) * 3 // 4])
        if shorter is not None and shorter.interpreter is not None:
            assert shorter.interpreter == found.interpreter
    if head[:6] == b"\x7fELF\x02\x01" and len(head) >= 64:
        assert found is not None
        assert found.interpreter == _by_hand(head)
    _check_script(head)


def _check_libraries(data: bytes, linking: elf.Linking) -> None:
    """What is told of libraries is in the file, and not much."""
    table, first = (data[at : at + size] for at, size in libraries.parts(linking))
    needed = libraries.needed(linking, table, first)
    if needed is not None:
        assert max(len(needed.names), len(needed.run_path)) <= 4096
        names = needed.names.split(b"\0")
        assert all(name + b"\0" in data for name in names)
        lacking = libraries.Present(()).lacks(b"/lib64/ld-linux-x86-64.so.2", needed)
        assert lacking is None or lacking in names
        assert libraries.Present(names).lacks(b"/lib64/ld-linux-x86-64.so.2", needed) is None


def _by_hand(head: bytes) -> tuple[int, int] | None:
    """ELF of 64 bits, little endian, field by field."""
    at, size, count = (
        int.from_bytes(head[start:end], "little") for start, end in ((32, 40), (54, 56), (56, 58))
    )
    if size != 56:
        return None
    for _ in range(count):
        segment = head[at : at + size]
        if len(segment) < size:
            return None
        if int.from_bytes(segment[:4], "little") == 3:
            offset, length = (int.from_bytes(segment[i : i + 8], "little") for i in (8, 32))
            return (offset, length) if 2 <= length <= 4096 else None
        at += size
    return None


def _check_script(head: bytes) -> None:
    found = elf.script(head)
    if found is None:
        assert not head.startswith(b"#!/")
        return
    interpreter, argument = found
    assert head.startswith(b"#!")
    assert interpreter
    assert not set(interpreter) & set(b" \t\n\0")
    assert interpreter in head[:256]
    assert argument is None or (argument in head[:256] and argument == argument.strip(b" \t"))
