"""The way from a forged or stored image to its facts, for the tests of the layers' contents."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import forge
from webhook.image import tree
from webhook.image.apply import merge
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, LayerRef, Program
from webhook.image.layer import Layer, read_layer
from webhook.image.platform import Platform
from webhook.limits import Limits

LIMITS = Limits()
GZIP = forge.OCI_LAYER + "+gzip"

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(44)
"""An ELF header of an amd64 program, statically linked, and nothing else."""
BUSYBOX = ELF + b"BusyBox v1.37.0 (2024-09-26 21:31:42 UTC)\0: applet not found\0"


def program(path: str, body: bytes = ELF, *, mode: int = 0o755) -> forge.Entry:
    """An executable file."""
    return forge.file(path, body, mode=mode)


def layers_of(
    contents: Sequence[Iterable[forge.Entry] | bytes],
    *,
    media_type: str = GZIP,
    digests: bool = False,
    limits: Limits = LIMITS,
) -> list[Layer]:
    """Read forged layers, as the gatherer would."""
    tars = [data if isinstance(data, bytes) else forge.tar(data) for data in contents]
    return [
        read(data, index=index, media_type=media_type, digests=digests, limits=limits)
        for index, data in enumerate(tars)
    ]


def read(
    data: bytes,
    *,
    blob: bytes | None = None,
    index: int = 0,
    media_type: str = GZIP,
    digests: bool = False,
    limits: Limits = LIMITS,
) -> Layer:
    """Read one tar, compressed by gzip unless ``blob`` says otherwise."""
    blob = gzip.compress(data, 6, mtime=0) if blob is None else blob
    ref = LayerRef(
        index=index,
        digest=forge.sha256(blob),
        diff_id=forge.sha256(data),
        media_type=media_type,
        compressed=len(blob),
        created_by=f"COPY layer{index} /",
    )
    return read_layer(ref, chunked(blob), limits, digests=digests)


def chunked(data: bytes, size: int = 1000) -> list[bytes]:
    """The bytes in pieces, as from a socket."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def config(user: str = "") -> ImageConfig:
    """A config that says nothing but who runs."""
    return ImageConfig(
        digest="sha256:" + "0" * 64,
        platform=Platform(os="linux", architecture="amd64"),
        diff_ids=(),
        user=user,
    )


def files(
    *contents: Iterable[forge.Entry] | bytes, user: str = "", limits: Limits = LIMITS
) -> Files:
    """The facts of an image of these layers."""
    layers = layers_of(contents)
    trees = merge(layers, limits)
    for index, places in tree.wanted(layers, trees).items():
        data = contents[index] if isinstance(contents[index], bytes) else forge.tar(contents[index])
        blob = gzip.compress(data, 6, mtime=0)
        layers[index] = read_layer(layers[index].ref, [blob], limits, keep=places)
    return tree.files_of(config(user), layers, trees)


def merged(config: ImageConfig, layers: Sequence[Layer]) -> Files:
    """The facts of layers that were read already."""
    return tree.files_of(config, layers, merge(layers, LIMITS))


def shown(programs: Iterable[Program]) -> dict[str, tuple[str, str]]:
    """Path to name and how it was known."""
    return {one.path: (one.name, one.by) for one in programs}


def shells(*contents: Iterable[forge.Entry] | bytes) -> dict[str, tuple[str, str]]:
    """The shells of an image of these layers."""
    return shown(files(*contents).shells)


def real_images() -> Path:
    """Where the real images are; skips the test where they are not."""
    default = Path(__file__).parents[3] / "shared" / "images"
    folder = Path(os.environ.get("SLIMGATE_REAL_IMAGES", default))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder} (set SLIMGATE_REAL_IMAGES)")
    return folder


def layout_layers(folder: Path) -> list[Layer]:
    """The layers of the first image of an OCI layout folder, read."""

    def blob(digest: str) -> bytes:
        return (folder / "blobs" / digest.replace(":", "/")).read_bytes()

    index = json.loads((folder / "index.json").read_bytes())
    manifest = json.loads(blob(index["manifests"][0]["digest"]))
    diff_ids = json.loads(blob(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
    empty = LayerRef(index=0, digest="", diff_id="", media_type="", compressed=0, created_by=None)
    return [
        read_layer(
            replace(
                empty,
                index=number,
                digest=layer["digest"],
                diff_id=diff_id,
                media_type=layer["mediaType"],
                compressed=layer["size"],
            ),
            [blob(layer["digest"])],
            LIMITS,
        )
        for number, (layer, diff_id) in enumerate(zip(manifest["layers"], diff_ids, strict=True))
    ]
