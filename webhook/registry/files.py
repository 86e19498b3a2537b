"""Files by name, in a folder or in a tar that is never unpacked.

A tar is read once for its headers, and its files by their offsets after that. Standard input
and gzip'd tars have no offsets, so they are spooled to a nameless temporary file first.

Knows files. Does not know what they hold. Layers are read by ``webhook.image``: this is for
what is around them, which is no more to be trusted.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import os
import posixpath
import stat
import sys
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from webhook.errors import LimitExceeded, Malformed, NotFound
from webhook.limits import Limits

CHUNK_BYTES = 256 * 1024
_MEMBERS = 20_000
_LINKS = 8
_HEADER_BYTES = 64 << 10
_NAME_CHARACTERS = 4096  # all names are kept, of all members
_GZIP = b"\x1f\x8b\x08"
_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo must not hold us up


@dataclass(frozen=True, slots=True)
class Stored:
    """One file: its size in bytes, and its bytes as often as they are asked for."""

    size: int
    chunks: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, data: bytes) -> Stored:
        """A file that is in memory."""
        return cls(len(data), lambda: iter((data,)))

    def read(self, limit: int, what: str) -> bytes:
        """All of a small file, ``what`` it is called. Raises ``LimitExceeded``."""
        if self.size > limit:
            raise LimitExceeded(f"{what} has {self.size} bytes, the limit is {limit}")
        return b"".join(self.chunks())


class Files(Protocol):
    """A set of files."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    def find(self, name: str) -> Stored | None:
        """The regular file of this relative name; None: there is none."""


@dataclass(frozen=True, slots=True)
class Folder:
    """``Files`` below a folder. Names come from us or were checked: they lead nowhere else."""

    path: Path

    @property
    def name(self) -> str:
        """The folder as the user wrote it."""
        return str(self.path)

    def find(self, name: str) -> Stored | None:
        """The file, opened anew each time it is read."""
        path = self.path / name
        try:
            status = path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return Stored(status.st_size, lambda: _chunks_of(path, status.st_size))


class Tar:
    """``Files`` of a tar archive; safe for threads."""

    def __init__(self, name: str, descriptor: int) -> None:
        """Take over the file descriptor of a regular file. Raises ``Malformed``."""
        self.name = name
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self._members = _index(descriptor, name)

    @classmethod
    def open(cls, path: str, limits: Limits, stdin: BinaryIO | None = None) -> Tar:
        """Open a file, or standard input for ``-``.

        Raises:
            NotFound: there is no such file.
            Malformed: it is no tar.
            LimitExceeded: it unpacks, or comes, to more than ``limits.unpacked_bytes``.
        """
        if path == "-":
            name = "standard input"
            return cls(name, _spool(stdin or sys.stdin.buffer, name, limits))
        try:
            file = Path(path).open("rb")  # noqa: SIM115 - the with follows
        except OSError as error:
            raise NotFound(f"{path}: {error.strerror}") from error
        with file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if regular and os.pread(file.fileno(), len(_GZIP), 0) != _GZIP:
                return cls(path, os.dup(file.fileno()))
            return cls(path, _spool(file, path, limits))

    def find(self, name: str) -> Stored | None:
        """The file; a link is followed inside the archive, as ``docker load`` does."""
        member = self._members.get(posixpath.normpath(name))
        for _ in range(_LINKS):
            if isinstance(member, str):
                member = self._members.get(posixpath.normpath(member))
        if member is None or isinstance(member, str):
            return None
        offset, size = member
        return Stored(size, lambda: self._chunks(offset, size))

    def _chunks(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        while offset < end:
            chunk = os.pread(self._descriptor, min(CHUNK_BYTES, end - offset), offset)
            if not chunk:
                raise Malformed(f"{self.name} became shorter while it was read")
            yield chunk
            offset += len(chunk)


_Member = tuple[int, int] | str
"""Offset and size of a file, or where a link leads."""


class _Headers(io.FileIO):
    """What ``tarfile`` reads while it looks for headers is headers, so none may be large."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As ``FileIO.read``. Raises ``LimitExceeded``."""
        if size is None or not 0 <= size <= _HEADER_BYTES:
            raise LimitExceeded(f"a header of the archive has {size} bytes")
        return super().read(size) or b""


def _index(descriptor: int, name: str) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        with (
            _Headers(descriptor, closefd=False) as file,
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            # Counted as they come: a negative size would lead tarfile round and round.
            for number in itertools.count():
                member = archive.next()
                if member is None:
                    break
                if number >= _MEMBERS:
                    raise LimitExceeded(f"{name} has more than {_MEMBERS} files")
                archive.members = []  # type: ignore[attr-defined] # tarfile would keep all
                if max(len(member.name), len(member.linkname)) > _NAME_CHARACTERS:
                    raise LimitExceeded(f"{name} has a file with a longer name than any has")
                found = _member(member)
                if found is not None:
                    members[posixpath.normpath(member.name.lstrip("/"))] = found
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise Malformed(f"{name} is no tar archive that can be read ({error})") from error
    return members


def _member(member: tarfile.TarInfo) -> _Member | None:
    if member.isreg():
        return member.offset_data, member.size
    if member.issym():
        return posixpath.join(posixpath.dirname(member.name.lstrip("/")), member.linkname)
    return member.linkname.lstrip("/") if member.islnk() else None


def _spool(source: BinaryIO, name: str, limits: Limits) -> int:
    """Copy to a temporary file, ungzipped, and return a descriptor of that."""
    buffered = io.BufferedReader(source, CHUNK_BYTES)  # type: ignore[type-var]
    reader: BinaryIO = buffered
    if buffered.peek(len(_GZIP)).startswith(_GZIP):
        from isal import igzip  # noqa: PLC0415 - most archives are not compressed

        unzipped = igzip.GzipFile(fileobj=buffered, mode="rb")  # type: ignore[no-untyped-call]
        reader = cast(BinaryIO, unzipped)
    try:
        with tempfile.TemporaryFile() as spool:
            _copy(reader, spool, name, limits.unpacked_bytes)
            return os.dup(spool.fileno())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Malformed(f"{name} cannot be unpacked to its end ({error})") from error
    except OSError as error:
        raise LimitExceeded(f"{name} cannot be spooled: {error.strerror}") from error
    finally:
        buffered.detach()


def _copy(source: BinaryIO, target: BinaryIO, name: str, limit: int) -> None:
    copied = 0
    while chunk := source.read(CHUNK_BYTES):
        copied += len(chunk)
        if copied > limit:
            raise LimitExceeded(f"{name} unpacks to more than {limit} bytes")
        target.write(chunk)
    target.flush()


def _chunks_of(path: Path, size: int) -> Iterator[bytes]:
    """Of a file that may grow or go while it is read, what it had when it was found."""
    try:
        descriptor = os.open(path, _READ_ONLY)
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
    with contextlib.closing(io.FileIO(descriptor)) as file:
        while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
            size -= len(chunk)
            yield chunk
