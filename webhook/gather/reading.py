"""Who turns the bytes of layers into facts: this process, or one that has nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from webhook.image.apply import merge
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, LayerRef
from webhook.image.layer import Layer, read_layer
from webhook.image.tree import files_of, is_enough, wanted
from webhook.limits import Deadline, Limits

L = TypeVar("L")

Wanted = Mapping[int, Collection[int]]
"""Bodies that a merge needs and that were not kept: places of entries by index of layer."""


class Reading(Protocol[L]):
    """Reads layers, each into an ``L`` that only it understands, and merges them."""

    def layer(
        self,
        ref: LayerRef,
        chunks: Iterator[bytes],
        *,
        keep: Collection[int],
        deadline: Deadline,
        progress: Callable[[int], None],
    ) -> L:
        """Read, prove and walk a layer; raises as ``webhook.image.layer.read_layer`` does.

        Args:
            ref: what manifest and config promise of it.
            chunks: the blob as stored.
            keep: entries (by their place) whose bodies are wanted.
            deadline: until when.
            progress: told the compressed bytes of each chunk.
        """

    def files(
        self,
        config: ImageConfig,
        refs: Sequence[LayerRef],
        layers: Sequence[L],
        deadline: Deadline,
    ) -> Files | Wanted:
        """What layers hold together, oldest first, or what has to be read again for that."""


@dataclass(frozen=True, slots=True)
class Here:
    """In this process: for who reads a few images and goes."""

    limits: Limits
    second_core: bool = False
    """As ``read_layer``'s; for whoever does nothing but read."""

    def layer(
        self,
        ref: LayerRef,
        chunks: Iterator[bytes],
        *,
        keep: Collection[int] = (),
        deadline: Deadline,  # noqa: ARG002 - whoever brings the chunks looks at it
        progress: Callable[[int], None],
    ) -> Layer:
        """As ``Reading.layer``."""
        return read_layer(
            ref, chunks, self.limits, keep=keep, progress=progress, second_core=self.second_core
        )

    def files(
        self,
        config: ImageConfig,
        refs: Sequence[LayerRef],
        layers: Sequence[Layer],
        deadline: Deadline | None = None,  # noqa: ARG002 - as above
    ) -> Files | Wanted:
        """As ``Reading.files``."""
        # The same bytes are another layer, made by another step, in another image.
        named = [replace(layer, ref=ref) for layer, ref in zip(layers, refs, strict=True)]
        trees = merge(named, self.limits, sharing=True)
        if not is_enough(trees):
            trees = merge(named, self.limits)
        return wanted(named, trees) or files_of(config, named, trees)
