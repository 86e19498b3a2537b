"""What is measured: the limit, and slimgate on one core and on two."""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from typing import Protocol

from backports import zstd
from isal import isal_zlib

from benchmarks.samples import Sample
from webhook.gather.reading import Here
from webhook.image.config import ImageConfig
from webhook.image.facts import Files
from webhook.image.layer import Layer, read_layer
from webhook.image.platform import Platform
from webhook.limits import Deadline, Limits
from webhook.reader import messages
from webhook.reader.client import Apart

_GZIP_HEADER = 31
"""zlib's word for: a gzip header, the largest window."""
_LIMITS = Limits()
_CONFIG = ImageConfig(
    digest="sha256:" + "0" * 64, platform=Platform.of("linux", "amd64"), diff_ids=(), user=""
)


class _Decoder(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


def limit(layer: Sample) -> None:
    """Inflate and hash both sides: what proving a layer costs at the very least."""
    stored, plain = hashlib.sha256(), hashlib.sha256()
    decoder: _Decoder = (
        zstd.ZstdDecompressor()
        if layer.ref.media_type.endswith("zstd")
        else isal_zlib.decompressobj(_GZIP_HEADER)
    )
    for chunk in layer.chunks():
        stored.update(chunk)
        plain.update(decoder.decompress(chunk))


def walked(layer: Sample, *, second_core: bool = False) -> Layer:
    """Read a layer: proofs, tar walk, programs and shells by content."""
    return read_layer(layer.ref, layer.chunks(), _LIMITS, second_core=second_core)


def packed(layer: Sample) -> bytes:
    """Read a layer as the processes of the webhook do."""
    read = read_layer(layer.ref, layer.chunks(), _LIMITS, collect=messages.Deflated.of)
    return messages.packed(read)


def merged(layer: Sample, packed: bytes) -> Files:
    """Find all facts as they do in another process."""
    return _facts(layer, messages.unpacked(packed))


def facts(layer: Sample, *, second_core: bool = False) -> Files:
    """All of it: the layer read, applied, and every fact found."""
    return _facts(layer, walked(layer, second_core=second_core))


def apart(reader: Apart, layer: Sample) -> Files:
    """All of it as the webhook has it done: by processes of their own."""
    deadline = Deadline.never()
    packed = reader.layer(layer.ref, layer.chunks(), deadline=deadline, progress=lambda _: None)
    files = reader.files(_CONFIG, [layer.ref], [packed], deadline)
    assert isinstance(files, Files)
    return files


def side_by_side(pool: Executor, *layers: Sample) -> None:
    """Several layers at a time, a thread or a process each; what was read comes back here."""
    list(pool.map(walked, layers))


def _facts(layer: Sample, read: Layer) -> Files:
    found = Here(_LIMITS).files(_CONFIG, [layer.ref], [read])
    assert isinstance(found, Files)
    return found
