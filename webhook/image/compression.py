"""Layer blobs uncompressed as containerd does it: never more than a piece at a time.

The media type says *whether* to decompress, the first bytes say *how* (containerd's
``DiffCompression`` and ``DecompressStream``): zstd under ``+gzip`` works, gzip under OCI's plain
``.tar`` does not. Go's decompressors refuse what follows the last member, so we do; where nodes
with ``unpigz`` would not, the diff_id settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

from backports import zstd
from isal import igzip_lib

from webhook.errors import LimitExceeded, Malformed, Unsupported
from webhook.limits import MIB, Limits

PIECE = 256 << 10
"""Bytes that are uncompressed at once: small enough for a core's cache, so that hashing and
searching them right after is cheap."""

_SLICE = 64 << 10
"""Bytes given to a decompressor at once. It copies what follows a member's end: with many tiny
members in a big chunk that would cost its square."""

_RATIO_FLOOR = MIB
"""Below this many bytes a ratio says nothing: an honest tar of one file is mostly padding."""

_OCI = "application/vnd.oci.image.layer.v1.tar"
_OCI_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
_DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

_PLAIN = frozenset({_OCI, _OCI_NONDISTRIBUTABLE})
_DETECTED = frozenset(
    {
        *(f"{base}+{how}" for base in _PLAIN for how in ("gzip", "zstd")),
        *(f"{base}{how}" for base in (_DOCKER, _DOCKER_FOREIGN) for how in ("", ".gzip", ".zstd")),
    }
)

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""After a first byte of 0x50 to 0x5f."""
_REFUSED = {b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
_MAGIC_BYTES = 6


class _Decoder(Protocol):
    """What igzip and zstd have in common: bz2's interface."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


def decompress(chunks: Iterable[bytes], media_type: str, limits: Limits) -> Iterator[bytes]:
    """The tar bytes of a layer, in pieces of at most ``PIECE`` bytes where it was compressed.

    Raises:
        Unsupported: a media type or a compression that containerd does not take.
        Malformed: truncated, corrupt, or followed by something else.
        LimitExceeded: more bytes than ``limits.unpacked_bytes``, more than ``limits.ratio`` of
            them for each compressed one, or a zstd window that is too big.
    """
    if media_type in _PLAIN:
        return _bounded(chunks, None, limits)
    if media_type not in _DETECTED:
        raise Unsupported(f"layers of media type {media_type!r} cannot be read")
    meter = _Meter(chunks)
    head, rest = _peek(meter)
    new = _decoder(head, limits)
    return _bounded(rest if new is None else _members(rest, new), meter, limits)


class _Meter:
    """Chunks, and how many of their bytes were read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.bytes += len(chunk)
            yield chunk


def _peek(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all bytes again."""
    stream = iter(chunks)
    head = b""
    while len(head) < _MAGIC_BYTES and (chunk := next(stream, None)) is not None:
        head += chunk
    return head, chain((head,), stream)


def _decoder(head: bytes, limits: Limits) -> Callable[[], _Decoder] | None:
    """How to decompress what begins with ``head``; None: it is no compressed data."""
    if head.startswith(_GZIP):
        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    if head.startswith(_ZSTD) or (head[1:4] == _ZSTD_SKIPPABLE and head[0] >> 4 == 0x5):  # noqa: PLR2004
        log = limits.zstd_window_bytes.bit_length() - 1
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: log}
        return lambda: zstd.ZstdDecompressor(options=options)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise Unsupported(f"a layer is compressed with {name}, which containerd cannot read")
    return None


def _members(chunks: Iterable[bytes], new: Callable[[], _Decoder]) -> Iterator[bytes]:
    """Every gzip member or zstd frame, one after the other."""
    decoder: _Decoder | None = None
    for data in _sliced(chunks):
        left: bytes | memoryview = data
        while left or (decoder and not decoder.needs_input):
            decoder = decoder or new()
            yield _step(decoder, left)
            left = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = None
    if decoder:
        raise Malformed("a compressed layer is truncated")


def _sliced(chunks: Iterable[bytes]) -> Iterator[memoryview]:
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), _SLICE):
            yield view[start : start + _SLICE]


def _step(decoder: _Decoder, data: bytes | memoryview) -> bytes:
    try:
        return decoder.decompress(data, PIECE)
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # stub: an instance
        raise Malformed(f"a gzip layer is corrupt: {error}") from error
    except zstd.ZstdError as error:
        if "too much memory" in str(error):
            raise LimitExceeded("a zstd layer wants a bigger window than allowed") from error
        raise Malformed(f"a zstd layer is corrupt: {error}") from error


def _bounded(pieces: Iterable[bytes], meter: _Meter | None, limits: Limits) -> Iterator[bytes]:
    """The pieces, as long as they keep to the limits."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limits.unpacked_bytes:
            raise LimitExceeded(f"the layers unpack to more than {limits.unpacked_bytes} bytes")
        if meter and total > max(_RATIO_FLOOR, meter.bytes * limits.ratio):
            raise LimitExceeded(f"a layer unpacks to more than {limits.ratio} times its size")
        yield piece
