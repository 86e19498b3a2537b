"""Manifests and indexes: OCI and Docker schema 2, read strictly.

What containerd would refuse, or no Linux node would run as a container, is refused here.
Descriptors' ``urls`` are never read: content comes from the registry that was named, or not
at all.
Source: image-spec manifest.md, image-index.md; containerd core/images ``validateMediaType``
(CVE-2021-41190) and mediatypes.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from webhook.errors import LimitExceeded, Malformed, Unsupported
from webhook.image import strictjson
from webhook.image.digest import checked
from webhook.image.platform import Platform
from webhook.image.strictjson import Struct
from webhook.limits import Limits

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
CONFIG_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",  # old Docker's; containerd converts it (converter.go)
    }
)
LAYER_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)
_SCHEMA1_PREFIX: Final = "application/vnd.docker.distribution.manifest.v1+"
_SCHEMA_VERSION: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Where content is: its digest, size in bytes and media type."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image on one platform."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Manifests, or further indexes, by platform."""

    media_type: str
    entries: tuple[Descriptor, ...]
    """In document order: of equal platforms containerd takes the first."""

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The entries that some node might run.

        BuildKit's attestations have the platform ``unknown/unknown``, which no node has. That
        they are annotated (``vnd.docker.reference.type``) does not count: a node runs an
        annotated entry just as well.
        """
        return tuple(entry for entry in self.entries if not _on_no_node(entry.platform))


def parse_manifest(body: bytes, media_type: str, limits: Limits) -> Manifest | Index:
    """Read a manifest or an index.

    Args:
        body: the document; its digest is proved by whoever fetched it.
        media_type: as its source says (Content-Type, parameters and all; or descriptor);
            it decides, and the document's own ``mediaType`` must not contradict.
        limits: ``manifest_bytes``, ``json_depth``, ``layers``, ``index_entries``.

    Raises:
        Malformed: containerd would refuse it.
        Unsupported: schema 1, or no container image at all.
        LimitExceeded: too large, too many layers or entries.
    """
    kind = media_type.partition(";")[0].strip()
    _check_kind(kind)
    what = "the manifest" if kind in MANIFEST_TYPES else "the index"
    document = Struct(
        strictjson.loads(body, what=what, max_bytes=limits.manifest_bytes, depth=limits.json_depth),
        what,
    )
    _check_document(document, kind)
    if kind in MANIFEST_TYPES:
        return _manifest(document, kind, limits)
    return _index(document, kind, limits)


def _check_kind(kind: str) -> None:
    if kind.startswith(_SCHEMA1_PREFIX):
        raise Unsupported("the manifest is of Docker schema 1, which containerd 2 refuses")
    if kind not in MANIFEST_TYPES | INDEX_TYPES:
        raise Unsupported(f"{kind[:100]!r} is no manifest of a container image")


def _check_document(document: Struct, kind: str) -> None:
    """``validateMediaType``: the document is of the kind its source says, and of no other."""
    if document.has("fsLayers") or document.integer("schemaVersion") == 1:
        raise Unsupported("the manifest is of Docker schema 1, which containerd 2 refuses")
    if document.integer("schemaVersion") != _SCHEMA_VERSION:
        raise Malformed(f"{document.path}.schemaVersion is not {_SCHEMA_VERSION}")
    own = document.string("mediaType")
    if own not in ("", kind):
        raise Malformed(f"{document.path} was sent as {kind} but says it is {own[:100]!r}")
    foreign = ("manifests",) if kind in MANIFEST_TYPES else ("config", "layers")
    for name in foreign:
        if document.has(name):
            raise Malformed(f"{document.path} ({kind}) has {name!r}: manifest and index in one")
    _check_rest(document)


def _check_rest(document: Struct) -> None:
    """What nobody acts upon: of another type than Go's it keeps the image from being pulled."""
    document.string("artifactType")
    document.string_map("annotations")
    subject = document.struct("subject")
    subject.string("digest")
    _described(subject)


def _manifest(document: Struct, kind: str, limits: Limits) -> Manifest:
    config = document.struct("config")
    _check_config_type(config.string("mediaType"), document.string("artifactType"))
    layers = document.structs("layers")
    if len(layers) > limits.layers:
        raise LimitExceeded(f"the manifest has {len(layers)} layers, the limit is {limits.layers}")
    return Manifest(media_type=kind, config=_descriptor(config), layers=tuple(map(_layer, layers)))


def _check_config_type(media_type: str, artifact_type: str) -> None:
    if media_type not in CONFIG_TYPES:
        named = artifact_type or media_type
        raise Unsupported(f"it is no container image but an artifact of type {named[:100]!r}")


def _layer(struct: Struct) -> Descriptor:
    layer = _descriptor(struct)
    if layer.media_type not in LAYER_TYPES:
        raise Unsupported(f"{struct.path} is of type {layer.media_type[:100]!r}, no tar layer")
    return layer


def _index(document: Struct, kind: str, limits: Limits) -> Index:
    entries = document.structs("manifests")
    if len(entries) > limits.index_entries:
        raise LimitExceeded(
            f"the index has {len(entries)} entries, the limit is {limits.index_entries}"
        )
    return Index(media_type=kind, entries=tuple(map(_descriptor, entries)))


def _descriptor(struct: Struct) -> Descriptor:
    size, platform = _described(struct)
    if size < 0:
        raise Malformed(f"{struct.path}.size is {size}")
    return Descriptor(
        media_type=struct.string("mediaType"),
        digest=checked(struct.string("digest"), struct.path),
        size=size,
        platform=platform,
        annotations=tuple(struct.string_map("annotations").items()),
    )


def _described(struct: Struct) -> tuple[int, Platform | None]:
    """Size and platform, every other field being of its type, too."""
    struct.string("mediaType")
    struct.string("artifactType")
    struct.string_map("annotations")
    struct.strings("urls")
    struct.check_bytes("data")
    platform = None if struct.absent("platform") else Platform.read(struct.struct("platform"))
    return struct.integer("size"), platform


def _on_no_node(platform: Platform | None) -> bool:
    return platform is not None and "unknown" in (platform.os, platform.architecture)
