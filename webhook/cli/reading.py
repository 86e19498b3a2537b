"""One image, read from whatever names it: for commands about one image, and policy tests."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from functools import partial

from webhook.errors import NotFound
from webhook.gather.source import Gathered, ImageRequest, Unread
from webhook.image.apply import Trees, merge
from webhook.image.facts import ImageFacts, LayerRef
from webhook.image.layer import Layer, read_layer, remaining
from webhook.image.manifest import Descriptor
from webhook.image.platform import Platform
from webhook.image.reference import Reference
from webhook.image.tree import files_of, wanted
from webhook.limits import Deadline, Limits
from webhook.report import progress
from webhook.settings import Settings
from webhook.wiring import Wired, build

DEFAULT = Platform.of("linux", "amd64")


@contextmanager
def reading(settings: Settings) -> Iterator[Wired]:
    """What reads images, its progress shown as the user wants it."""
    if settings.quiet:
        shown = progress.nothing()
    elif settings.verbose:
        shown = progress.lines(sys.stderr)
    else:
        # A terminal that cannot move its cursor would keep an empty line of each bar.
        moves = sys.stderr.isatty() and settings.variable("term") != "dumb"
        shown = progress.bars(sys.stderr) if moves else progress.nothing()
    with shown as observe, closing(build(settings, observe, second_core=True)) as wired:
        yield wired


def manifest_and_config(
    wired: Wired, reference: Reference, platform: Platform | None, deadline: Deadline
) -> tuple[ImageRequest, ImageFacts]:
    """One image of what the reference names; linux/amd64, or the only one, unless told.

    Raises:
        ImageError: it cannot be read, or there is none for the platform.
    """
    wanted = platform or DEFAULT
    request = ImageRequest(
        reference=reference, os=wanted.os, architectures=frozenset({wanted.architecture})
    )
    gathered = wired.images.configs([request], deadline)[request]
    chosen = _choose(gathered, platform)
    if isinstance(chosen, Unread):
        raise chosen.error
    return request, chosen


def facts_of(
    wired: Wired, argument: str, platform: Platform | None, deadline: Deadline
) -> ImageFacts:
    """All that is known of an image, its layers read. Raises ``ImageError``."""
    request, facts = manifest_and_config(wired, wired.sources.open(argument), platform, deadline)
    if facts.contents is not None:
        return facts
    read = wired.images.layers([(request, facts)], deadline)[request, facts.manifest_digest]
    if isinstance(read, Unread):
        raise read.error
    return read


def layers_of(
    wired: Wired, argument: str, platform: Platform | None, deadline: Deadline
) -> list[Layer]:
    """The layers, oldest first, with the digest of every file. Raises ``ImageError``."""
    reference = wired.sources.open(argument)
    _, facts = manifest_and_config(wired, reference, platform, deadline)
    return _layers(wired, reference, facts, deadline, digests=True)


def facts_and_layers(
    wired: Wired, argument: str, platform: Platform | None, deadline: Deadline
) -> tuple[ImageFacts, list[Layer], Trees]:
    """All that is known of an image, its layers, and what they merge to. Raises ``ImageError``."""
    reference = wired.sources.open(argument)
    _, facts = manifest_and_config(wired, reference, platform, deadline)
    layers = _layers(wired, reference, facts, deadline)
    trees = merge(layers, wired.limits)
    for index, keep in wanted(layers, trees).items():
        layers[index] = _layer(wired, reference, facts.layers[index], deadline, keep=keep)
    return facts.with_files(files_of(facts.config, layers, trees)), layers, trees


def _layers(
    wired: Wired,
    reference: Reference,
    facts: ImageFacts,
    deadline: Deadline,
    *,
    digests: bool = False,
) -> list[Layer]:
    layers: list[Layer] = []
    for ref in facts.layers:
        left = remaining(wired.limits, layers)
        layers.append(_layer(wired, reference, ref, deadline, limits=left, digests=digests))
    return layers


def _layer(
    wired: Wired,
    reference: Reference,
    ref: LayerRef,
    deadline: Deadline,
    *,
    limits: Limits | None = None,
    keep: Collection[int] = (),
    digests: bool = False,
) -> Layer:
    """One layer; ``limits`` are the image's if not told."""
    descriptor = Descriptor(media_type=ref.media_type, digest=ref.digest, size=ref.compressed)
    chunks = wired.sources.blob(reference, descriptor, deadline)
    observe = partial(wired.observe, ref)
    limits = limits or wired.limits
    return read_layer(ref, chunks, limits, digests=digests, keep=keep, progress=observe)


def _choose(gathered: Gathered, platform: Platform | None) -> ImageFacts | Unread:
    if len(gathered) == 1 and (platform is None or gathered[0].platform in {None, platform}):
        return gathered[0]
    for item in gathered:
        if item.platform == (platform or DEFAULT):
            return item
    names = ", ".join(str(item.platform) for item in gathered)
    raise _NoSuchPlatform(f"there is no image for {platform or DEFAULT}, but for: {names}")


class _NoSuchPlatform(NotFound):
    remedy = "choose one of these by --platform"
