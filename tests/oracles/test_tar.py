"""The tar walk against Go's ``archive/tar``, aimed at what the two formats and PAX mix up."""

from __future__ import annotations

import base64

import pytest
from hypothesis import strategies as st

from tests.image.reading import LIMITS, chunked
from tests.oracles.support import BOTH_REFUSE, EQUAL, refused
from tests.support.rawtar import GNU, USTAR, V7, member, record
from webhook.errors import ImageRefused
from webhook.image.tar import GLOBAL, XATTR, Reader
from webhook.image.tarheader import REGULAR

STAR = b"tar\0"
BLOCK = 512
CLASSES = {
    "old GNU sparse": "old GNU sparse",
    "PAX sparse": "a sparse file, whose content",
    "stacked PAX headers": "one PAX header stands upon another",
    "global redirection": "a global PAX header renames or resizes",
    "long path": "a tar path has more than",
}

NAMES = st.sampled_from(
    [
        *(b"", b"a", b"bin/sh", b"./bin//sh", b"/bin/sh", b"../../bin/sh", b"d/", b"\xff\xfe"),
        *(b"a\0b", b"GNUSparseFile.0/sh", b"n" * 100, b"x" * 99 + b"/", b".wh.sh", b"A", b"a "),
        *("é".encode(), b"l\nf", b"\0hidden"),
    ]
)
TYPES = st.sampled_from([*b"0000000\x00\x00\x00123456", *b"7SXDMNVAxgLK\xff "]).map(
    lambda number: bytes([number])
)
MAGICS = st.sampled_from([USTAR, USTAR, GNU, GNU, V7, b"ustar\0", b"ustar  ", b"USTAR\0", b"ustar"])


def octal(width: int) -> st.SearchStrategy[bytes]:
    """Numbers as tar writes them, in every way that Go takes."""
    small = st.integers(0, 0o7777).map(lambda n: b"%o" % n)
    plain = st.integers(0, 8 ** (width - 1) - 1).map(lambda n: b"%o" % n)
    blanks = st.sampled_from([b"", b" ", b"\0", b"\0 "])
    binary = st.integers(0, 2 ** min(8 * width - 2, 63) - 1).map(
        lambda n: (n | 1 << (8 * width - 1)).to_bytes(width, "big")
    )
    padded = st.tuples(blanks, small, blanks).map(b"".join)
    return st.one_of(small, plain, padded, binary).map(
        lambda field: field[:width].ljust(width, b"\0")
    )


def wild(width: int) -> st.SearchStrategy[bytes]:
    """Numbers that Go may not take: signs, other digits, negative and huge base-256."""
    binary = st.integers(-(2**63) - 1, 2**64).map(
        lambda n: (n % 256**width | 1 << (8 * width - 1)).to_bytes(width, "big")
    )
    odd = st.sampled_from(
        [b"-1", b"+7", b"8", b"0o7", b"1_0", b"7\x007", b"7 7", b"\xff" * width, b"\x80", b"\x81"]
    )
    return st.one_of(binary, odd).map(lambda field: field[:width].ljust(width, b"\0"))


OCTAL, OCTAL_SIZE = octal(8), octal(12)
WILD, WILD_SIZE = wild(8), wild(12)
SMALL_SIZES = st.sampled_from([0, 0, 1, 511, 512, 513, 1024])
PAX_NUMBERS = st.one_of(
    st.sampled_from([b"0", b"1", b"512", b"600", b"1000", b"", b"+5", b"-0", b"007"]),
    st.sampled_from([b"0", b"1", b"512", b"600", b"1000", b"", b"+5", b"-0", b"007"]),
    st.sampled_from(
        [b"1_0", b" 1", b"1 ", b"1.5", b"0x10", b"\xd9\xa1", b"-1"]
        + [b"%d" % n for n in (2**31, 2**32, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1)]
    ),
)
PAX_TIMES = st.sampled_from(
    [b"", b"0", b"1.5", b"-1.25", b"1.", b"9" * 18, b"2", b"+3", b"-0.5", b"1.123456789123"] * 3
    + [b".5", b"1.x", b"1e3", b"-", b"9" * 19, b"1..2"]
)
PAX_RECORDS = st.one_of(
    st.tuples(st.sampled_from([b"path", b"linkpath", b"uname", b"gname"]), NAMES),
    st.tuples(st.sampled_from([b"size", b"uid", b"gid"]), PAX_NUMBERS),
    st.tuples(
        st.sampled_from([b"atime", b"mtime", b"ctime", b"LIBARCHIVE.creationtime"]), PAX_TIMES
    ),
    st.tuples(
        st.sampled_from([XATTR + b"security.capability", XATTR, XATTR + b"a=b", XATTR + b"u\0v"]),
        st.sampled_from([b"", b"v", b"\0\1", b"a=b"]),
    ),
    st.tuples(
        st.sampled_from([b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.numblocks"]),
        st.sampled_from([b"0", b"1", b"2", b"", b"x"]),
    ),
    st.tuples(st.sampled_from([b"GNU.sparse.name"]), NAMES),
    st.tuples(
        st.sampled_from(
            [
                b"GNU.sparse.size",
                b"GNU.sparse.realsize",
                b"GNU.sparse.offset",
                b"GNU.sparse.numbytes",
            ]
        ),
        PAX_NUMBERS,
    ),
    st.tuples(
        st.just(b"GNU.sparse.map"),
        st.sampled_from([b"0,1", b"0,1,5,2", b"", b"1", b"a,b", b"0,-1"]),
    ),
    st.tuples(st.sampled_from([b"comment", b"", b"k\0", b"hdrcharset"]), st.just(b"c")),
)
ODD_RECORDS = st.sampled_from(
    [
        *(b"5 a=b\n", b"6 a=b\n", b"7 a=b\n", b"06 a=b\n", b"+6 a=b\n", b"-6 a=b\n", b"6 a=b\0"),
        *(b" ", b"6 =ab\n", b"6  a=\n", b"6 abc\n", b"\0", b"9999999999999999999999 a=b\n", b"6"),
        *(b"0 ", b"3 \n", b"1_6 a=b\n", b"00000000000000000000000000000006 a=b\n"),
    ]
)


PAX_LISTS = st.lists(PAX_RECORDS, max_size=3)
PAX_KINDS = st.sampled_from([b"x", b"x", b"x", b"g"])


@st.composite
def extended(draw: st.DrawFn) -> bytes:
    """A PAX header, mostly well made."""
    body = b"".join(record(*one) for one in draw(PAX_LISTS))
    if draw(RARELY):
        body += draw(ODD_RECORDS)
    return member(b"PaxHeaders/x", body, kind=draw(PAX_KINDS))


LONG = st.tuples(NAMES, st.sampled_from([b"\0", b"", b"\0junk"])).map(b"".join)
LONG_KINDS = st.sampled_from([b"L", b"K"])


@st.composite
def long_names(draw: st.DrawFn) -> bytes:
    """GNU's way of writing a long name or link."""
    return member(b"././@LongLink", draw(LONG), kind=draw(LONG_KINDS), magic=GNU)


PLAIN_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "mode": OCTAL,
        "uid": OCTAL,
        "gid": OCTAL,
        "link": NAMES,
        "at_329": st.tuples(OCTAL, OCTAL).map(b"".join),
        "at_345": st.one_of(NAMES, OCTAL_SIZE),
        "at_508": st.sampled_from([STAR, b"junk"]),
    },
)
WILD_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "mode": WILD,
        "uid": WILD,
        "gid": WILD,
        "size": WILD_SIZE,
        "at_329": WILD,
        "at_345": st.one_of(NAMES, WILD_SIZE, st.binary(max_size=155)),
        "checksum": st.one_of(OCTAL, st.sampled_from([b"0" * 8, b" " * 8, b"\xff" * 8])),
    },
)
RARELY = st.sampled_from([*[False] * 15, True])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """An entry, mostly well made."""
    fields = draw(PLAIN_FIELDS)
    if draw(RARELY):
        fields |= draw(WILD_FIELDS)
    body = b"B" * draw(SMALL_SIZES)
    made = member(draw(NAMES), body, kind=draw(TYPES), magic=draw(MAGICS), **fields)
    return touched(made, draw) if draw(RARELY) else made


def touched(made: bytes, draw: st.DrawFn) -> bytes:
    """The same header with a byte changed and its checksum right, by either way of adding up."""
    block = bytearray(made[:BLOCK])
    block[draw(st.integers(0, BLOCK - 1))] = draw(st.integers(0, 255))
    block[148:156] = b" " * 8
    signed = draw(st.booleans())
    total = sum(byte - 256 * (signed and byte > 127) for byte in block)
    block[148:156] = b"%06o\0 " % max(total, 0)
    return bytes(block) + made[BLOCK:]


SEPARATORS = st.sampled_from([bytes(BLOCK), bytes(2 * BLOCK), b"junk" * 128, b"half a block"])


SPARSE = st.tuples(
    st.sampled_from([((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")), ()]),
    st.sampled_from(
        [
            (),
            ((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.numblocks", b"1")),
            ((b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"1")),
            ((b"GNU.sparse.map", b"0,1,600,2"), (b"GNU.sparse.numblocks", b"2")),
        ]
    ),
    st.sampled_from([(), ((b"GNU.sparse.name", b"bin/sh"),)]),
    st.sampled_from(
        [(), ((b"GNU.sparse.size", b"1024"),), ((b"GNU.sparse.realsize", b"1099511627776"),)]
    ),
).map(lambda groups: [one for group in groups for one in group])
MAPS = st.sampled_from([b"", b"1\n0\n1\n", b"1\n0\n0\n", b"2\n0\n1\n600\n2\n", b"x"])


@st.composite
def sparse_files(draw: st.DrawFn) -> bytes:
    """A file with holes, as PAX versions 0.0, 0.1 and 1.0 write them, or half of one."""
    inner = draw(MAPS)
    body = inner + bytes(-len(inner) % BLOCK) + b"B" * draw(SMALL_SIZES)
    return member(
        b"PaxHeaders/x", b"".join(record(*one) for one in draw(SPARSE)), kind=b"x"
    ) + member(draw(NAMES), body, kind=draw(TYPES))


PARTS = st.lists(
    st.one_of(files(), files(), files(), extended(), extended(), long_names(), sparse_files()),
    min_size=1,
    max_size=6,
)
ENDS = st.sampled_from([*[bytes(2 * BLOCK)] * 4, bytes(BLOCK), b"", bytes(700), bytes(10240)])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Entries with what announces them, an end of some kind, and now and then a cut."""
    pieces = draw(PARTS)
    if draw(RARELY):
        pieces.insert(draw(st.integers(0, len(pieces))), draw(SEPARATORS))
    archive = b"".join(pieces) + draw(ENDS)
    if draw(RARELY):
        archive = archive[: draw(st.integers(0, len(archive)))]
    return archive


@pytest.fixture(scope="module")
def ask(oracle):
    return oracle("tar")


def ours(data: bytes):
    """The entries as the oracle tells them, and the notes that deny an image."""
    reader = Reader(chunked(data, 700), LIMITS)
    entries = []
    for header in reader:
        body = b"".join(reader.body()) if header.type == REGULAR else b""
        if header.type == GLOBAL:
            entries.append(GLOBAL)
            continue
        xattrs = sorted(
            (key.removeprefix(XATTR), value)
            for key, value in header.pax.items()
            if key.startswith(XATTR)
        )
        entries.append((*header[:9], tuple(xattrs), body))
    return entries, reader.problems


def theirs(entry):
    # Of a global header nothing is used; Go even reads its records in no order, up to a fault.
    if bytes([entry["type"]]) == GLOBAL:
        return GLOBAL
    name, link, body = (base64.b64decode(entry[key] or "") for key in ("name", "link", "body"))
    numbers = [entry[key] for key in ("mode", "uid", "gid", "size")]
    xattrs = tuple(tuple(map(base64.b64decode, pair)) for pair in entry["xattrs"])
    devices = (entry["major"], entry["minor"])
    return (name, bytes([entry["type"]]), *numbers, link, *devices, xattrs, body)


def compare(answer, data: bytes):
    try:
        entries, notes = ours(data)
    except ImageRefused as error:
        return BOTH_REFUSE if "error" in answer else refused(error.detail, CLASSES)
    expected = [theirs(entry) for entry in answer["entries"]]
    if "error" not in answer and entries == expected:
        return EQUAL
    if notes:
        return BOTH_REFUSE if "error" in answer else refused(notes[0].detail, CLASSES)
    assert "error" not in answer, f"slimgate takes it: {answer['error']}"
    assert entries == expected
    return EQUAL


def test_entries(ask, truth):
    """The same entries, in the same order, with the same bodies; or both refuse."""
    truth("tar", archives(), lambda data: compare(ask(data), data))
