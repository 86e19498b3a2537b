"""What passes between those who want layers read and those who read them.

A connection is one job. The job comes as a message, with the end of a pipe through which the
layer's bytes follow; then the layers to be merged, if that is the job, each a message. One message
answers it. Nothing is ever pickled.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal, get_args

import msgspec

from webhook import errors
from webhook.errors import ImageError, LimitExceeded
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, LayerRef
from webhook.image.layer import Entry, Layer
from webhook.limits import GIB, MIB, Limits

READER: Final = "reader.sock"
"""Name of the socket in the folder that both share."""
MAX_MESSAGE: Final = GIB
"""Bytes of a packed layer; the limits on entries and paths are narrower for all but bombs."""
_LEVEL: Final = 1
_BATCH: Final = 4_096
"""Entries that are deflated together."""
_MAX_BATCH: Final = 64 * MIB
"""Bytes of them: each has two paths at most."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Deflated(Sequence[Entry]):
    """Entries in a twentieth of the memory: some at a time they are inflated for whoever asks."""

    batches: tuple[bytes, ...]
    size: int
    """How many entries they are."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Deflated:
        """These, as they come."""
        batches: list[bytes] = []
        count = 0
        coming = iter(entries)
        while batch := list(islice(coming, _BATCH)):
            batches.append(_deflated(batch))
            count += len(batch)
        return cls(tuple(batches), count)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Entry]:
        """Raises as ``unpacked`` does, since nobody looked into them before."""
        for batch in self.batches:
            yield from _batch(_inflated(batch, _MAX_BATCH))

    def __getitem__(self, place: Any) -> Any:
        return list(self)[place]


class _Layer(msgspec.Struct, frozen=True, array_like=True):
    """A ``Layer`` in pieces, each deflated.

    Not as a whole: msgspec crashes where it finds no memory for a buffer that grows.
    """

    head: bytes
    """Without its entries."""
    count: int
    """Of entries."""
    batches: tuple[bytes, ...]
    """``_BATCH`` entries each."""


_layer = msgspec.msgpack.Decoder(_Layer).decode


def packed(layer: Layer) -> bytes:
    """A layer in a twentieth of the bytes, and of the memory that its entries take."""
    entries = layer.entries if isinstance(layer.entries, Deflated) else Deflated.of(layer.entries)
    head = _deflated(replace(layer, entries=()))
    return encode(_Layer(head, entries.size, entries.batches))


def unpacked(data: bytes, most: int = MAX_MESSAGE) -> Layer:
    """The layer again; besides its entries of at most so many bytes.

    Raises:
        LimitExceeded: it would be bigger.
        msgspec.DecodeError: it is none.
    """
    layer = _layer(data)
    head = _head(_inflated(layer.head, most))
    return replace(head, entries=Deflated(layer.batches, layer.count))


def _deflated(value: object) -> bytes:
    return zlib.compress(encode(value), _LEVEL)


def _inflated(data: bytes, most: int) -> bytes:
    inflating = zlib.decompressobj()
    plain = inflating.decompress(data, most)
    if not inflating.eof:
        raise LimitExceeded(f"a layer of which more than {most} bytes would be kept")
    return plain


def failed(error: ImageError) -> Failed:
    """An error to be sent."""
    return Failed(error.reason, error.detail)


def needed(wanted: Mapping[int, Any]) -> Needed:
    """What is to be read again, to be sent."""
    return Needed({index: tuple(sorted(places)) for index, places in wanted.items()})
