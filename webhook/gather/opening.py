"""From a reference to manifests and configs: the small documents, every one of them proved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.errors import ImageError, LimitExceeded, Malformed, Unsupported
from webhook.gather.source import Document, Gathered, ImageRequest, ImageSource, Unread
from webhook.image.bases import KnownBase, by_layers
from webhook.image.config import parse_config
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
) -> Gathered:
    """Facts without files, one item per platform that a pod of this request could land on.

    ``bases`` are those that the images may be found to stand on.

    Raises:
        ImageError: the reference as a whole could not be opened; what fails for one entry of
            an index only is an ``Unread`` among the items.
    """
    top = source.resolve(request.reference, deadline)
    return _Opener(source, limits, request, top.digest, deadline, bases).open(top)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Everything that stays the same while one reference is opened."""

    source: ImageSource
    limits: Limits
    request: ImageRequest
    digest: str
    deadline: Deadline
    bases: Sequence[KnownBase]

    def open(self, top: Document) -> Gathered:
        """Facts without files, one item per platform."""
        parsed = parse_manifest(top.body, top.media_type, self.limits)
        if isinstance(parsed, Manifest):
            return (self._facts(top.digest, parsed, None),)
        entries = landing(
            tuple(self._entries(parsed, self.limits.index_depth, [self.limits.index_entries])),
            os=self.request.os,
            architectures=self.request.architectures,
            nodes=tuple(map(Platform.parse, sorted(self.request.nodes))),
        )
        if not entries:
            raise Unsupported(f"{self.request.reference} is an index that holds no image")
        return tuple(self._entry(entry) for entry in entries)

    def _entries(self, index: Index, depth: int, left: list[int]) -> Iterator[Descriptor]:
        """The manifests of an index and of the indexes within it; ``left`` bounds their number."""
        for entry in index.images:
            left[0] -= 1
            if depth == 0 or left[0] < 0:
                raise LimitExceeded(f"{self.request.reference} nests too many indexes")
            if entry.media_type not in INDEX_TYPES:
                yield entry
                continue
            document = self.source.document(self.request.reference, entry, self.deadline)
            inner = parse_manifest(document.body, document.media_type, self.limits)
            assert isinstance(inner, Index)  # for so the descriptor calls it
            yield from self._entries(inner, depth - 1, left)

    def _entry(self, entry: Descriptor) -> ImageFacts | Unread:
        """One platform of an index; its failure is its own."""
        try:
            document = self.source.document(self.request.reference, entry, self.deadline)
            parsed = parse_manifest(document.body, document.media_type, self.limits)
            if isinstance(parsed, Index):
                raise Malformed(f"{entry.digest} is an index where the index names a manifest")
            return self._facts(document.digest, parsed, entry.platform)
        except ImageError as error:
            return Unread(error=error, platform=entry.platform, digest=self.digest)

    def _facts(
        self, manifest_digest: str, manifest: Manifest, chosen: Platform | None
    ) -> ImageFacts:
        """``chosen`` is the platform by which nodes choose the entry, whatever its config says."""
        blob = self.source.blob(self.request.reference, manifest.config, self.deadline)
        body = verified(blob, manifest.config, self.limits.config_bytes)
        config = parse_config(body, manifest.config.digest, self.limits)
        return ImageFacts(
            reference=str(self.request.reference),
            digest=self.digest,
            manifest_digest=manifest_digest,
            platform=chosen or config.platform,
            config=config,
            layers=layer_refs(manifest, config),
            bases=by_layers(config.diff_ids, self.bases),
        )
