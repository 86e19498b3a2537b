"""Layers as manifest and config name them: catalogue 30, 31, 39 and 91."""

from __future__ import annotations

import pytest

from tests.support import forge
from webhook.errors import Malformed
from webhook.image.config import parse_config
from webhook.image.facts import LayerRef
from webhook.image.layer_refs import layer_refs
from webhook.image.manifest import parse_manifest
from webhook.limits import Limits

LAYERS = [[forge.file("a", b"a")], [forge.file("b", b"bb")]]


def refs(image):
    manifest = parse_manifest(image.body, image.media_type, Limits())
    config = parse_config(image.blobs[manifest.config.digest], manifest.config.digest, Limits())
    return layer_refs(manifest, config)


def test_paired_oldest_first():
    image = forge.image(LAYERS, history=["FROM base", "COPY b /"])
    assert refs(image) == tuple(
        LayerRef(
            index=index,
            digest=image.layers[index],
            diff_id=forge.sha256(forge.tar(LAYERS[index])),
            media_type="application/vnd.oci.image.layer.v1.tar+gzip",
            compressed=len(image.blobs[image.layers[index]]),
            created_by=step,
        )
        for index, step in enumerate(["FROM base", "COPY b /"])
    )


def test_a_layer_of_no_bytes_is_none():
    """containerd fetches no descriptor whose size is 0: the pull fails."""
    image = forge.image([b""], compression="none")
    with pytest.raises(Malformed, match="has no bytes"):
        refs(image)


def test_no_layers():
    assert refs(forge.image()) == ()


def test_the_same_layer_twice():
    one, two = refs(forge.image([LAYERS[0], LAYERS[0]]))
    assert (one.digest, one.index, two.index) == (two.digest, 0, 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_diff_ids_as_layers(count):
    image = forge.image(
        LAYERS, config={"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64] * count}}
    )
    expected = f"the manifest lists 2 layers, the config {count} diff_ids"
    with pytest.raises(Malformed, match=expected):
        refs(image)


STEP, EMPTY = {"created_by": "RUN a"}, {"created_by": "ENV a", "empty_layer": True}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([EMPTY, STEP, EMPTY, STEP, EMPTY], ["RUN a", "RUN a"], id="empty ones aside"),
        pytest.param([STEP, {}], ["RUN a", None], id="a step that says nothing"),
        pytest.param(None, [None, None], id="no history"),
        pytest.param([STEP], [None, None], id="too few steps"),
        pytest.param([STEP, STEP, STEP], [None, None], id="too many steps"),
        pytest.param([STEP, EMPTY], [None, None], id="empty_layer miscounted"),
    ],
)
def test_steps(history, expected):
    image = forge.image(LAYERS, config={"history": history})
    assert [ref.created_by for ref in refs(image)] == expected
