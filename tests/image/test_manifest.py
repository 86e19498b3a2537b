"""Manifests and indexes: catalogue 28, 29, 33-37 and 39."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support import forge
from webhook.errors import LimitExceeded, Malformed, Unsupported
from webhook.image.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    LAYER_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
)
from webhook.image.platform import Platform
from webhook.limits import Limits

LIMITS = Limits()
DIGEST = "sha256:" + "a" * 64
CONFIG = {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": DIGEST,
    "size": 3,
}
LAYER = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": DIGEST,
    "size": 5,
}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
ENTRY = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 7}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [ENTRY]}


def parse(document, media_type=OCI_MANIFEST, limits=LIMITS):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_manifest(body, media_type, limits)


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


def test_manifest():
    image = forge.image([[forge.file("a")], [forge.file("b")]])
    manifest = parse_manifest(image.body, image.media_type, LIMITS)
    assert isinstance(manifest, Manifest)
    assert [layer.digest for layer in manifest.layers] == image.layers
    assert manifest.config.size == len(image.blobs[manifest.config.digest])


def test_docker_manifest():
    config = {**CONFIG, "mediaType": "application/vnd.docker.container.image.v1+json"}
    layer = {**LAYER, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
    document = {**MANIFEST, "mediaType": DOCKER_MANIFEST, "config": config, "layers": [layer]}
    assert parse(document, DOCKER_MANIFEST).media_type == DOCKER_MANIFEST


def test_old_docker_config_type():
    """Catalogued nowhere, but containerd converts it: docker/distribution#1622."""
    config = {**CONFIG, "mediaType": "application/octet-stream"}
    assert isinstance(parse({**MANIFEST, "config": config}), Manifest)


def test_index_entries_keep_their_order_and_normalised_platform():
    amd64, arm64 = forge.image(user="1"), forge.image(user="2")
    index = forge.index(
        [
            (arm64, {"os": "Linux", "architecture": "aarch64", "variant": "v8"}),
            (amd64, None),
        ]
    )
    parsed = parse_manifest(index.body, index.media_type, LIMITS)
    assert isinstance(parsed, Index)
    assert [(entry.digest, entry.platform) for entry in parsed.entries] == [
        (arm64.digest, Platform(os="linux", architecture="arm64")),
        (amd64.digest, None),
    ]
    assert parsed.images == parsed.entries


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_nested_index_is_an_entry(media_type):
    entry = {**ENTRY, "mediaType": media_type}
    index = parse({**INDEX, "mediaType": media_type, "manifests": [entry]}, media_type)
    assert index.images[0].media_type == media_type


@pytest.mark.parametrize(
    ("platform", "annotations", "counts"),
    [
        pytest.param({"os": "linux", "architecture": "amd64"}, {}, True, id="an image"),
        pytest.param(
            {"os": "unknown", "architecture": "unknown"},
            {"vnd.docker.reference.type": "attestation-manifest"},
            False,
            id="BuildKit's attestation",
        ),
        pytest.param({"os": "unknown", "architecture": "unknown"}, {}, False, id="no platform's"),
        pytest.param(
            {"os": "linux", "architecture": "amd64"},
            {"vnd.docker.reference.type": "attestation-manifest"},
            True,
            id="annotated, but a node would run it",
        ),
        pytest.param(
            None,
            {"vnd.docker.reference.type": "attestation-manifest"},
            True,
            id="annotated, without a platform",
        ),
    ],
)
def test_what_of_an_index_is_an_image(platform, annotations, counts):
    entry = {**ENTRY, "platform": platform, "annotations": annotations}
    index = parse({**INDEX, "manifests": [entry]}, OCI_INDEX)
    assert len(index.entries) == 1
    assert bool(index.images) is counts
    assert index.entries[0].annotations == tuple(annotations.items())


def test_fields_that_nobody_reads():
    """BuildKit embeds small content as base64; an artifact's subject need not be provable."""
    config = {**CONFIG, "data": "e30=\n", "urls": [], "artifactType": "a/b", "platform": None}
    subject = {"mediaType": "a/b", "digest": "", "size": -1}
    assert parse({**MANIFEST, "config": config, "subject": subject}) == parse(MANIFEST)


@pytest.mark.parametrize("media_type", sorted(LAYER_TYPES))
def test_layer_types(media_type):
    """Foreign layers too: they are ordinary descriptors, and their urls are not kept."""
    layer = {**LAYER, "mediaType": media_type, "urls": ["http://169.254.169.254/latest"]}
    (parsed,) = parse({**MANIFEST, "layers": [layer]}).layers
    assert parsed == Descriptor(media_type=media_type, digest=DIGEST, size=5)


@pytest.mark.parametrize("layers", [[], None])
def test_no_layers_at_all(layers):
    assert parse({**MANIFEST, "layers": layers}).layers == ()


@pytest.mark.parametrize(
    ("sent", "own"),
    [
        pytest.param(f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST, id="with a parameter"),
        pytest.param(OCI_MANIFEST, None, id="OCI leaves mediaType optional"),
    ],
)
def test_media_type_as_sent(sent, own):
    assert parse({**MANIFEST, "mediaType": own}, sent).media_type == OCI_MANIFEST


@pytest.mark.parametrize(
    ("document", "media_type", "detail"),
    [
        pytest.param({**MANIFEST, "manifests": []}, OCI_MANIFEST, "in one", id="both, empty"),
        pytest.param({**MANIFEST, "manifests": None}, OCI_MANIFEST, "in one", id="both, null"),
        pytest.param({**INDEX, "layers": []}, OCI_INDEX, "in one", id="index with layers"),
        pytest.param({**INDEX, "config": CONFIG}, OCI_INDEX, "in one", id="index with config"),
        pytest.param(
            {**MANIFEST, "MANIFESTS": []}, OCI_MANIFEST, "which Go takes for 'manifests'",
            id="both, in other case",
        ),
        pytest.param(
            {**MANIFEST, "Layers": []}, OCI_MANIFEST, "one key to Go", id="layers and Layers"
        ),
        pytest.param(
            b'{"schemaVersion":2,"layers":[],"layers":[]}', OCI_MANIFEST, "twice",
            id="layers twice",
        ),
        pytest.param(MANIFEST, OCI_INDEX, "but says it is", id="manifest sent as an index"),
        pytest.param(INDEX, OCI_MANIFEST, "but says it is", id="index sent as a manifest"),
        pytest.param(MANIFEST, DOCKER_MANIFEST, "but says it is", id="OCI sent as Docker"),
        pytest.param(without(MANIFEST, "schemaVersion"), OCI_MANIFEST, "is not 2", id="no version"),
        pytest.param({**MANIFEST, "schemaVersion": 3}, OCI_MANIFEST, "is not 2", id="version 3"),
        pytest.param({**MANIFEST, "schemaVersion": "2"}, OCI_MANIFEST, "64-bit", id="version '2'"),
        pytest.param(
            {**MANIFEST, "layers": [{**LAYER, "size": -1}]}, OCI_MANIFEST, "size is -1",
            id="negative size",
        ),
        pytest.param(
            {**MANIFEST, "layers": [{**LAYER, "size": 1e2}]}, OCI_MANIFEST, "64-bit",
            id="size 100.0",
        ),
        pytest.param(
            {**MANIFEST, "layers": [{**LAYER, "digest": "sha256:../x"}]}, OCI_MANIFEST,
            r"layers\[0\] has no digest", id="digest that is a path",
        ),
        pytest.param(
            {**MANIFEST, "layers": [None]}, OCI_MANIFEST, "has no digest", id="null layer"
        ),
        pytest.param({**MANIFEST, "layers": LAYER}, OCI_MANIFEST, "an array", id="layers no array"),
        pytest.param(
            {**INDEX, "manifests": [{**ENTRY, "platform": "linux"}]}, OCI_INDEX, "an object",
            id="platform a string",
        ),
        pytest.param(
            {**INDEX, "manifests": [{**ENTRY, "platform": {"os.version": 10}}]}, OCI_INDEX,
            r"platform\.os\.version is not a string", id="platform's version no string",
        ),
        pytest.param(
            {**MANIFEST, "layers": [{**LAYER, "urls": "http"}]}, OCI_MANIFEST, "urls is not an",
            id="urls a string",
        ),
        pytest.param(
            {**MANIFEST, "config": {**CONFIG, "data": "e30"}}, OCI_MANIFEST, "data is no base64",
            id="data without padding",
        ),
        pytest.param(
            {**MANIFEST, "subject": {"size": "1"}}, OCI_MANIFEST, r"subject\.size is no 64-bit",
            id="subject's size a string",
        ),
        pytest.param(
            {**MANIFEST, "annotations": {"a": 1}}, OCI_MANIFEST, "is not a string",
            id="annotation a number",
        ),
        pytest.param(b"<html>", OCI_MANIFEST, "no JSON", id="HTML"),
    ],
)  # fmt: skip
def test_malformed(document, media_type, detail):
    with pytest.raises(Malformed, match=detail):
        parse(document, media_type)


SCHEMA1 = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}


@pytest.mark.parametrize(
    ("document", "media_type", "detail"),
    [
        pytest.param(
            SCHEMA1, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1",
            id="schema 1, signed",
        ),
        pytest.param(
            SCHEMA1, "application/vnd.docker.distribution.manifest.v1+json", "schema 1",
            id="schema 1",
        ),
        pytest.param(SCHEMA1, DOCKER_MANIFEST, "schema 1", id="schema 1 sent as schema 2"),
        pytest.param({**MANIFEST, "fsLayers": []}, OCI_MANIFEST, "schema 1", id="fsLayers"),
        pytest.param(b"<html>", "text/html", "'text/html' is no manifest", id="a web page"),
        pytest.param(MANIFEST, "", "'' is no manifest", id="no type at all"),
        pytest.param(MANIFEST, "application/json", "is no manifest", id="any JSON"),
    ],
)  # fmt: skip
def test_unsupported_documents(document, media_type, detail):
    with pytest.raises(Unsupported, match=detail):
        parse(document, media_type)


@pytest.mark.parametrize(
    "config_type",
    [
        "application/vnd.oci.empty.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.wasm.config.v0+json",
        "application/vnd.docker.plugin.v1+json",
        "",
    ],
)
def test_artifacts_are_no_images(config_type):
    document = {**MANIFEST, "config": {**CONFIG, "mediaType": config_type}}
    with pytest.raises(Unsupported, match=f"an artifact of type '{config_type.replace('+', '.')}'"):
        parse(document)


def test_an_artifact_is_named_by_its_own_type():
    config = {**CONFIG, "mediaType": "application/vnd.oci.empty.v1+json"}
    with pytest.raises(Unsupported, match="of type 'text/sbom'"):
        parse({**MANIFEST, "config": config, "artifactType": "text/sbom"})


def test_an_artifact_type_does_not_hide_an_image():
    """A node does not look at it, and runs the image."""
    assert parse({**MANIFEST, "artifactType": "text/sbom"}).layers


@pytest.mark.parametrize(
    "layer_type",
    [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.v1.tar+xz",
        "application/vnd.oci.image.layer.v1.foo",
        "application/vnd.erofs.layer.v1",
        "application/vnd.in-toto+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "",
    ],
)
def test_layers_we_cannot_read_are_named(layer_type):
    with pytest.raises(Unsupported) as refused:
        parse({**MANIFEST, "layers": [LAYER, {**LAYER, "mediaType": layer_type}]})
    assert refused.value.detail == f"the manifest.layers[1] is of type {layer_type!r}, no tar layer"


@pytest.mark.parametrize(
    ("document", "media_type", "limits", "detail"),
    [
        pytest.param(
            {**MANIFEST, "layers": [LAYER] * 3}, OCI_MANIFEST, replace(LIMITS, layers=2),
            "3 layers, the limit is 2", id="layers",
        ),
        pytest.param(
            {**INDEX, "manifests": [ENTRY] * 3}, OCI_INDEX, replace(LIMITS, index_entries=2),
            "3 entries, the limit is 2", id="entries",
        ),
        pytest.param(
            MANIFEST, OCI_MANIFEST, replace(LIMITS, manifest_bytes=100), "the limit is 100",
            id="bytes",
        ),
    ],
)  # fmt: skip
def test_limits(document, media_type, limits, detail):
    with pytest.raises(LimitExceeded, match=detail):
        parse(document, media_type, limits)


def test_depth():
    with pytest.raises(Malformed, match="deeper than 4"):
        parse({**MANIFEST, "x": [[[[]]]]}, limits=replace(LIMITS, json_depth=4))


def test_as_many_as_the_limit_pass():
    assert parse({**MANIFEST, "layers": [LAYER] * 2}, limits=replace(LIMITS, layers=2))
