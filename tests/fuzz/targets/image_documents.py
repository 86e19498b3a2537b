"""Manifests, indexes and configs: read, written again from what was read, read the same.

The first byte says as what the rest was sent.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support import forge
from webhook.errors import ImageRefused
from webhook.image import manifest as manifests
from webhook.image.config import ImageConfig, parse_config
from webhook.image.manifest import Descriptor, Index, Manifest, parse_manifest
from webhook.image.platform import Platform
from webhook.limits import KIB, Limits

MAX_BYTES = 4 * KIB
LIMITS = Limits(layers=10, index_entries=10)
KINDS = (
    *(manifests.OCI_MANIFEST, manifests.OCI_INDEX),
    *(manifests.DOCKER_MANIFEST, manifests.DOCKER_LIST),
)
DIGEST = "sha256:" + "ab" * 32
PROVABLE = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
ONE = forge.image([[forge.file("a")]], user="65532", entrypoint=["/a"], labels={"k": "v"})
BOTH = forge.index([(ONE, {"os": "linux", "architecture": "arm64", "variant": "v8"}), (ONE, None)])
CONFIG = next(blob for blob in ONE.blobs.values() if b"rootfs" in blob)
WORDS = (
    *(b'"mediaType":', b'"digest":', b'"size":', b'"layers":', b'"manifests":', b'"config":'),
    *(b'"platform":', b'"annotations":', b'"User":', b'"Entrypoint":', b'"rootfs":', b'"urls":'),
    *(b'"diff_ids":', b'"created":', b'"history":', b'"fsLayers":', b'"data":', b'"subject":'),
    *(b"null", b"{}", b"[]", b"-1", b"1.0", DIGEST.encode(), forge.OCI_CONFIG.encode()),
)
SEEDS = {
    "manifest": b"\0" + ONE.body,
    "index": b"\1" + BOTH.body,
    "docker": b"\2"
    + json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifests.DOCKER_MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": DIGEST,
                "size": 3,
            },
            "layers": [],
        }
    ).encode(),
    "list": b"\3" + BOTH.body.replace(manifests.OCI_INDEX.encode(), manifests.DOCKER_LIST.encode()),
    "config": b"\4" + CONFIG,
    "artifact": b"\0" + ONE.body.replace(forge.OCI_CONFIG.encode(), b"application/x"),
    "schema-1": b"\0" + b'{"schemaVersion": 1, "fsLayers": []}',
    "both-in-one": b"\0" + ONE.body[:-1] + b', "manifests": []}',
    "bad-date": b"\4" + CONFIG.replace(b"2026-11-01", b"2026-13-01"),
    "user-folded": b"\4" + CONFIG.replace(b'"User"', b'"USER"'),
}


def check(data: bytes) -> None:
    which, body = (data[0] if data else 0), data[1:]
    if which % 5 == len(KINDS):
        _check_config(body)
    else:
        _check_manifest(body, KINDS[which % 5])


def _check_manifest(body: bytes, kind: str) -> None:
    try:
        read = parse_manifest(body, kind, LIMITS)
    except ImageRefused:
        return
    assert isinstance(read, Manifest if kind in manifests.MANIFEST_TYPES else Index)
    assert read.media_type == kind
    descriptors = read.entries if isinstance(read, Index) else (read.config, *read.layers)
    assert len(descriptors) <= 1 + LIMITS.layers
    for one in descriptors:
        assert PROVABLE.fullmatch(one.digest)
        assert 0 <= one.size < 2**63
    # A document has one reading: no other kind takes it, whatever its source says.
    assert parse_manifest(_written(read), kind, LIMITS) == read
    for other in KINDS:
        if (other in manifests.MANIFEST_TYPES) != isinstance(read, Manifest):
            assert _refused_or_empty(body, other)


def _refused_or_empty(body: bytes, kind: str) -> bool:
    try:
        read = parse_manifest(body, kind, LIMITS)
    except ImageRefused:
        return True
    return isinstance(read, Index) and not read.entries


def _written(read: Manifest | Index) -> bytes:
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": read.media_type}
    if isinstance(read, Index):
        document["manifests"] = [_descriptor(one) for one in read.entries]
    else:
        document["config"] = _descriptor(read.config)
        document["layers"] = [_descriptor(one) for one in read.layers]
    return json.dumps(document).encode()


def _descriptor(one: Descriptor) -> dict[str, Any]:
    written: dict[str, Any] = {
        "mediaType": one.media_type,
        "digest": one.digest,
        "size": one.size,
        "annotations": dict(one.annotations),
    }
    if one.platform is not None:
        written["platform"] = _platform(one.platform)
    return written


def _platform(platform: Platform) -> dict[str, str]:
    return {
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant,
    }


def _check_config(body: bytes) -> None:
    try:
        read = parse_config(body, DIGEST, LIMITS)
    except ImageRefused:
        return
    assert all(PROVABLE.fullmatch(diff_id) for diff_id in read.diff_ids)
    assert len(read.diff_ids) <= LIMITS.layers
    assert parse_config(_config(read), DIGEST, LIMITS) == read


def _config(read: ImageConfig) -> bytes:
    run = {
        "User": read.user,
        "Entrypoint": read.entrypoint,
        "Cmd": read.cmd,
        "Env": read.env,
        "WorkingDir": read.working_dir,
        "Labels": dict(read.labels),
    }
    document = {
        **_platform(read.platform),
        "config": run,
        "created": read.created,
        "rootfs": {"type": "layers", "diff_ids": read.diff_ids},
        "history": [
            {"created_by": step.created_by, "empty_layer": step.empty_layer}
            for step in read.history
        ],
    }
    return json.dumps(document).encode()
