"""Layers read, merged and looked through: facts, or a refusal, and never half of each.

The input is tars one after the other, parted by a line that no tar begins with.
"""

from __future__ import annotations

from tests.fuzz.targets import tar_walk
from tests.support import forge
from webhook.errors import ImageRefused
from webhook.image import tree
from webhook.image.apply import merge
from webhook.image.config import ImageConfig
from webhook.image.document import document
from webhook.image.facts import ImageFacts, LayerRef
from webhook.image.layer import read_layer
from webhook.image.platform import Platform
from webhook.limits import KIB, Limits

MAX_BYTES = 16 * KIB
LIMITS = Limits(entries=400, header_bytes=8 * KIB)
PARTED = b"--layer--"
WORDS = (PARTED, b".wh.", b".wh..wh..opq", b"etc/passwd", b"etc/os-release", b"\x7fELF", b"#!/")
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(44)
PASSWD = forge.file("etc/passwd", b"app:x:1000:1000::/:\n")
SEEDS = {
    "one": forge.tar([forge.file("bin/sh", ELF, mode=0o755), PASSWD]),
    "whiteout": PARTED.join(
        [
            forge.tar([forge.file("a/sh", ELF, mode=0o755), PASSWD]),
            forge.tar([forge.opaque("a"), forge.whiteout("etc/passwd")]),
        ]
    ),
    "replaced": PARTED.join(
        [
            forge.tar([forge.folder("bin"), forge.file("bin/sh", ELF, mode=0o755)]),
            forge.tar([forge.symlink("bin", "usr"), forge.file("usr/sh", ELF, mode=0o4755)]),
        ]
    ),
    "linked-passwd": forge.tar(
        [forge.symlink("etc/passwd", "../x"), forge.file("x", b"app:x:0:0\n"), PASSWD]
    ),
    "hard-links": forge.tar(
        [forge.file("a", ELF, mode=0o755), forge.hardlink("b", "a"), forge.hardlink("c", "b")]
    ),
    "script": forge.tar(
        [forge.file("sh", b"#!/bin/x -e\n", mode=0o755), forge.symlink("bin/x", "/sh")]
    ),
    "loop": forge.tar([forge.symlink("a", "b"), forge.symlink("b", "a/c")]),
    "device": forge.tar([forge.special("sh", b"3"), forge.file("sh/x")]),
}


def repaired(data: bytes) -> bytes:
    return PARTED.join(map(tar_walk.repaired, data.split(PARTED)))


def check(data: bytes) -> None:
    tars = data.split(PARTED)
    try:
        layers = [read_layer(_ref(index, one), [one], LIMITS) for index, one in enumerate(tars)]
        trees = merge(layers, LIMITS)
        for index, places in tree.wanted(layers, trees).items():
            layers[index] = read_layer(layers[index].ref, [tars[index]], LIMITS, keep=places)
        assert not tree.wanted(layers, trees)
        files = tree.files_of(CONFIG, layers, trees)
    except ImageRefused:
        return
    for layer in layers:
        for entry in layer.entries:
            parts = entry.path.split(b"/")
            assert entry.path == b"" or not {b"", b".", b".."} & set(parts), entry
    assert files.user.root in {True, False, None}
    assert files.user.root is not False or (files.user.uid or 0) > 0
    paths = [record.path for record in tree.listing(trees)]
    assert len(paths) == len(set(paths))
    kinds = (files.shells, files.package_managers, files.build_tools, files.interpreters)
    kinds += (files.packed,)
    for found in (*kinds, files.setuid):
        assert {one.layer for one in found} <= set(range(len(layers)))
    document(_facts(layers, files))  # what scripts and CEL rules see can be made of anything


CONFIG = ImageConfig(
    digest="sha256:" + "0" * 64,
    platform=Platform(os="linux", architecture="amd64"),
    diff_ids=(),
    user="app",
)


def _ref(index: int, data: bytes) -> LayerRef:
    digest = forge.sha256(data)
    return LayerRef(
        index=index,
        digest=digest,
        diff_id=digest,
        media_type=forge.OCI_LAYER,
        compressed=len(data),
        created_by=None,
    )


def _facts(layers, files) -> ImageFacts:
    digest = CONFIG.digest
    return ImageFacts(
        reference=f"r.example/app@{digest}",
        digest=digest,
        manifest_digest=digest,
        platform=CONFIG.platform,
        config=CONFIG,
        layers=tuple(layer.ref for layer in layers),
        contents=files,
    )
