"""Programs that UPX packed: seen as such, whatever is in them (ADR 010)."""

from __future__ import annotations

import re
import struct

import pytest

from tests.image.reading import files, program, shown
from tests.image.test_interpreters import DYNAMIC
from tests.support import forge, samples
from tests.support.forge import file, hardlink, symlink
from webhook.image.facts import Files
from webhook.image.packers import patterns

PACKED = samples.packed()
MAGIC = b"UPX!"
IDENT = (
    b"$Info: This file is packed with the UPX executable packer http://upx.sf.net $\n\0"
    b"$Id: UPX 3.96 Copyright (C) 1996-2020 the UPX Team. All Rights Reserved. $\n\0"
)


def packed(*entries: forge.Entry) -> dict[str, tuple[str, str]]:
    return shown(files(entries).packed)


def upx_header(order: str, *, wide: bool) -> bytes:
    """An ELF file of one program header, and UPX's after it: l_info, p_info."""
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if wide:
        head = struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack(order + "IIQQQQQQ", 1, 5, 0, 0, 0, 4096, 4096, 4096)
    else:
        head = struct.pack(order + "HHIIIIIHHHHHH", 2, 8, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        segment = struct.pack(order + "IIIIIIII", 1, 0, 0, 0, 4096, 4096, 5, 4096)
    l_info = struct.pack("<I4sHBB", 0xDEADBEEF, MAGIC, 2548, 14, 22)
    return ident + head + segment + l_info + struct.pack(order + "III", 0, 99999, 99999)


def test_what_upx_made() -> None:
    assert packed(program("app/x", PACKED)) == {"/app/x": ("upx", "content")}


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_by_the_header_of_any_class_and_byte_order(wide: object, order: str) -> None:
    body = upx_header(order, wide=bool(wide))

    assert packed(program("app/x", body)) == {"/app/x": ("upx", "content")}


def test_without_its_magic_it_is_known_by_its_text() -> None:
    """The usual trick against ``upx -d``."""
    edited = PACKED.replace(MAGIC, b"\0\0\0\0")

    assert edited != PACKED
    assert packed(program("app/x", edited)) == {"/app/x": ("upx", "content")}


def test_without_both_marks_it_is_not_known() -> None:
    """As docs/checks.md says."""
    edited = PACKED.replace(MAGIC, b"\0\0\0\0").replace(b"the UPX", b"the XPU")

    assert packed(program("app/x", edited)) == {}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(samples.elf(MAGIC + bytes(8)), id="the-magic-elsewhere"),
        pytest.param(samples.elf()[: samples.EHDR] + bytes(4) + MAGIC, id="cut-short"),
        pytest.param(b"\x7fELF" + MAGIC * 20, id="no-program-headers"),
        pytest.param(DYNAMIC + IDENT, id="upx-itself"),
        pytest.param(samples.elf(IDENT[:78] + b"found\0"), id="a-scanner-that-knows-the-text"),
        pytest.param(b"#!/bin/sh\n" + IDENT, id="a-script"),
        pytest.param(IDENT, id="no-program"),
    ],
)
def test_programs_that_are_not_packed(body: bytes) -> None:
    assert packed(program("app/x", body)) == {}


def test_the_text_of_older_versions() -> None:
    (pattern,) = patterns()

    assert re.search(pattern, IDENT)
    assert packed(program("app/x", samples.elf(IDENT))) == {"/app/x": ("upx", "content")}


@pytest.mark.parametrize(
    "entries, expected",
    [
        pytest.param(
            [program("a", PACKED), hardlink("b", "a"), symlink("bin/c", "/a")],
            {"/a": ("upx", "content"), "/b": ("upx", "link"), "/bin/c": ("upx", "link")},
            id="links",
        ),
        pytest.param([file("a", PACKED)], {}, id="no-x-bit"),
    ],
)
def test_in_a_tree(entries: list, expected: dict[str, tuple[str, str]]) -> None:
    assert packed(*entries) == expected


def test_by_its_name_it_is_a_shell_as_well() -> None:
    found: Files = files([program("bin/bash", PACKED)])

    assert shown(found.shells) == {"/bin/bash": ("bash", "path")}
    assert shown(found.packed) == {"/bin/bash": ("upx", "content")}
