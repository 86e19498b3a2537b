"""Tar headers as Go's ``archive/tar`` reads them: a block of 512 bytes, and PAX records.

Functions name the Go function whose rules they keep. All raise ``Malformed`` where Go returns
an error. Where the blocks come from is ``webhook.image.tar``'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
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
_fields = Struct("100s24s12s12s8sc100s255s").unpack
_behind = Struct("8s64x8s8s155s8s4s").unpack
_ADLER: Final = 65_521
_SPACES: Final = 8 * 0x20
_INT64: Final = 1 << 63

_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_TIME = re.compile(rb"([+-]?[0-9]+)(?:\.[0-9]*)?")
_USUAL_TIME = re.compile(rb"[0-9]{1,18}(?:\.[0-9]*)?")
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


_header: Callable[[tuple[object, ...]], Header] = partial(tuple.__new__, Header)
"""``Header`` of a tuple: half the time of its own constructor, and every entry needs it."""


def refuse(what: str) -> NoReturn:
    raise Malformed(f"a tar header is invalid: {what}")


def parse(block: bytes) -> Header:
    """Go: readHeader. Every number must parse, those that are not used, too."""
    name, owner, size, mtime, checksum, kind, link, rest = _fields(block)
    if adler32(block) & 0xFFFF != _low_half(checksum):
        _prove(block, checksum)
    if mtime.strip(b"01234567") != b"\0":
        _number(mtime)
    mode, uid, gid = _owner(owner)
    major, minor, before = _rest(rest)
    text = before + name.partition(b"\0")[0]
    target = link.partition(b"\0")[0] if link[0] else b""
    number = _number(size)
    return _header((text, kind, mode, uid, gid, number, target, major, minor, NO_RECORDS))


# Neighbours in an archive mostly share owner, mode and format, so these are worth remembering.


@lru_cache(maxsize=4096)
def _owner(fields: bytes) -> tuple[int, int, int]:
    """Mode, uid and gid."""
    return _number(fields[:8]), _number(fields[8:16]), _number(fields[16:])


@lru_cache(maxsize=4096)
def _rest(fields: bytes) -> tuple[int, int, bytes]:
    """What lies behind the link: device numbers, and what goes before the name."""
    magic, major, minor, prefix, _, end = _behind(fields)
    if not magic.startswith(b"ustar\0") and magic != b"ustar  \0":
        return 0, 0, b""
    before = _prefix(magic, prefix, end)
    return _number(major), _number(minor), before + b"/" if before else b""


def _prefix(magic: bytes, prefix: bytes, end: bytes) -> bytes:
    """What the format keeps after the device numbers: the name's beginning, or times."""
    if magic == b"ustar  \0":
        return _gnu_prefix(prefix)
    if end != b"tar\0":
        return text_of(prefix)
    _number(prefix[131:143])
    _number(prefix[143:])
    return text_of(prefix[:131])


def _gnu_prefix(prefix: bytes) -> bytes:
    """GNU has times here; where they do not parse, Go takes what its old writer put there."""
    try:
        for times in (prefix[:12], prefix[12:24]):
            if times[0]:
                _number(times)
    except Malformed:
        prefix = text_of(prefix)
        return prefix if prefix.isascii() else b""
    return b""


@lru_cache(maxsize=8192)
def _low_half(field: bytes) -> int:
    """What adler32's low half is of a block whose checksum is right, and written so.

    It is 1 + the bytes' sum, mod 65521: far quicker than ``sum``. That a wrong checksum off by
    just that modulus passes is harmless: no node takes the layer.
    """
    return (_octal(field) - _SPACES + sum(field) + 1) % _ADLER


def _prove(block: bytes, field: bytes) -> None:
    """Check the sum over the block, its own field taken as spaces (Go: computeChecksum)."""
    blanked = block[:148] + b"        " + block[156:]
    # Either POSIX's sum, or Sun's of signed bytes.
    if _octal(field) not in {sum(blanked), sum(blanked) - 256 * sum(b > 0x7F for b in blanked)}:  # noqa: PLR2004
        refuse("its checksum is wrong")


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
    if usual := _lines(data):
        return usual
    found: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data):
        key, value, at = _record(data, at)
        if key in (_SPARSE_OFFSET, _SPARSE_BYTES):
            if key != (_SPARSE_OFFSET, _SPARSE_BYTES)[len(sparse) % 2] or b"," in value:
                refuse("a PAX sparse map is out of order")
            sparse.append(value)
        else:
            found[key] = value
    return {**found, _SPARSE_MAP: b",".join(sparse)} if sparse else found


def _lines(data: bytes) -> Records | None:
    """The records where each is a line, as times and paths are; None where one may not be."""
    found: dict[bytes, bytes] = {}
    *lines, last = data.split(b"\n")
    if last or data.find(b"\0") >= 0 or data.find(b"GNU.sparse") >= 0:  # sooner than by ``in``
        return None
    for line in lines:
        length, _, record = line.partition(b" ")
        key, equals, found[key] = record.partition(b"=")
        if length != b"%d" % (len(line) + 1) or not key or not equals:
            return None
    return found


def _record(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """A record's key and value, and where the next one begins (Go: parsePAXRecord)."""
    length, space, _ = data[at : at + 32].partition(b" ")
    end = at + (_decimal(length) if space else 0)
    key, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
    if not key or not equals or end > len(data) or data[end - 1 : end] != b"\n":
        refuse("a PAX record does not fit")
    if b"\0" in (value if key in _STRINGS else key):
        refuse("a PAX record holds a NUL byte")
    return key, value, end


def merged(header: Header, pax: Records) -> Header:
    """The entry under its PAX records (Go: mergePAX): an empty value changes nothing."""
    for key in _TIMES:
        value = pax.get(key)
        if value and not _USUAL_TIME.fullmatch(value):
            _prove_time(value)
    if pax.keys() <= _TIMES:
        return _header((*header[:-1], pax))
    numbers = {key: _decimal(value) for key in (b"uid", b"gid", b"size") if (value := pax.get(key))}
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
