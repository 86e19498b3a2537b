"""One layer, read once from its compressed bytes: proved, walked, and boiled down to entries.

Nothing is kept of the files but what ``Entry`` says and the few bodies that decide something.
What the entries do to each other and to the layers below is ``webhook.image.apply``'s.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

from webhook.errors import IntegrityError, Malformed, Unsupported
from webhook.image import (
    elf,
    interpreters,
    libraries,
    managers,
    origins,
    osrelease,
    packers,
    shells,
    tar,
    tarheader,
)
from webhook.image.ahead import ahead
from webhook.image.compression import decompress
from webhook.image.digest import hasher, proves
from webhook.image.facts import Executable, LayerRef, Problem
from webhook.image.libraries import Needed
from webhook.image.search import Search
from webhook.limits import MIB, Limits

if TYPE_CHECKING:
    from hashlib import _Hash

EXECUTE: Final = 0o111
SETUID: Final = 0o4000
SETGID: Final = 0o2000
MODE: Final = 0o7777
_UINT32: Final = 0xFFFFFFFF
_MAJOR: Final = 0xFFF
_MINOR: Final = 0xFFFFF
"""What is left of device numbers in the 32 bits that mknod(2) takes."""
PASSWD_BYTES: Final = 10 * MIB
"""containerd refuses a bigger ``/etc/passwd`` (openUserFile)."""

_KEPT: Final = {
    b"etc/passwd": PASSWD_BYTES,
    b"etc/os-release": osrelease.MAX_BYTES,
    b"usr/lib/os-release": osrelease.MAX_BYTES,
}
"""Paths whose bodies are kept, and up to which size."""
_DOT: Final = ord(".")
_CAPABILITIES: Final = tar.XATTR + b"security.capability"
_KINDS: Final = frozenset(
    {
        tarheader.REGULAR,
        tarheader.LINK,
        tarheader.SYMLINK,
        tarheader.CHAR,
        tarheader.BLOCK,
        tarheader.DIRECTORY,
        tarheader.FIFO,
        tar.GLOBAL,
    }
)


_PATTERNS: Final = (
    *shells.patterns(),
    *interpreters.patterns(),
    *managers.patterns(),
    *packers.patterns(),
    *origins.patterns(),
)
_FIRST_OF_INTERPRETERS: Final = len(shells.patterns())
_FIRST_OF_MANAGERS: Final = _FIRST_OF_INTERPRETERS + len(interpreters.patterns())
_FIRST_OF_PACKERS: Final = _FIRST_OF_MANAGERS + len(managers.patterns())
_FIRST_OF_ORIGINS: Final = _FIRST_OF_PACKERS + len(packers.patterns())


class Entry(NamedTuple):
    """One tar entry."""

    path: bytes
    """Relative to the root, cleaned, ``..`` clamped; empty for the root itself."""
    kind: bytes
    """A type of ``webhook.image.tarheader``."""
    mode: int
    """Permissions, setuid, setgid and sticky bits."""
    uid: int
    gid: int
    size: int
    link: bytes
    """The target of a link, as written."""
    program: Executable | None = None
    """Of executable regular files, and of others that a dynamic loader would start all the same."""
    shell: str | None = None
    """The shell it is by its content."""
    language: str | None = None
    """The family of interpreters it is of by its content."""
    manager: str | None = None
    """The package manager it is by its content."""
    packer: str | None = None
    """What packed it, so that its content tells nothing."""
    capabilities: bool = False
    """Whether it carries file capabilities."""
    whiteout: bool = False
    """A character device 0/0, which overlayfs takes for a whiteout."""
    sha256: str | None = None
    """Hex digits; of regular files, where ``digests`` was asked for."""
    needed: Needed | None = None
    """The shared libraries that a program needs."""


_of: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)
"""``Entry`` of a tuple: half the time of its own constructor, and there are many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a layer holds."""

    ref: LayerRef
    unpacked: int
    """Bytes of the uncompressed layer."""
    entries: Sequence[Entry]
    """In the archive's order, which decides."""
    bodies: Mapping[int, bytes] = field(default_factory=dict)
    """Contents that were kept, by the entry's place in ``entries``."""
    problems: tuple[Problem, ...] = ()


def read_layer(
    ref: LayerRef,
    chunks: Iterable[bytes],
    limits: Limits,
    *,
    digests: bool = False,
    keep: Collection[int] = (),
    progress: Callable[[int], None] = lambda _: None,
    second_core: bool = False,
    collect: Callable[[Iterable[Entry]], Sequence[Entry]] = list,
) -> Layer:
    """Read, prove and walk a layer in one pass.

    Args:
        ref: what manifest and config promise of it.
        chunks: the blob as stored, in pieces of any size.
        limits: bounds on this layer: ``remaining(limits, layers)`` of the image's.
        digests: hash every regular file, too.
        keep: entries (by their place) whose bodies are wanted: ``tree.wanted``.
        progress: told the bytes of each chunk; what it raises ends the reading.
        second_core: take ``chunks`` in one thread, decompress them in another, and do the rest
            in this one: a third faster where a core is free, and 3 % slower where none is.
        collect: makes a sequence of the entries as they come.

    Raises:
        IntegrityError: size, digest or diff_id are not as promised.
        Malformed: containerd could not unpack it.
        Unsupported: a media type, compression or tar entry that containerd does not take.
        LimitExceeded: it is bigger than ``limits`` allow.
    """
    blob = _Proof(chunks, ref.digest, ref.compressed, progress)
    stage = ahead if second_core else nullcontext[Iterator[bytes]]
    try:
        with (
            stage(iter(blob)) as stored,
            stage(decompress(stored, ref.media_type, limits)) as passing,
        ):
            archive = _Proof(passing, ref.diff_id)
            reader = tar.Reader(archive, limits)
            bodies: dict[int, bytes] = {}
            entries = collect(_walk(reader, bodies, digests=digests, keep=keep))
            archive.finish("uncompressed layer")
    except Malformed as error:
        blob.finish("layer")  # bytes that are not the promised ones are no fault of the image's
        raise Malformed(f"layer {ref.digest}: {error.detail}") from error
    blob.finish("layer")
    return Layer(
        ref=ref,
        unpacked=archive.bytes,
        entries=entries,
        bodies=bodies,
        problems=tuple(reader.problems),
    )


def warm() -> None:
    """Load now what is otherwise loaded for the first program that is met."""
    Search(_PATTERNS).numbers(())


def remaining(limits: Limits, layers: Iterable[Layer]) -> Limits:
    """What an image's limits leave after these of its layers; at least nothing."""
    unpacked = entries = 0
    for layer in layers:
        unpacked += layer.unpacked
        entries += len(layer.entries)
    return replace(
        limits,
        unpacked_bytes=max(0, limits.unpacked_bytes - unpacked),
        entries=max(0, limits.entries - entries),
    )


class _Proof:
    """Chunks, hashed and counted as they pass."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        digest: str,
        size: int | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.bytes = 0
        self._digest, self._size, self._progress = digest, size, progress
        self._running = hasher(digest)
        self._stream = self._passing(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self._stream

    def _passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            if self._size is not None and self.bytes > self._size:
                raise IntegrityError(
                    f"{self._digest} has more than the {self._size} bytes promised"
                )
            self._running.update(chunk)
            self._progress(len(chunk))
            yield chunk

    def finish(self, what: str) -> None:
        """Take the rest, which nobody wanted, and compare. Raises ``IntegrityError``."""
        for _ in self._stream:
            pass
        if self._size is not None and self.bytes != self._size:
            raise IntegrityError(
                f"{self._digest} has {self.bytes} bytes, not the {self._size} promised"
            )
        if not proves(self._running, self._digest):
            raise IntegrityError(f"the {what} is not the promised {self._digest}")


def _walk(
    reader: tar.Reader, bodies: dict[int, bytes], *, digests: bool, keep: Collection[int]
) -> Iterator[Entry]:
    """Every entry; the bodies that are kept are put into ``bodies``."""
    search = Search(_PATTERNS)
    kept: dict[bytes, int] = {}
    for place, header in enumerate(reader):
        entry = _entry(header)
        if entry.kind == tarheader.REGULAR:
            body: Iterator[memoryview] | None = None
            may_begin: Callable[[bytes], bool] = reader.may_begin
            if entry.size <= (PASSWD_BYTES if place in keep else _KEPT.get(entry.path, -1)):
                bodies[place] = content = b"".join(reader.body())
                body, may_begin = iter((memoryview(content),)), content.startswith
                if place not in keep:  # of many under one path only the last can matter
                    bodies.pop(kept.get(entry.path, -1), None)
                    kept[entry.path] = place
            if digests or entry.mode & EXECUTE or may_begin(elf.MAGIC):
                entry = _examined(entry, body or reader.body(), search, digests=digests)
        yield entry


def _entry(header: tarheader.Header) -> Entry:
    name, kind, mode, uid, gid, size, link, major, minor, pax = header
    if kind not in _KINDS:
        raise Unsupported(f"{text(name)} is a tar entry of type {kind!r}, which no node unpacks")
    return _of(
        (
            clean(name),
            kind,
            mode & MODE,
            uid & _UINT32,
            gid & _UINT32,
            size if kind == tarheader.REGULAR else 0,
            link,
            None,
            None,
            None,
            None,
            None,
            _CAPABILITIES in pax,
            kind == tarheader.CHAR and not (major & _MAJOR or minor & _MINOR),
            None,
            None,
        )
    )


def clean(name: bytes) -> bytes:
    """A path as containerd takes it: cleaned, and nothing leads out of the root.

    ``./usr//bin/../lib/`` and ``../../usr/lib`` are ``usr/lib``; the root is empty.
    """
    name = name.removesuffix(b"/")
    folder, _, base = name.rpartition(b"/")
    return _cleaned(name) if not base or base[0] == _DOT else _inside(folder) + base


@lru_cache(maxsize=512)
def _inside(folder: bytes) -> bytes:
    """What goes before the names in a folder; most entries share it with their neighbours."""
    cleaned = _cleaned(folder)
    return cleaned + b"/" if cleaned else b""


def _cleaned(path: bytes) -> bytes:
    return posixpath.normpath(b"/" + path.lstrip(b"/"))[1:]


def text(path: bytes) -> str:
    r"""A path for people and JSON: bytes that are not UTF-8 as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")


def _examined(entry: Entry, body: Iterator[memoryview], search: Search, *, digests: bool) -> Entry:
    """The entry with what its content says."""
    running = hashlib.sha256()
    if digests:
        body = _hashed(body, running)
    program, known = _program(body, search, executable=bool(entry.mode & EXECUTE))
    entry = entry._replace(program=program, **known)
    if digests:
        for _ in body:
            pass
        entry = entry._replace(sha256=running.hexdigest())
    return entry


def _hashed(pieces: Iterator[memoryview], running: _Hash) -> Iterator[memoryview]:
    for piece in pieces:
        running.update(piece)
        yield piece


class _Known(TypedDict, total=False):
    """What a program is by its content: fields of ``Entry``."""

    shell: str | None
    language: str | None
    manager: str | None
    packer: str | None
    needed: Needed | None


def _program(
    body: Iterator[memoryview], search: Search, *, executable: bool
) -> tuple[Executable | None, _Known]:
    """What starting the file would come to, and what it is by its content.

    Of a file without an x bit None, but where a dynamic loader would start it.
    """
    first = list(_first(body, elf.HEAD))
    head = b"".join(piece[: elf.HEAD] for piece in first)[: elf.HEAD]
    header = elf.parse(head)
    if header is None:
        return (_unlinked(head) if executable else None), {}
    if not executable and not header.dynamic:
        return None, {}
    pieces: Iterator[memoryview] = chain(first, body)
    interpreter, table, strings = bytearray(), bytearray(), bytearray()
    linking = header.linking
    if header.interpreter:
        wanted = (header.interpreter, *(libraries.parts(linking) if linking else ()))
        pieces = _copying(pieces, [*zip(wanted, (interpreter, table, strings), strict=False)])
    found = search.numbers(pieces)
    path = text(bytes(interpreter).partition(b"\0")[0]) or None
    known: _Known = {
        "shell": shells.identify(found),
        "language": interpreters.identify(_since(_FIRST_OF_INTERPRETERS, found)) if path else None,
        "manager": managers.identify(_since(_FIRST_OF_MANAGERS, found)),
        "packer": packers.identify(head, header, _since(_FIRST_OF_PACKERS, found)),
        "needed": libraries.needed(linking, table, strings) if linking else None,
    }
    program = Executable(
        kind="elf",
        interpreter=path,
        machine=header.machine,
        dynamic=header.dynamic,
        origin=origins.identify(_since(_FIRST_OF_ORIGINS, found)),
    )
    return program, known


def _since(first: int, found: set[int]) -> set[int]:
    """The patterns as those count them whose patterns begin with number ``first``."""
    return {number - first for number in found}


def _unlinked(head: bytes) -> Executable:
    """A script, or something that the kernel would not start."""
    script = elf.script(head)
    if script is None:
        return Executable(kind="other")
    interpreter, argument = script
    return Executable(
        kind="script",
        interpreter=text(interpreter),
        interpreter_argument=None if argument is None else text(argument),
    )


def _first(pieces: Iterator[memoryview], size: int) -> Iterator[memoryview]:
    """Pieces until there are ``size`` bytes of them."""
    while size > 0 and (piece := next(pieces, None)) is not None:
        size -= len(piece)
        yield piece


def _copying(
    pieces: Iterable[memoryview], wanted: Sequence[tuple[libraries.Part, bytearray]]
) -> Iterator[memoryview]:
    """The pieces, and copies of parts of the file as they pass."""
    at = 0
    last = max(start + size for (start, size), _ in wanted)
    for piece in pieces:
        if at < last:
            for (start, size), copy in wanted:
                copy.extend(piece[max(0, start - at) : max(0, start + size - at)])
        at += len(piece)
        yield piece
