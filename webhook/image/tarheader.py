"""Tar headers as Go's ``archive/tar`` reads them: a block of 512 bytes, and PAX records.

Functions name the Go function whose rules they keep. All raise ``Malformed`` where Go returns
an error. Where the blocks come from is ``webhook.image.tar``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, NoReturn
from zlib import adler32

from webhook.errors import Malformed

REGULAR, LINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO = (b"%d" % n for n in range(7))
OLD_REGULAR: Final = b"\0"
BODILESS = frozenset({LINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO})
"""Have no data whatever their size says (Go: isHeaderOnlyType)."""

SIZE: Final = 512
"""Bytes of a block."""
_fields = Struct("100s8s8s8s12s12s8sc100s8s64s8s8s155s8s4s").unpack
_ADLER: Final = 65_521
_INT64: Final = 1 << 63

_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_TIME = re.compile(rb"([+-]?[0-9]+)(?:\.[0-9]*)?")
_STRINGS = frozenset({b"path", b"linkpath", b"uname", b"gname"})
_TIMES = frozenset({b"atime", b"mtime", b"ctime"})
_SPARSE_OFFSET, _SPARSE_BYTES = b"GNU.sparse.offset", b"GNU.sparse.numbytes"
_SPARSE_MAP: Final = b"GNU.sparse.map"

Records = Mapping[bytes, bytes]
NO_RECORDS: Final[Records] = {}


class Header(NamedTuple):
    """One entry, as Go's ``tar.Header``: nothing is cleaned or masked yet."""

    name: bytes
    type: bytes
    """``REGULAR`` to ``FIFO``, ``GLOBAL``, or a byte that containerd does not know."""
    mode: int
    uid: int
    gid: int
    size: int
    """Logical, in bytes; of entries without a body, too."""
    link: bytes
    major: int
    minor: int
    pax: Records = NO_RECORDS


def refuse(what: str) -> NoReturn:
    raise Malformed(f"a tar header is invalid: {what}")


def parse(block: bytes) -> Header:
    """Go: readHeader. Every number must parse, those that are not used, too."""
    (
        name,
        mode,
        uid,
        gid,
        size,
        mtime,
        checksum,
        kind,
        link,
        magic,
        _,
        major,
        minor,
        prefix,
        _,
        end,
    ) = _fields(block)
    _prove(block, checksum)
    _number(mtime)
    name = text_of(name)
    devices = (0, 0)
    if magic.startswith(b"ustar\0") or magic == b"ustar  \0":
        devices = (_number(major), _number(minor))
        if before := _prefix(block, magic, prefix, end):
            name = before + b"/" + name
    return Header(
        name,
        kind,
        _number(mode),
        _number(uid),
        _number(gid),
        _number(size),
        text_of(link),
        *devices,
    )


def _prefix(block: bytes, magic: bytes, prefix: bytes, end: bytes) -> bytes:
    """What the format keeps after the device numbers: the name's beginning, or times."""
    if magic == b"ustar  \0":
        return _gnu_prefix(block)
    if end != b"tar\0":
        return text_of(prefix)
    _number(block[476:488])
    _number(block[488:500])
    return text_of(block[345:476])


def _gnu_prefix(block: bytes) -> bytes:
    """GNU has times here; where they do not parse, Go takes what its old writer put there."""
    try:
        for times in (block[345:357], block[357:369]):
            if times[0]:
                _number(times)
    except Malformed:
        prefix = text_of(block[345:500])
        return prefix if prefix.isascii() else b""
    return b""


def _prove(block: bytes, field: bytes) -> None:
    """Check the sum over the block, its own field taken as spaces (Go: computeChecksum).

    The low half of adler32 is 1 + the bytes' sum, mod 65521: far quicker than ``sum``. That
    a wrong checksum off by just that modulus passes is harmless: no node takes the layer.
    """
    claimed = _octal(field)
    blanked = block[:148] + b"        " + block[156:]
    if adler32(blanked) & 0xFFFF == (claimed + 1) % _ADLER:
        return
    if claimed != sum(blanked) - 256 * sum(byte > 0x7F for byte in blanked):  # noqa: PLR2004
        refuse("its checksum is wrong")  # neither POSIX's sum nor Sun's of signed bytes


def text_of(field: bytes) -> bytes:
    """Go: parseString."""
    return field.partition(b"\0")[0]


@lru_cache(maxsize=4096)
def _number(field: bytes) -> int:
    """Base-256 where bit 7 of the first byte is set, else octal (Go: parseNumeric)."""
    if not field[0] & 0x80:
        return _octal(field)
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if field[0] & 0x40:
        value -= 1 << bits
    if not -_INT64 <= value < _INT64:
        refuse("a number is too big")
    return value


@lru_cache(maxsize=4096)
def _octal(field: bytes) -> int:
    """Go: parseOctal. Never longer than 12 digits, so it cannot overflow."""
    digits = text_of(field.strip(b" \0"))
    if digits.strip(b"01234567"):
        refuse(f"{field!r} is no octal number")
    return int(digits or b"0", 8)


def _decimal(text: bytes) -> int:
    """Go: strconv.ParseInt(text, 10, 64)."""
    if not _DECIMAL.fullmatch(text) or len(text) > 4_000:  # noqa: PLR2004 - CPython's own limit
        refuse(f"{text[:40]!r} is no number")
    value = int(text)
    if not -_INT64 <= value < _INT64:
        refuse("a number is too big")
    return value


def records(data: bytes) -> Records:
    """The records of a PAX header (Go: parsePAX, parsePAXRecord, validPAXRecord)."""
    found: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data):
        length, space, _ = data[at : at + 32].partition(b" ")
        end = at + (_decimal(length) if space else 0)
        key, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        if not key or not equals or end > len(data) or data[end - 1 : end] != b"\n":
            refuse("a PAX record does not fit")
        if b"\0" in (value if key in _STRINGS else key):
            refuse("a PAX record holds a NUL byte")
        if key in (_SPARSE_OFFSET, _SPARSE_BYTES):
            if key != (_SPARSE_OFFSET, _SPARSE_BYTES)[len(sparse) % 2] or b"," in value:
                refuse("a PAX sparse map is out of order")
            sparse.append(value)
        else:
            found[key] = value
        at = end
    return {**found, _SPARSE_MAP: b",".join(sparse)} if sparse else found


def merged(header: Header, pax: Records) -> Header:
    """The entry under its PAX records (Go: mergePAX): an empty value changes nothing."""
    numbers = {key: _decimal(value) for key in (b"uid", b"gid", b"size") if (value := pax.get(key))}
    for key in _TIMES:
        if value := pax.get(key):
            _prove_time(value)
    return header._replace(
        name=pax.get(b"path") or header.name,
        link=pax.get(b"linkpath") or header.link,
        uid=numbers.get(b"uid", header.uid),
        gid=numbers.get(b"gid", header.gid),
        size=numbers.get(b"size", header.size),
        pax=pax,
    )


def _prove_time(value: bytes) -> None:
    """Go: parsePAXTime."""
    match = _TIME.fullmatch(value)
    if not match:
        refuse(f"{value[:40]!r} is no time")
    if len(match[1]) > 18:  # noqa: PLR2004 - so many digits always fit in 64 bits
        _decimal(match[1])


def is_sparse(pax: Records) -> bool:
    """Go: readGNUSparsePAXHeaders. A name or size without version or map means nothing."""
    version = (pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b""))
    if version == (b"", b""):
        return bool(pax.get(_SPARSE_MAP))
    return version in {(b"0", b"0"), (b"0", b"1"), (b"1", b"0")}


def expanded(header: Header) -> Header:
    """A sparse file with the name and size it has when its holes are filled."""
    if header.type in BODILESS:
        refuse("a sparse file of a type without a body")
    size = header.pax.get(b"GNU.sparse.size") or header.pax.get(b"GNU.sparse.realsize")
    return header._replace(
        name=header.pax.get(b"GNU.sparse.name") or header.name,
        size=_decimal(size) if size else header.size,
    )
