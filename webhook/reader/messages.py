"""What passes between those who want layers read and those who read them.

A connection is one job. The job comes as a message, with the end of a pipe through which the
layer's bytes follow; then the layers to be merged, if that is the job, each a message. One message
answers it. Nothing is ever pickled.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Literal, get_args

import msgspec

from webhook import errors
from webhook.errors import ImageError, LimitExceeded
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, LayerRef
from webhook.image.layer import Entry, Layer
from webhook.limits import GIB, Limits

READER: Final = "reader.sock"
"""Name of the socket in the folder that both share."""
MAX_MESSAGE: Final = GIB
"""Bytes of a packed layer; the limits on entries and paths are narrower for all but bombs."""
_LEVEL: Final = 1
_BATCH: Final = 4_096
_LENGTH: Final = 4
_ERRORS: Final = {
    each.reason: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, ImageError) and hasattr(each, "reason")
}


class Read(msgspec.Struct, frozen=True, tag="read"):
    """A layer is to be read; its bytes come through the pipe that came with this."""

    ref: LayerRef
    limits: Limits
    keep: tuple[int, ...] = ()


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """Layers are to be merged; each is a message after this one, in the order of ``refs``."""

    config: ImageConfig
    refs: tuple[LayerRef, ...]
    limits: Limits


Job = Read | Merge


class Packed(msgspec.Struct, frozen=True, tag="layer"):
    """A layer that was read, to be kept by whoever asked, and given back for merging."""

    layer: bytes


class Merged(msgspec.Struct, frozen=True, tag="files"):
    """What the layers hold together."""

    files: Files


class Needed(msgspec.Struct, frozen=True, tag="needed"):
    """Bodies without which they cannot be merged: places of entries by index of layer."""

    wanted: dict[int, tuple[int, ...]]


Death = Literal["crashed", "killed", "late"]
"""Of a process that reads a layer: by its own fault, by another's signal, after its time."""
GONE: Final = "gone"
"""Nobody said how: whoever begins such processes died, too."""
DEATHS: Final[tuple[str, ...]] = (*get_args(Death), GONE)


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """An ``ImageError``."""

    reason: str
    detail: str
    died: Death | None = None
    """How the process died that was to answer; None: it answers itself."""

    def error(self) -> ImageError:
        """The error itself; of a reason that nobody knows, that the job failed."""
        return _ERRORS.get(self.reason, LimitExceeded)(self.detail)


Answer = Packed | Merged | Needed | Failed

encode = msgspec.msgpack.Encoder().encode
job = msgspec.msgpack.Decoder(Job).decode
answer = msgspec.msgpack.Decoder(Answer).decode
_head = msgspec.msgpack.Decoder(Layer).decode
_batch = msgspec.msgpack.Decoder(list[Entry]).decode


def packed(layer: Layer) -> bytes:
    """A layer in a twentieth of the bytes, and of the memory that its entries take."""
    deflating = zlib.compressobj(_LEVEL)
    pieces = [deflating.compress(frame) for frame in _frames(layer)]
    return b"".join((*pieces, deflating.flush()))


def _frames(layer: Layer) -> Iterator[bytes]:
    """The layer without its entries, then these some at a time.

    Not all at once: msgspec crashes where it finds no memory for a buffer that grows.
    """
    values: Iterator[object] = chain(
        (replace(layer, entries=()),),
        (layer.entries[at : at + _BATCH] for at in range(0, len(layer.entries), _BATCH)),
    )
    for value in values:
        frame = encode(value)
        yield len(frame).to_bytes(_LENGTH, "big") + frame


def unpacked(data: bytes, most: int = MAX_MESSAGE) -> Layer:
    """The layer again, of at most so many bytes.

    Raises:
        LimitExceeded: it would be bigger.
        msgspec.DecodeError: it is none.
    """
    inflating = zlib.decompressobj()
    plain = memoryview(inflating.decompress(data, most))
    if not inflating.eof:
        raise LimitExceeded(f"a layer of which more than {most} bytes would be kept")
    frames = _split(plain)
    layer = _head(next(frames))
    return replace(layer, entries=list(chain.from_iterable(map(_batch, frames))))


def _split(plain: memoryview) -> Iterator[memoryview]:
    while plain:
        end = _LENGTH + int.from_bytes(plain[:_LENGTH], "big")
        yield plain[_LENGTH:end]
        plain = plain[end:]


def failed(error: ImageError) -> Failed:
    """An error to be sent."""
    return Failed(error.reason, error.detail)


def needed(wanted: Mapping[int, Any]) -> Needed:
    """What is to be read again, to be sent."""
    return Needed({index: tuple(sorted(places)) for index, places in wanted.items()})
