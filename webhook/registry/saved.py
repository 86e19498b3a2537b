"""What ``docker save`` writes: ``manifest.json`` names a config and the layers of each image.

Such an archive has no manifest in the registry's sense. One is made for it, of config and
layers as they are stored, so that the image is read the way of all others.

Source: moby's image/tarexport (load.go, save.go); since Docker 25 the files lie as an OCI
layout has them, and ``manifest.json`` names them there.
"""

from __future__ import annotations

import hashlib
import json

from webhook.errors import LimitExceeded, Malformed, NotFound
from webhook.gather.source import Document
from webhook.image import strictjson
from webhook.image.config import parse_config
from webhook.image.digest import sha256
from webhook.image.manifest import DOCKER_MANIFEST
from webhook.image.reference import Reference
from webhook.image.strictjson import Struct
from webhook.limits import Limits
from webhook.registry.files import Files, Stored
from webhook.registry.layout import Chosen

_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_COMPRESSED = {b"\x1f\x8b\x08": ".gzip", b"\x28\xb5\x2f\xfd": ".zstd"}


def choose(files: Files, wanted: str | None, limits: Limits) -> Chosen:
    """The image that ``wanted`` (``name:tag``, or ``@N`` by position) names, or the only one.

    Raises:
        Malformed: it is no archive of ``docker save``.
        NotFound: it has no such image, or several and ``wanted`` is None.
    """
    image = _image(files.name, _images(files, limits), wanted)
    config = _file(files, image.string("Config")).read(limits.config_bytes, "the config")
    names = image.strings("Layers") or ()
    if len(names) > limits.layers:
        raise LimitExceeded(f"{files.name} has {len(names)} layers, the limit is {limits.layers}")
    layers = _layers([_file(files, name) for name in names], config, limits)
    body = _manifest(config, layers)
    blobs = {digest: layer for digest, _, layer in layers} | {sha256(config): Stored.of(config)}
    root = Document(body=body, media_type=DOCKER_MANIFEST, digest=sha256(body))
    return Chosen(root=root, stored=blobs.get, called=_called(image, wanted))


def _images(files: Files, limits: Limits) -> tuple[Struct, ...]:
    found = files.find("manifest.json")
    if found is None:
        raise Malformed(f"{files.name} is no archive of docker save: it has no manifest.json")
    body = found.read(limits.manifest_bytes, "manifest.json")
    # An array at the top, where all other documents have an object.
    document = strictjson.loads(
        b'{"images":' + body + b"}",
        what="manifest.json",
        max_bytes=limits.manifest_bytes + len(b'{"images":}'),
        depth=limits.json_depth,
    )
    images = Struct(document, "manifest.json").structs("images")
    if not images:
        raise Malformed(f"{files.name} holds no image")
    return images


def _image(name: str, images: tuple[Struct, ...], wanted: str | None) -> Struct:
    by_name = {_normal(tag): one for one in images for tag in one.strings("RepoTags") or ()}
    by_name |= {f"@{number}": one for number, one in enumerate(images)}
    if wanted is None and len(images) == 1:
        return images[0]
    listed = ", ".join(list(by_name)[:10])
    if wanted is None:
        raise NotFound(f"{name} holds several images, choose one with :REF of: {listed}")
    found = by_name.get(wanted if wanted.startswith("@") else _normal(wanted))
    if found is None:
        raise NotFound(f"{name} has no image {wanted!r}; it has: {listed}")
    return found


def _called(image: Struct, wanted: str | None) -> str | None:
    if wanted and not wanted.startswith("@"):
        return _normal(wanted)
    return next(iter(image.strings("RepoTags") or ()), None)


def _normal(tag: str) -> str:
    return str(Reference.parse(tag))


def _file(files: Files, name: str) -> Stored:
    found = files.find(name)
    if found is None:
        raise Malformed(f"{files.name}: manifest.json names {name[:200]!r}, which is not there")
    return found


def _layers(layers: list[Stored], config: bytes, limits: Limits) -> list[tuple[str, str, Stored]]:
    """Digest, media type and bytes of each.

    An uncompressed layer's digest is its diff_id. That is taken from the config without
    reading the layer, since whoever reads it proves it; only where config and layers do not
    fit, or the layer is compressed, it has to be read for its digest.
    """
    diff_ids = parse_config(config, sha256(config), limits).diff_ids
    fits = len(diff_ids) == len(layers)
    found = []
    for number, layer in enumerate(layers):
        suffix = _compression(layer)
        digest = diff_ids[number] if fits and not suffix else _digest(layer)
        found.append((digest, _LAYER + suffix, layer))
    return found


def _manifest(config: bytes, layers: list[tuple[str, str, Stored]]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": sha256(config)},
        "layers": [
            {"mediaType": media_type, "size": layer.size, "digest": digest}
            for digest, media_type, layer in layers
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _compression(layer: Stored) -> str:
    first = next(layer.chunks(), b"")
    return next((end for magic, end in _COMPRESSED.items() if first.startswith(magic)), "")


def _digest(layer: Stored) -> str:
    running = hashlib.sha256()
    for chunk in layer.chunks():
        running.update(chunk)
    return f"sha256:{running.hexdigest()}"
