"""Tar headers byte by byte, for what ``tarfile`` would not write."""

from __future__ import annotations

USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)
END = bytes(1024)


def member(
    name: bytes,
    body: bytes = b"",
    *,
    kind: bytes = b"0",
    mode: bytes = b"0000755\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    size: bytes | None = None,
    link: bytes = b"",
    magic: bytes = USTAR,
    at_329: bytes = b"",
    at_345: bytes = b"",
    at_508: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """A header with its checksum, and the body padded to blocks.

    ``at_329``: device numbers; ``at_345``: ustar's prefix, GNU's times; ``at_508``: STAR's mark.
    """
    block = bytearray(512)
    fields = {
        0: name,
        100: mode,
        108: uid,
        116: gid,
        124: b"%011o\0" % len(body) if size is None else size,
        136: b"00000000000\0",
        156: kind,
        157: link,
        257: magic,
        329: at_329,
        345: at_345,
        508: at_508,
    }
    for at, field in fields.items():
        block[at : at + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block) if checksum is None else checksum
    return bytes(block) + body + bytes(-len(body) % 512)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header (``x``), or a global one (``g``)."""
    return member(
        b"PaxHeaders/x", b"".join(record(key, value) for key, value in records), kind=kind
    )


def record(key: bytes, value: bytes) -> bytes:
    """``27 path=usr/bin/something\\n``."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest
