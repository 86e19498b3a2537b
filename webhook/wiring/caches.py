"""What is remembered from one review to the next: in memory, and on a shelf behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from webhook.gather.flights import Facts
from webhook.gather.gatherer import Caches, LayerKey
from webhook.gather.source import Gathered, ImageRequest
from webhook.image.bases import KnownBase
from webhook.image.facts import Files, ImageFacts
from webhook.image.layer import Layer
from webhook.limits import MIB, Limits
from webhook.store.codec import Codec, Verbatim, edition
from webhook.store.memory import Memory
from webhook.store.shelf import Shelf, Watch
from webhook.store.tiered import Packing, Place, Tiered
from webhook.wiring.weights import of_files, of_gathered, of_layer, of_request

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_FAILURES = 20_000
_CONFIG_BYTES = 128 * MIB
"""Of tags, and of images, that are remembered: some 10,000 of each."""
_LAYER_BYTES = 256 * MIB
"""Of layers, and of merged file systems, that are remembered."""
_FAILURE_SECONDS = 5.0
_PROOF_SECONDS = 300.0
"""How long an account that was shown an image is told of it without asking the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A shelf behind the memory, and by what its entries are known for ours."""

    shelf: Shelf
    watch: Watch
    seal: bytes = b""

    def behind(
        self, memory: Facts[K, V], kind: str, codec: Packing[V], edition: str
    ) -> Facts[K, V]:
        """The memory with a place on the shelf behind it."""
        return Tiered(
            memory,
            Place(
                shelf=self.shelf, kind=kind, edition=edition, codec=codec, watch=self.watch,
                seal=self.seal, name=_told,
            ),
        )  # fmt: skip


def caches(
    *,
    tag_seconds: float,
    limits: Limits,
    bases: tuple[KnownBase, ...] = (),
    shelved: Shelved | None = None,
    packed: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Caches:
    """All that is remembered.

    Args:
        tag_seconds: how long a tag is believed to lead where it led.
        limits: by which images are read.
        bases: that images may be found to stand on.
        shelved: where facts are kept besides; None: in memory only. Errors, tags and who may see
            what are never kept there.
        packed: whether layers come as bytes, which only their reader opens.
        clock: monotonic seconds.
    """
    images = partial(
        Memory[ImageRequest, Gathered],
        capacity=_CONFIG_BYTES,
        clock=clock,
        weigh=of_gathered,
        weigh_key=of_request,
    )
    opened: Facts[ImageRequest, Gathered] = images()
    layers: Facts[LayerKey, Any] = Memory(capacity=_LAYER_BYTES, clock=clock, weigh=of_layer)
    files: Facts[str, Files] = Memory(capacity=_LAYER_BYTES, clock=clock, weigh=of_files)
    if shelved is not None:
        # Releases with keys of their own would else overwrite each other's at one server.
        whose = sha256(shelved.seal).hexdigest()
        behind = partial(shelved.behind, edition=edition((limits, *bases, whose)))
        opened = behind(opened, "images", Codec(tuple[ImageFacts, ...]))
        codec: Packing[Any] = Verbatim() if packed else Codec[Layer](Layer)
        layers = behind(layers, "layers", codec)
        files = behind(files, "files", Codec(Files))
    return Caches(
        tags=images(seconds=tag_seconds),
        proofs=images(seconds=_PROOF_SECONDS),
        images=opened,
        partial=images(seconds=_FAILURE_SECONDS),
        layers=layers,
        files=files,
        failures=Memory(capacity=_FAILURES, clock=clock, seconds=_FAILURE_SECONDS),
    )


def _told(key: Hashable) -> object:
    """What of a key tells it from others, in one order in all processes."""
    if isinstance(key, ImageRequest):
        architectures = None if key.architectures is None else sorted(key.architectures)
        return str(key.reference), key.os, architectures, sorted(key.nodes)
    return key
