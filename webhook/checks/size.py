"""size: the image is no larger than you decided.

What it asks
    How many bytes does a node fetch, how many does it unpack, and in how many layers?

Why
    Size is start-up time, registry traffic and disk on every node; and what is large is large
    because it carries what the application does not need.

What it flags
    An image over one of the limits. A size equal to its limit passes. What the manifest tells
    is decided without reading a layer; where that denies, no layer is read.

Remedy
    Build in several stages and start the last one from a distroless base; slimgate inspect
    shows which layer and which build step brought the bytes, slimgate files --largest which
    files they are.

Options
    - ``compressed``: all layers as the registry stores them (``150Mi``);
    - ``unpacked``: all layers uncompressed (``400Mi``);
    - ``layer``: the largest layer, compressed (``200Mi``);
    - ``layers``: how many there may be (``40``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import msgspec

from webhook.checks.check import MOST, Check, Finding, Options, Subject
from webhook.image.facts import ImageFacts
from webhook.image.quantity import Quantity, text_of

NAME = "size"
REMEDY = "leave out what does not run: build in several stages, onto a distroless base"
FEWER = "merge RUN steps, or copy the result into a last stage: each step is a layer"


class Size(Options, frozen=True):
    """The limits; each is optional, one is needed."""

    compressed: Quantity | None = None
    unpacked: Quantity | None = None
    layer: Quantity | None = None
    layers: Annotated[int, msgspec.Meta(ge=1, le=MOST)] | None = None

    def __post_init__(self) -> None:
        if (self.compressed, self.unpacked, self.layer, self.layers) == (None,) * 4:
            raise ValueError("limits nothing: give compressed, unpacked, layer or layers")


def _inspect(subject: Subject, options: Size) -> Iterator[Finding]:
    image = subject.image
    yield from _by_manifest(image, options)
    if options.unpacked is None:
        return
    unpacked = sum(image.files.unpacked)
    if unpacked > options.unpacked:
        yield _finding("unpackedSize", "unpacked it is", unpacked, options.unpacked)


def _by_manifest(image: ImageFacts, options: Size) -> Iterator[Finding]:
    if options.compressed is not None and image.compressed > options.compressed:
        yield _finding("compressedSize", "compressed it is", image.compressed, options.compressed)
    if options.layer is not None and image.layers:
        largest = max(image.layers, key=lambda layer: layer.compressed)
        if largest.compressed > options.layer:
            yield replace(
                _finding("layerSize", "its largest layer is", largest.compressed, options.layer),
                layer_digest=largest.digest,
                created_by=largest.created_by,
            )
    if options.layers is not None and len(image.layers) > options.layers:
        yield Finding(
            check=NAME,
            result="fail",
            reason="layers",
            detail=f"it has {len(image.layers)} layers, more than {options.layers}",
            remedy=FEWER,
        )


def _finding(reason: str, what: str, size: int, limit: Quantity) -> Finding:
    return Finding(
        check=NAME,
        result="fail",
        reason=reason,
        detail=f"{what} {text_of(size)} ({size:,} bytes), over the limit of {limit}",
        remedy=REMEDY,
    )


CHECK = Check(name=NAME, title="size", options=Size, inspect=_inspect)
