"""Tar archives walked as Go's ``archive/tar`` walks them, because containerd does.

Bytes in, headers out, bodies for those who ask. Python's ``tarfile`` gives other names, sizes or
ends for hostile archives, silently. What Go accepts but no honest builder emits is read as Go
reads it and noted in ``Reader.problems``. This module knows nothing of layers: a whiteout is an
ordinary file here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from webhook.errors import LimitExceeded, Malformed, Unsupported
from webhook.image.facts import Problem
from webhook.image.tarheader import (
    BODILESS,
    DIRECTORY,
    NO_RECORDS,
    OLD_REGULAR,
    REGULAR,
    SIZE,
    Header,
    Records,
    expanded,
    is_sparse,
    merged,
    parse,
    records,
    refuse,
    text_of,
)
from webhook.limits import Limits

GLOBAL: Final = b"g"
"""A PAX global header: Go hands it out as an entry of its own and applies it to no other."""
XATTR: Final = b"SCHILY.xattr."
"""What the PAX keys of extended attributes begin with."""

_LONG_NAME, _LONG_LINK, _GNU_SPARSE = b"L", b"K", b"S"
_META: Final = frozenset({b"x", _LONG_NAME, _LONG_LINK, GLOBAL})
"""Types of headers that say something of the next one."""
_ODD: Final = frozenset({OLD_REGULAR, _GNU_SPARSE})
"""Types that are not what they say."""
_REDIRECTING: Final = (b"path", b"linkpath", b"size")
_ZERO: Final = bytes(SIZE)
_MAX_PROBLEMS: Final = 20


class Reader:
    """A stream of entries; the body of each may be read before the next is asked for.

    Iterating raises ``Malformed`` where Go stops with an error, ``Unsupported`` for old GNU
    sparse entries (which containerd refuses, and which would need more headers read), and
    ``LimitExceeded``. What follows the end of the archive is left in the chunks.
    """

    def __init__(self, chunks: Iterable[bytes], limits: Limits) -> None:
        self.problems: list[Problem] = []
        self._chunks = iter(chunks)
        self._limits = limits
        self._buffer = b""
        self._at = 0
        self._left = 0
        """Bytes of the current body that were not read yet."""
        self._pad = 0
        self._pax: Records = NO_RECORDS
        self._long_name = self._long_link = b""

    def __iter__(self) -> Iterator[Header]:
        longest, most = self._limits.path_bytes, self._limits.entries
        for number in count():
            if (block := self._next_header()) is None:
                return
            if number >= most:
                raise LimitExceeded("the layers have more tar entries than allowed")
            header = parse(block)
            self._open(header)
            if header.type in _META:
                self._extend(header)
                if header.type != GLOBAL:
                    continue
                header = self._announced(header)
            elif self._pax or self._long_name or self._long_link or header.type in _ODD:
                header = self._finish(header)
            self._pax, self._long_name, self._long_link = NO_RECORDS, b"", b""
            if len(header.name) > longest or len(header.link) > longest:
                raise LimitExceeded(f"a tar path has more than {self._limits.path_bytes} bytes")
            yield header

    def body(self) -> Iterator[memoryview]:
        """The rest of the current entry's data as it lies in the chunks: nothing is copied."""
        while self._left:
            if self._at == len(self._buffer) and not self._fill():
                raise Malformed("a tar archive ends within a file")
            piece = memoryview(self._buffer)[self._at : self._at + self._left]
            self._at += len(piece)
            self._left -= len(piece)
            yield piece

    def may_begin(self, first: bytes, /) -> bool:
        """Whether the current entry's data begins so, or its chunk ends too early to tell."""
        known = len(self._buffer) - self._at >= len(first)
        return self._buffer.startswith(first, self._at) if known else self._left >= len(first)

    def _whole_body(self) -> bytes:
        start, end = self._at, self._at + self._left
        if end > len(self._buffer):
            return b"".join(self.body())
        self._at, self._left = end, 0
        return self._buffer[start:end]

    # What the headers mean, in the order of Go's Reader.next.

    def _open(self, header: Header) -> None:
        """Say where the body ends (Go: handleRegularFile)."""
        size = 0 if header.type in BODILESS else header.size
        if size < 0:
            refuse("a negative size")
        self._left, self._pad = size, -size % SIZE

    def _extend(self, header: Header) -> None:
        """Read a header that says something of the next one."""
        if header.size > self._limits.header_bytes:
            raise LimitExceeded(f"a tar header has more than {self._limits.header_bytes} bytes")
        data = self._whole_body()
        if header.type == _LONG_NAME:
            self._long_name = text_of(data)
        elif header.type == _LONG_LINK:
            self._long_link = text_of(data)
        else:
            if self._pax:
                self._note("one PAX header stands upon another", header.name)
            self._pax = records(data)

    def _announced(self, header: Header) -> Header:
        """A global header, and its own name is all it changes."""
        if any(self._pax.get(key) for key in _REDIRECTING):
            self._note("a global PAX header renames or resizes files", header.name)
        return Header(
            self._pax.get(b"path") or header.name, GLOBAL, 0, 0, 0, 0, b"", 0, 0, self._pax
        )

    def _finish(self, header: Header) -> Header:
        """The entry with all that was said of it before."""
        if header.type == _GNU_SPARSE:
            raise Unsupported("a layer holds an old GNU sparse file")
        if self._pax:
            header = merged(header, self._pax)
        if self._long_name or self._long_link:
            header = header._replace(
                name=self._long_name or header.name, link=self._long_link or header.link
            )
        if header.type == OLD_REGULAR:
            header = header._replace(type=DIRECTORY if header.name.endswith(b"/") else REGULAR)
        self._open(header)
        if self._pax and is_sparse(self._pax):
            header = expanded(header)
            self._note("a sparse file, whose content is not looked into", header.name)
            self._left, self._pad = 0, self._left + self._pad
        return header

    def _note(self, what: str, name: bytes) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(
                Problem(reason="malformed", detail=f"tar: {what} ({name[:200]!r})")
            )

    # Where the bytes are.

    def _next_header(self) -> bytes | None:
        """Go: readHeader's beginning. One zero block may end the stream, two end the archive."""
        start = self._at + self._left + self._pad
        if start + SIZE <= len(self._buffer):  # nearly always: all of it lies in this chunk
            self._at, self._left, self._pad = start + SIZE, 0, 0
            block: bytes | None = self._buffer[start : self._at]
        else:
            self._skip_body()
            block = self._block()
        if block != _ZERO:
            return block
        if self._block() in (None, _ZERO):
            return None
        return refuse("one zero block, and then data")

    def _skip_body(self) -> None:
        if self._at + self._left + self._pad <= len(self._buffer):
            self._at += self._left + self._pad
        elif self._missing(self._left):
            raise Malformed("a tar archive ends within a file")
        else:
            self._missing(self._pad)  # the last one may be cut short (Go: tryReadFull)
        self._left = self._pad = 0

    def _missing(self, count: int) -> int:
        """Go ``count`` bytes ahead; returns how many of them are not there."""
        while (have := len(self._buffer) - self._at) < count:
            count -= have
            if not self._fill():
                return count
        self._at += count
        return 0

    def _block(self) -> bytes | None:
        """The next 512 bytes; None at the end of the stream."""
        start, end = self._at, self._at + SIZE
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[start:end]
        block = self._buffer[start:]
        while len(block) < SIZE and self._fill():
            self._at = SIZE - len(block)
            block += self._buffer[: self._at]
        self._at = min(self._at, len(self._buffer))
        if block and len(block) < SIZE:
            raise Malformed("a tar archive ends within a header")
        return block or None

    def _fill(self) -> bool:
        """Go to the next chunk; False when there is none."""
        self._buffer, self._at = next(filter(None, self._chunks), b""), 0
        return bool(self._buffer)
