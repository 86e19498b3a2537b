"""What gathering asks of the outside, as Protocols, and the values that pass between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from webhook.errors import ImageError
from webhook.image.facts import ImageFacts
from webhook.image.manifest import Descriptor
from webhook.image.platform import Platform
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.pod import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or index as a source delivered it."""

    body: bytes
    media_type: str
    """By the source: the Content-Type header, or the descriptor that named it."""
    digest: str
    """Of ``body``, computed by the source."""


class ImageSource(Protocol):
    """Where the bytes of one repository come from: a registry, an OCI layout, an archive."""

    def resolve(
        self, reference: Reference, deadline: Deadline, most: int | None = None
    ) -> Document:
        """The manifest or index ``reference`` names; by digest it is proved, not believed.

        ``LimitExceeded`` where it comes from afar and has more than ``most`` bytes; None: than it
        may have at all.
        """

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        """What ``resolve`` would lead to, where that can be told for less; else None."""

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        """A manifest an index names, of its media type; its digest and size are proved."""

    def blob(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Iterator[bytes]:
        """A blob in chunks, at most ``descriptor.size`` + 1 bytes; the reader proves the digest."""


class AccountSource(ImageSource, Protocol):
    """Where the bytes come from for one account: what it answers, the account may read."""

    def credentials(self, reference: Reference) -> str | None:
        """Whose credentials the repository wanted: ``Secret team/regcred``; None: nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """An image that somebody asks about, on the platforms it could land on."""

    reference: Reference
    os: str | None = None
    architectures: frozenset[str] | None = None
    nodes: frozenset[str] = frozenset()
    """Platforms of the cluster's nodes; empty where they are not known."""
    account: Account | None = None
    """Whose pod asks. None: it does not matter who asks."""
    turn: str = field(default="", compare=False)
    """Among whom turns are taken where many ask: the pod's namespace. No part of the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A platform (or a whole image, platform None) that could not be read, and why."""

    error: ImageError
    platform: Platform | None = None
    digest: str | None = None


Gathered = tuple[ImageFacts | Unread, ...]
"""One item per platform; never empty."""


Layered = Mapping[tuple[ImageRequest, str], ImageFacts | Unread]
"""Images with their layers read, by request and manifest digest."""


class Images(Protocol):
    """What the evaluation asks of the outside. Both calls answer before the deadline."""

    def configs(
        self, requests: Collection[ImageRequest], deadline: Deadline
    ) -> Mapping[ImageRequest, Gathered]:
        """Manifest and config of each; with ``files`` too where they are known or cheap."""

    def layers(
        self, images: Collection[tuple[ImageRequest, ImageFacts]], deadline: Deadline
    ) -> Layered:
        """The same with their layers read."""


def unread(request: ImageRequest, gathered: Gathered) -> list[tuple[ImageRequest, ImageFacts]]:
    """The images whose layers were not read yet."""
    return [
        (request, item)
        for item in gathered
        if isinstance(item, ImageFacts) and item.contents is None
    ]


def layered(request: ImageRequest, gathered: Gathered, read: Layered) -> Gathered:
    """The same items, those in ``read`` as they are there."""
    return tuple(
        item if isinstance(item, Unread) else read.get((request, item.manifest_digest), item)
        for item in gathered
    )
