"""The tar walk against Go's archive/tar (image-truth 2.5, catalogue 48-60).

What Go says was asked of Go 1.26's own archive/tar, for these and for 100,000 fuzzed archives.
"""

from __future__ import annotations

import contextlib
import io
import random
import tarfile
from dataclasses import replace

import pytest

from tests.image.reading import LIMITS, chunked, real_images
from tests.support import forge
from tests.support.rawtar import END, GNU, USTAR, V7, member, pax, record
from webhook.errors import ImageRefused, LimitExceeded, Malformed, Unsupported
from webhook.image.tar import GLOBAL, Reader
from webhook.image.tarheader import Header

SH = b"\x7fELF payload"
FILE = member(b"bin/sh", SH)


def read(data: bytes, size: int = 700) -> list[Header]:
    return list(Reader(chunked(data, size), LIMITS))


def names(data: bytes) -> list[bytes]:
    return [header.name for header in read(data)]


@pytest.mark.parametrize(
    "archive, expected",
    [
        pytest.param(
            pax((b"path", b"decoy"), (b"size", b"0"), kind=b"g") + FILE,
            [b"decoy", b"bin/sh"],
            id="01-global-path-names-itself-only",
        ),
        pytest.param(
            pax((b"path", b"decoy")) + pax((b"mtime", b"1")) + FILE,
            [b"bin/sh"],
            id="02-second-x-wins",
        ),
        pytest.param(
            pax((b"path", b"decoy")) + pax((b"comment", b"c"), kind=b"g") + FILE,
            [b"PaxHeaders/x", b"bin/sh"],
            id="03-x-then-g-is-lost",
        ),
        pytest.param(
            member(b"L", b"bin/sh\0", kind=b"L", magic=GNU)
            + pax((b"path", b"decoy"))
            + member(b"x"),
            [b"bin/sh"],
            id="04-long-name-beats-path",
        ),
        pytest.param(
            pax((b"path", b"decoy")) + member(b"L", b"bin/sh", kind=b"L", magic=GNU) + member(b"x"),
            [b"bin/sh"],
            id="04-in-either-order",
        ),
        pytest.param(pax((b"path", b"")) + FILE, [b"bin/sh"], id="05-empty-path-keeps-the-name"),
        pytest.param(
            member(b"L", b"", kind=b"L", magic=GNU) + FILE, [b"bin/sh"], id="34-empty-long-name"
        ),
        pytest.param(
            pax((b"GNU.sparse.name", b"decoy"), (b"GNU.sparse.size", b"0")) + FILE,
            [b"bin/sh"],
            id="06-sparse-name-without-version",
        ),
        pytest.param(
            pax((b"path", b"folder/")) + member(b"x", kind=b"\0", size=b"00000001000\0") + FILE,
            [b"folder/", b"bin/sh"],
            id="07-old-type-is-a-folder-by-its-pax-name",
        ),
        pytest.param(
            pax((b"path", b"file")) + member(b"x/", FILE, kind=b"\0") + member(b"end"),
            [b"file", b"end"],
            id="08-and-a-file-by-its-pax-name",
        ),
        pytest.param(
            member(b"bin/sh", SH, uid=b"\x81" + bytes(7)) + FILE,
            [b"bin/sh", b"bin/sh"],
            id="09-base-256-by-bit-7-alone",
        ),
        pytest.param(
            member(b"sh", SH, magic=GNU, at_345=b"decoy") + FILE,
            [b"decoy/sh", b"bin/sh"],
            id="14-gnu-prefix-of-old-go",
        ),
        pytest.param(
            member(b"sh", SH, magic=GNU, at_345=b"00000000000\0"),
            [b"sh"],
            id="14-gnu-times-are-none",
        ),
        pytest.param(member(b"sh", magic=V7, at_345=b"decoy"), [b"sh"], id="13-v7-has-no-prefix"),
        pytest.param(member(b"sh", magic=V7, at_329=b"junk"), [b"sh"], id="12-nor-device-numbers"),
        pytest.param(member(b"sh", at_345=b"usr/bin"), [b"usr/bin/sh"], id="ustar-prefix"),
        pytest.param(
            member(b"sh", at_345=b"usr/bin", at_508=b"tar\0"), [b"usr/bin/sh"], id="star-prefix"
        ),
        pytest.param(FILE + END + member(b"ghost"), [b"bin/sh"], id="16-two-zero-blocks-end-it"),
        pytest.param(FILE + bytes(512), [b"bin/sh"], id="one-zero-block-and-the-end"),
        pytest.param(FILE, [b"bin/sh"], id="no-zero-block-at-all"),
        pytest.param(b"", [], id="empty"),
        pytest.param(END, [], id="zero-blocks-only"),
        pytest.param(FILE[: 512 + len(SH)], [b"bin/sh"], id="22-short-padding-at-the-end"),
        pytest.param(
            member(b"link", kind=b"2", size=b"00000001000\0", link=b"x") + FILE,
            [b"link", b"bin/sh"],
            id="25-a-link-has-no-data",
        ),
        pytest.param(
            pax((b"size", b"1024")) + member(b"x", size=b"00000000000\0") + FILE + FILE,
            [b"x", b"bin/sh"],
            id="28-pax-size-counts",
        ),
        pytest.param(member(b"bin/sh\0hidden"), [b"bin/sh"], id="name-ends-at-nul"),
        pytest.param(member(b"bin/sh/"), [b"bin/sh/"], id="type-0-with-slash-is-no-folder"),
    ],
)
@pytest.mark.parametrize("size", [1, 511, 512, 4096])
def test_names_are_those_go_reads(archive: bytes, expected: list[bytes], size: int) -> None:
    assert [header.name for header in read(archive, size)] == expected


@pytest.mark.parametrize(
    "archive, field, expected",
    [
        pytest.param(
            member(b"x", SH, size=b"\0\0 00000015 "), "size", 13, id="10-leading-nul-size"
        ),
        pytest.param(member(b"x", mode=b"\0\0004755\0"), "mode", 0o4755, id="11-leading-nul-mode"),
        pytest.param(member(b"x", mode=bytes(8)), "mode", 0, id="empty-mode"),
        pytest.param(member(b"x", uid=b"\x80" + bytes(6) + b"\x07"), "uid", 7, id="base-256"),
        pytest.param(member(b"x", uid=b"\xff" * 8), "uid", -1, id="base-256-negative"),
        pytest.param(pax((b"uid", b"+70000")) + member(b"x"), "uid", 70000, id="pax-uid"),
        pytest.param(pax((b"linkpath", b"sh")) + member(b"x", kind=b"2"), "link", b"sh", id="link"),
        pytest.param(
            member(b"K", b"long\0er", kind=b"K", magic=GNU) + member(b"x", kind=b"1", link=b"y"),
            "link",
            b"long",
            id="long-link",
        ),
        pytest.param(
            member(b"x", kind=b"3", at_329=b"0000001\x000000003\0"), "minor", 3, id="device-minor"
        ),
        pytest.param(member(b"x", kind=b"\0"), "type", b"0", id="old-type-becomes-0"),
    ],
)
def test_fields_are_those_go_reads(archive: bytes, field: str, expected: object) -> None:
    assert getattr(read(archive)[-1], field) == expected


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(bytes(512) + FILE, id="15-one-zero-block-then-data"),
        pytest.param(pax((b"path", b"bin/sh\0x")) + FILE, id="20-nul-in-path"),
        pytest.param(pax((b"\0", b"x")) + FILE, id="20-nul-in-key"),
        pytest.param(member(b"x", mode=b"1_0\0"), id="36-underscore"),
        pytest.param(member(b"x", mode=b"0o755\0"), id="45-0o"),
        pytest.param(member(b"x", mode=b"8\0"), id="digit-8"),
        pytest.param(member(b"x", mode=b"-1\0"), id="minus"),
        pytest.param(pax((b"uid", b"1_0")) + FILE, id="36-underscore-in-pax"),
        pytest.param(pax((b"size", b"-1")) + FILE, id="62-negative-pax-size"),
        pytest.param(member(b"x", size=b"\xff" * 12), id="62-negative-size"),
        pytest.param(member(b"x", size=b"\x80" + b"\xff" * 11), id="overflowing-size"),
        pytest.param(pax((b"size", b"9223372036854775808")) + FILE, id="overflowing-pax-size"),
        pytest.param(pax((b"mtime", b"1.x")) + FILE, id="bad-time"),
        pytest.param(member(b"p", record(b"path", b"x") + b"junk", kind=b"x") + FILE, id="46-junk"),
        pytest.param(member(b"p", b"3 =\n", kind=b"x") + FILE, id="record-without-a-key"),
        pytest.param(member(b"p", b"99 path=x\n", kind=b"x") + FILE, id="record-too-long"),
        pytest.param(member(b"p", b"-9 path=x\n", kind=b"x") + FILE, id="record-negative"),
        pytest.param(member(b"p", b"9 path=x!", kind=b"x") + FILE, id="record-without-newline"),
        pytest.param(member(b"x", checksum=b"000001\0 "), id="21-wrong-checksum"),
        pytest.param(member(b"x", at_329=b"junk"), id="bad-device-number-of-a-file"),
        pytest.param(FILE[:300], id="ends-within-a-header"),
        pytest.param(FILE[:520], id="ends-within-a-file"),
        pytest.param(FILE + b"\xff" * 512 + FILE, id="59-bad-header-in-the-middle"),
        pytest.param(
            pax((b"GNU.sparse.numbytes", b"1"), (b"GNU.sparse.offset", b"0")) + FILE,
            id="sparse-map-out-of-order",
        ),
    ],
)
def test_stops_where_go_stops(archive: bytes) -> None:
    with pytest.raises(Malformed):
        read(archive + END)


def test_a_checksum_of_signed_bytes_is_one() -> None:
    """As old Sun tars have it."""
    block = bytearray(member(b"\xffbin"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)

    assert names(bytes(block)) == [b"\xffbin"]


def test_old_gnu_sparse_is_refused() -> None:
    with pytest.raises(Unsupported):
        read(member(b"bin/sh", kind=b"S", magic=GNU) + END)


@pytest.mark.parametrize(
    "archive, expected",
    [
        pytest.param(pax((b"path", b"decoy"), kind=b"g") + FILE, "global", id="48-global-path"),
        pytest.param(pax((b"path", b"a")) + pax((b"path", b"b")) + FILE, "upon", id="49-stacked-x"),
        pytest.param(
            pax(
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.realsize", b"9"),
            )
            + FILE,
            "sparse",
            id="47-sparse",
        ),
    ],
)
def test_what_no_honest_builder_emits_is_a_problem(archive: bytes, expected: str) -> None:
    reader = Reader([archive + END], LIMITS)

    assert list(reader)
    assert [expected in problem.detail for problem in reader.problems] == [True]


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(pax((b"comment", b"a1b2"), kind=b"g") + FILE, id="git-archive"),
        pytest.param(pax((b"SCHILY.xattr.user.x", b"\0\n=")) + FILE, id="binary-xattr"),
        pytest.param(member(b"L", b"n" * 300, kind=b"L", magic=GNU) + FILE, id="long-name"),
    ],
)
def test_what_honest_builders_emit_is_none(archive: bytes) -> None:
    reader = Reader([archive + END], LIMITS)

    assert list(reader)
    assert reader.problems == []


def test_what_a_sparse_file_holds_is_not_handed_out() -> None:
    """Its size is a claim, and its data begin with a map."""
    sparse = pax((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"1")) + member(b"x", b"y" * 600)
    reader = Reader([sparse + FILE + END], LIMITS)

    assert [(h.name, h.size, b"".join(reader.body())) for h in reader] == [
        (b"x", 1, b""),
        (b"bin/sh", len(SH), SH),
    ]


def test_problems_are_bounded() -> None:
    reader = Reader([(pax((b"path", b"a")) * 2 + FILE) * 1000], LIMITS)

    assert len(list(reader)) == 1000
    assert len(reader.problems) == 20


@pytest.mark.parametrize(
    "archive, changes",
    [
        pytest.param(FILE * 11, {"entries": 10}, id="entries"),
        pytest.param(pax() * 11, {"entries": 10}, id="headers-count"),
        pytest.param(pax((b"x", b"y" * 600)) + FILE, {"header_bytes": 512}, id="pax-header"),
        pytest.param(
            member(b"L", b"y" * 600, kind=b"L") + FILE, {"header_bytes": 512}, id="long-name"
        ),
        pytest.param(pax((b"path", b"y" * 600)) + FILE, {"path_bytes": 512}, id="path"),
        pytest.param(pax((b"linkpath", b"y" * 600)) + FILE, {"path_bytes": 512}, id="link"),
    ],
)
def test_limits(archive: bytes, changes: dict[str, int]) -> None:
    with pytest.raises(LimitExceeded):
        list(Reader([archive + END], replace(LIMITS, **changes)))


def test_as_many_entries_as_allowed_are_fine() -> None:
    assert len(list(Reader([FILE * 10 + END], replace(LIMITS, entries=10)))) == 10


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read() -> None:
    claim = member(b"p", kind=b"x", size=b"77777777777\0")

    with pytest.raises(LimitExceeded):
        read(claim)


@pytest.mark.parametrize("size", [1, 100, 512, 513, 10_000])
def test_bodies(size: int) -> None:
    bodies = [bytes([n]) * n * 300 for n in range(9)]
    data = b"".join(member(b"f%d" % n, body) for n, body in enumerate(bodies))
    reader = Reader(chunked(data + END, size), LIMITS)
    wanted = {b"f0", b"f3", b"f4", b"f8"}

    read = {header.name: b"".join(reader.body()) for header in reader if header.name in wanted}

    assert read == {b"f%d" % n: bodies[n] for n in (0, 3, 4, 8)}


@pytest.mark.parametrize("size", [1, 3, 512, 513, 514, 515, 10_000])
def test_how_a_body_may_begin(size: int) -> None:
    """Said of every one that begins so, and of others only where a chunk ends within four bytes."""
    bodies = [b"", b"\x7fEL", b"\x7fELF", b"text", SH, b"#!/bin/sh"]
    data = b"".join(member(b"f%d" % n, body) for n, body in enumerate(bodies))
    reader = Reader(chunked(data + END, size), LIMITS)

    said = [(reader.may_begin(b"\x7fELF"), b"".join(reader.body())) for _ in reader]

    assert [body for _, body in said] == bodies
    assert {body for yes, body in said if yes} >= {b"\x7fELF", SH}
    if size == 10_000:
        assert [body for yes, body in said if yes] == [b"\x7fELF", SH]


def test_a_body_may_be_left_half_read() -> None:
    reader = Reader(chunked(member(b"a", bytes(5000)) + FILE + END), LIMITS)

    seen = [(header.name, len(next(reader.body(), b""))) for header in reader]

    assert [name for name, _ in seen] == [b"a", b"bin/sh"]
    assert 0 < seen[0][1] < 5000


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_agrees_with_tarfile_on_honest_archives(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for number in range(200):
            info = tarfile.TarInfo(f"{'d' * (number % 90)}/{number}")
            info.size, info.mode, info.uid = number * 37, 0o600 + number, number * 9999
            archive.addfile(info, io.BytesIO(bytes(info.size)))

    ours = [(h.name.decode(), h.size, h.mode, h.uid) for h in read(out.getvalue())]

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert ours == [(m.name, m.size, m.mode, m.uid) for m in archive]


def test_random_bytes_raise_nothing_but_our_errors() -> None:
    chance = random.Random(1)
    seed = (
        pax((b"path", b"a/b"), (b"size", b"13")) + FILE + member(b"l", kind=b"2", link=b"x") + END
    )
    for _ in range(3000):
        data = bytearray(seed)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for at in range(0, len(data), 512):  # checksums right, or nothing is reached
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        with contextlib.suppress(ImageRefused):
            read(bytes(data))


# What Go's own tests say of its testdata (reader_test.go): names in order, or an error.
GO_TESTDATA = {
    "file-and-dir": [b"small.txt", b"dir/"],
    "gnu": [b"small.txt", b"small2.txt"],
    "gnu-long-nul": [b"0123456789"],
    "gnu-multi-hdrs": [b"GNU2/GNU2/long-path-name"],
    "hardlink": [b"file.txt", b"hard.txt"],
    "pax-multi-hdrs": [b"bar"],
    "pax-path-hdr": [],
    "pax-pos-size-file": [b"foo"],
    "pax-records": [b"file"],
    "pax-sparse-big": [b"pax-sparse"],
    "star": [b"small.txt", b"small2.txt"],
    "ustar-file-devs": [b"file"],
    "v7": [b"small.txt", b"small2.txt"],
    "xattrs": [b"small.txt", b"small2.txt"],
    "gnu-sparse-big": Unsupported,
    "sparse-formats": Unsupported,
    "issue10968": Malformed,
    "issue11169": Malformed,
    "issue12435": Malformed,
    "neg-size": Malformed,
    "pax-bad-hdr-file": Malformed,
    "pax-bad-mtime-file": Malformed,
    "pax-nul-path": Malformed,
    "pax-nul-xattrs": Malformed,
    "writer-big": Malformed,
}


@pytest.mark.parametrize("name", GO_TESTDATA)
def test_gos_testdata(name: str) -> None:
    data = (real_images() / "tar-parser" / f"{name}.tar").read_bytes()
    expected = GO_TESTDATA[name]

    if isinstance(expected, list):
        assert [
            header.name[-len(want) :] for header, want in zip(read(data), expected, strict=True)
        ] == expected
    else:
        with pytest.raises(expected):
            read(data)


def test_gos_testdata_of_global_headers() -> None:
    data = (real_images() / "tar-parser" / "pax-global-records.tar").read_bytes()

    assert [(h.name, h.type == GLOBAL) for h in read(data)] == [
        (b"global1", True),
        (b"file1", False),
        (b"file2", False),
        (b"GlobalHead.0.0", True),
        (b"file3", False),
        (b"file4", False),
    ]


def test_forged_tars_are_read_whole() -> None:
    data = forge.tar([forge.file("a" * 200, b"x", pax={"SCHILY.xattr.user.k": "v"})])

    (header,) = read(data)

    assert header.name == b"a" * 200
    assert header.pax[b"SCHILY.xattr.user.k"] == b"v"


def test_gnu_magic_needs_its_version() -> None:
    """``ustar`` and spaces without GNU's version is V7: no prefix, no devices."""
    assert names(member(b"sh", magic=b"ustar   ", at_345=b"decoy", at_329=b"junk")) == [b"sh"]
    assert names(member(b"sh", magic=USTAR[:6] + b"??", at_345=b"usr")) == [b"usr/sh"]
