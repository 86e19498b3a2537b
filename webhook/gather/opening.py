"""From a reference to manifests and configs: the small documents, every one of them proved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from webhook.errors import ImageError, LimitExceeded, Malformed, Unsupported
from webhook.gather.room import SMALL, Room
from webhook.gather.source import Document, Gathered, ImageRequest, ImageSource, Unread
from webhook.image.bases import KnownBase, by_layers
from webhook.image.config import ImageConfig, parse_config
from webhook.image.digest import verified
from webhook.image.facts import ImageFacts
from webhook.image.landing import landing
from webhook.image.layer_refs import layer_refs
from webhook.image.manifest import INDEX_TYPES, Descriptor, Index, Manifest, parse_manifest
from webhook.image.platform import Platform
from webhook.limits import Deadline, Limits


def open_image(
    source: ImageSource,
    request: ImageRequest,
    *,
    limits: Limits,
    deadline: Deadline,
    bases: Sequence[KnownBase] = (),
    room: Room | None = None,
) -> Gathered:
    """Facts without files, one item per platform that a pod of this request could land on.

    ``bases`` are those that the images may be found to stand on; ``room`` is shared by all who
    open images at the same time.

    Raises:
        ImageError: the reference as a whole could not be opened; what fails for one entry of
            an index only is an ``Unread`` among the items.
    """
    return _Opener(source, limits, request, deadline, bases, room or Room()).open()


@dataclass(frozen=True, slots=True)
class _Opener:
    """Everything that stays the same while one reference is opened."""

    source: ImageSource
    limits: Limits
    request: ImageRequest
    deadline: Deadline
    bases: Sequence[KnownBase]
    room: Room

    def open(self) -> Gathered:
        """Facts without files, one item per platform."""
        digest, parsed = self._top()
        if isinstance(parsed, Manifest):
            return (self._facts(digest, digest, parsed, None),)
        entries = landing(
            tuple(self._entries(parsed, self.limits.index_depth, [self.limits.index_entries])),
            os=self.request.os,
            architectures=self.request.architectures,
            nodes=tuple(map(Platform.parse, sorted(self.request.nodes))),
        )
        if not entries:
            raise Unsupported(f"{self.request.reference} is an index that holds no image")
        return tuple(self._entry(digest, entry) for entry in entries)

    def _top(self) -> tuple[str, Manifest | Index]:
        """What the reference names. Nobody knows how large it is: a large one is fetched twice."""
        resolve = partial(self.source.resolve, self.request.reference, self.deadline)
        try:
            return self._parsed(SMALL, partial(resolve, SMALL))
        except LimitExceeded:
            return self._parsed(self.limits.manifest_bytes, resolve)

    def _parsed(self, size: int, fetch: Callable[[], Document]) -> tuple[str, Manifest | Index]:
        """A manifest's digest and what it says; of its bytes nothing is left."""
        with self.room.taken(size, self.request.turn, self.deadline):
            document = fetch()
            parsed = parse_manifest(document.body, document.media_type, self.limits)
            return document.digest, parsed

    def _named(self, entry: Descriptor) -> Manifest | Index:
        """The manifest that an index names."""
        fetch = partial(self.source.document, self.request.reference, entry, self.deadline)
        return self._parsed(entry.size, fetch)[1]

    def _entries(self, index: Index, depth: int, left: list[int]) -> Iterator[Descriptor]:
        """The manifests of an index and of the indexes within it; ``left`` bounds their number."""
        for entry in index.images:
            left[0] -= 1
            if depth == 0 or left[0] < 0:
                raise LimitExceeded(f"{self.request.reference} nests too many indexes")
            if entry.media_type not in INDEX_TYPES:
                yield entry
                continue
            inner = self._named(entry)
            assert isinstance(inner, Index)  # for so the descriptor calls it
            yield from self._entries(inner, depth - 1, left)

    def _entry(self, digest: str, entry: Descriptor) -> ImageFacts | Unread:
        """One platform of the index of that digest; its failure is its own."""
        try:
            parsed = self._named(entry)
            if isinstance(parsed, Index):
                raise Malformed(f"{entry.digest} is an index where the index names a manifest")
            return self._facts(digest, entry.digest, parsed, entry.platform)
        except ImageError as error:
            return Unread(error=error, platform=entry.platform, digest=digest)

    def _facts(
        self, digest: str, manifest_digest: str, manifest: Manifest, chosen: Platform | None
    ) -> ImageFacts:
        """``chosen`` is the platform by which nodes choose the entry, whatever its config says."""
        config = self._config(manifest.config)
        return ImageFacts(
            reference=str(self.request.reference),
            digest=digest,
            manifest_digest=manifest_digest,
            platform=chosen or config.platform,
            config=config,
            layers=layer_refs(manifest, config),
            bases=by_layers(config.diff_ids, self.bases),
        )

    def _config(self, named: Descriptor) -> ImageConfig:
        with self.room.taken(named.size, self.request.turn, self.deadline):
            blob = self.source.blob(self.request.reference, named, self.deadline)
            body = verified(blob, named, self.limits.config_bytes)
            return parse_config(body, named.digest, self.limits)
