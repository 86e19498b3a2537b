"""ELF headers and ``#!`` lines."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from tests.image.reading import ELF, real_images
from webhook.image.elf import HEAD, Elf, parse, script


def elf(
    machine: int, *, wide: bool = True, order: str = "<", segments: bytes = b"", count: int = 0
) -> bytes:
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if wide:
        rest = struct.pack(
            order + "HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0
        )
    else:
        rest = struct.pack(
            order + "HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, count, 0, 0, 0
        )
    return ident + rest + segments


@pytest.mark.parametrize(
    "machine, wide, order, expected",
    [
        (62, True, "<", "amd64"),
        (3, False, "<", "386"),
        (183, True, "<", "arm64"),
        (40, False, "<", "arm"),
        (22, True, ">", "s390x"),
        (21, True, "<", "ppc64le"),
        (21, True, ">", "ppc64"),
        (243, True, "<", "riscv64"),
        (258, True, "<", "loong64"),
        (8, True, "<", "mips64le"),
        (8, False, ">", "mips"),
        (2, False, ">", None),
    ],
)
def test_machines(machine: int, wide: object, order: str, expected: str | None) -> None:
    assert parse(elf(machine, wide=wide, order=order)) == Elf(expected, None)


def test_interpreter_of_64_bits() -> None:
    segments = struct.pack("<IIQQQQQQ", 6, 4, 64, 0, 0, 112, 112, 8)
    segments += struct.pack("<IIQQQQQQ", 3, 4, 0x300, 0, 0, 28, 28, 1)

    assert parse(elf(62, segments=segments, count=2)) == Elf("amd64", (0x300, 28), 64 + 2 * 56)


def test_interpreter_of_32_bits_and_the_other_order() -> None:
    segments = struct.pack(">IIIIIIII", 3, 0x154, 0, 0, 13, 13, 4, 1)

    assert parse(elf(8, wide=False, order=">", segments=segments, count=1)) == Elf(
        "mips", (0x154, 13), 52 + 32
    )


@pytest.mark.parametrize("size", [0, 1, 4097, 1 << 60])
def test_an_interpreter_the_kernel_would_not_take(size: int) -> None:
    segments = struct.pack("<IIQQQQQQ", 3, 4, 0, 0, 0, size, size, 1)

    assert parse(elf(62, segments=segments, count=1)) == Elf("amd64", None, 64 + 56)


def test_program_headers_that_are_not_there() -> None:
    assert parse(elf(62, count=65535)) == Elf("amd64", None, 64 + 65535 * 56)


@pytest.mark.parametrize(
    ("kind", "entry", "count", "dynamic"),
    [
        pytest.param(1, 1, 1, False, id="static"),
        pytest.param(6, 1, 1, False, id="static, with a PT_PHDR"),
        pytest.param(3, 1, 1, True, id="PT_INTERP"),
        pytest.param(2, 1, 1, True, id="PT_DYNAMIC, which is enough for glibc"),
        pytest.param(2, 0, 1, False, id="a library"),
        pytest.param(1, 1, 99, True, id="most of the headers are not seen"),
    ],
)
def test_what_a_dynamic_loader_starts(kind: int, entry: int, count: int, dynamic: object) -> None:
    """As glibc's 2.36 was seen to: what is static it refuses without an x bit."""
    segment = struct.pack("<IIQQQQQQ", kind, 4, 0, 0, 0, 1, 1, 1)
    wide = bytearray(elf(62, segments=segment, count=count))
    wide[24] = entry

    assert parse(bytes(wide))[3] is dynamic  # type: ignore[index]


def test_program_headers_of_another_size() -> None:
    head = bytearray(elf(62, count=1))
    head[54] = 32

    assert parse(bytes(head)) == Elf("amd64", None, 0)


@pytest.mark.parametrize("head", [b"", b"\x7fEL", b"MZ", b"#!/bin/sh\n", bytes(64)])
def test_what_is_no_elf(head: bytes) -> None:
    assert parse(head) is None


@pytest.mark.parametrize("length", range(4, 64))
def test_truncated_headers_are_elf_all_the_same(length: int) -> None:
    found = parse(ELF[:length])

    assert found is not None
    assert found.interpreter is None


def test_this_very_python() -> None:
    head = Path(sys.executable).resolve().read_bytes()[:HEAD]
    found = parse(head)

    assert found is not None
    assert found.machine in {"amd64", "arm64"}


def test_real_programs() -> None:
    folder = real_images() / "hello-world"

    for name, machine in {"hello-amd64": "amd64", "hello-arm64v8": "arm64"}.items():
        found = parse((folder / name).read_bytes())
        assert found is not None
        assert found[:2] == (machine, None)


@pytest.mark.parametrize(
    "head, expected",
    [
        (b"#!/bin/sh\nexit", (b"/bin/sh", None)),
        (b"#! /bin/sh -e \nexit", (b"/bin/sh", b"-e")),
        (b"#!/usr/bin/env -S node --x\n", (b"/usr/bin/env", b"-S node --x")),
        (b"#!\t/bin/sh\t-x\n", (b"/bin/sh", b"-x")),
        (b"#!/bin/sh -e\t-x\n", (b"/bin/sh", b"-e\t-x")),
        (b"#!/bin/sh", (b"/bin/sh", None)),
        (b"#!/bin/sh\r\n", (b"/bin/sh\r", None)),
        (b"#!/bin/sh\0junk\n", (b"/bin/sh", None)),
        (b"#!" + b"a" * 500 + b"\n", (b"a" * 254, None)),
        (b"#!\n", None),
        (b"#! \t\n/bin/sh", None),
        (b" #!/bin/sh", None),
        (b"", None),
    ],
)
def test_scripts(head: bytes, expected: tuple[bytes, bytes | None] | None) -> None:
    assert script(head) == expected
