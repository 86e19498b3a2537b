"""Forged images: small, exact, and as hostile as a test wants them.

    image = forge.image([[forge.file("bin/sh", b"\\x7fELF...", mode=0o755)]], user="65532")
    forge.write_layout(tmp_path / "layout", image)          # an oci: folder
    image.blobs[image.digest]                               # every blob by digest

Layers are lists of entries, or bytes to be taken as the tar as they are.
Everything is deterministic: the same call gives the same digests.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backports import zstd

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

Compression = Literal["gzip", "zstd", "none"]


@dataclass(frozen=True)
class Entry:
    """A tar member: header fields and body."""

    info: tarfile.TarInfo
    body: bytes = b""


def file(
    path: str,
    body: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    pax: Mapping[str, str] | None = None,
) -> Entry:
    """A regular file."""
    return _entry(path, tarfile.REGTYPE, body, mode=mode, uid=uid, gid=gid, pax=pax)


def folder(path: str, *, mode: int = 0o755) -> Entry:
    """A directory."""
    return _entry(path, tarfile.DIRTYPE, mode=mode)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link, its target as written."""
    return _entry(path, tarfile.SYMTYPE, mode=0o777, link=target)


def hardlink(path: str, target: str, *, mode: int = 0o755) -> Entry:
    """A hard link to another member of the same layer."""
    return _entry(path, tarfile.LNKTYPE, mode=mode, link=target)


def whiteout(path: str) -> Entry:
    """Deletes ``path`` of the layers below."""
    head, _, name = path.rpartition("/")
    return file(f"{head}/.wh.{name}" if head else f".wh.{name}")


def opaque(path: str) -> Entry:
    """Hides what the layers below have in ``path``."""
    return file(f"{path}/.wh..wh..opq")


def special(path: str, kind: bytes, *, major: int = 0, minor: int = 0, mode: int = 0o644) -> Entry:
    """A device, fifo, or any other typeflag."""
    entry = _entry(path, kind, mode=mode)
    entry.info.devmajor, entry.info.devminor = major, minor
    return entry


def _entry(
    path: str,
    kind: bytes,
    body: bytes = b"",
    *,
    mode: int,
    uid: int = 0,
    gid: int = 0,
    link: str = "",
    pax: Mapping[str, str] | None = None,
) -> Entry:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
    info.size = len(body)
    info.pax_headers = dict(pax or {})
    return Entry(info, body)


def tar(entries: Iterable[Entry]) -> bytes:
    """The entries as a PAX tar with its two end blocks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry.info, io.BytesIO(entry.body))
    return out.getvalue()


def sha256(data: bytes) -> str:
    """``sha256:…`` of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """A forged manifest or index with all its blobs."""

    digest: str
    media_type: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    """Digests of the compressed layers, oldest first."""

    @property
    def body(self) -> bytes:
        """The manifest or index itself."""
        return self.blobs[self.digest]

    @property
    def size(self) -> int:
        """Bytes of the manifest or index."""
        return len(self.body)


def compress(data: bytes, how: Compression) -> bytes:
    """The bytes of a layer as a registry would store them."""
    if how == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if how == "zstd":
        return zstd.compress(data)
    return data


def image(
    layers: Sequence[Iterable[Entry] | bytes] = (),
    *,
    user: str | None = None,
    entrypoint: Sequence[str] | None = None,
    cmd: Sequence[str] | None = None,
    env: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",),
    labels: Mapping[str, str] | None = None,
    created: str | None = "2026-11-01T00:00:00Z",
    os: str = "linux",
    architecture: str = "amd64",
    variant: str | None = None,
    compression: Compression = "gzip",
    history: Sequence[str] | None = None,
    config: Mapping[str, Any] | bytes | None = None,
    manifest: Mapping[str, Any] | bytes | None = None,
    layer_media_type: str | None = None,
) -> Image:
    """Forge an OCI image.

    ``config`` and ``manifest`` replace fields of the document (None removes one), or, as
    bytes, the whole of it. ``history`` holds one ``created_by`` a layer.
    """
    tars = [data if isinstance(data, bytes) else tar(data) for data in layers]
    blobs = [compress(data, compression) for data in tars]
    run: dict[str, Any] = {"Env": list(env)}
    if user is not None:
        run["User"] = user
    if entrypoint is not None:
        run["Entrypoint"] = list(entrypoint)
    if cmd is not None:
        run["Cmd"] = list(cmd)
    if labels is not None:
        run["Labels"] = dict(labels)
    steps = history or [f"COPY layer{number} /" for number in range(len(tars))]
    document: dict[str, Any] = {
        "architecture": architecture,
        "os": os,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in tars]},
        "history": [{"created_by": step} for step in steps],
    }
    if variant:
        document["variant"] = variant
    if created:
        document["created"] = created
    config_blob = _document(document, config)
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[compression]
    manifest_blob = _document(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config_blob),
            "layers": [_descriptor(layer_media_type or OCI_LAYER + suffix, blob) for blob in blobs],
        },
        manifest,
    )
    known = {sha256(blob): blob for blob in (*blobs, config_blob, manifest_blob)}
    return Image(sha256(manifest_blob), OCI_MANIFEST, known, [sha256(blob) for blob in blobs])


def of_blobs(blobs: Sequence[bytes], media_type: str, diff_id: str) -> Image:
    """An image of layers as they are stored, all of that diff_id; right or wrong."""
    layers = [_descriptor(media_type, blob) for blob in blobs]
    rootfs = {"type": "layers", "diff_ids": [diff_id] * len(blobs)}
    made = image(user="65532", config={"rootfs": rootfs}, manifest={"layers": layers})
    made.blobs |= {sha256(blob): blob for blob in blobs}
    return made


def index(
    images: Sequence[tuple[Image, Mapping[str, Any] | None]],
    *,
    annotations: Sequence[Mapping[str, str] | None] = (),
) -> Image:
    """An index of images, each with its platform (None: an entry without one)."""
    entries = []
    for number, (one, platform) in enumerate(images):
        entry: dict[str, Any] = _descriptor(one.media_type, one.body)
        if platform is not None:
            entry["platform"] = dict(platform)
        if number < len(annotations) and annotations[number]:
            entry["annotations"] = dict(annotations[number] or {})
        entries.append(entry)
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    blobs = {digest: blob for one, _ in images for digest, blob in one.blobs.items()}
    return Image(sha256(body), OCI_INDEX, {**blobs, sha256(body): body})


def write_layout(path: Path, one: Image, *, tag: str = "latest") -> Path:
    """Write an OCI layout folder holding the image under ``tag``; returns ``path``."""
    (path / "blobs" / "sha256").mkdir(parents=True)
    for digest, blob in one.blobs.items():
        (path / "blobs" / digest.replace(":", "/")).write_bytes(blob)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {
        **_descriptor(one.media_type, one.body),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return path


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(blob), "size": len(blob)}


def _document(fields: dict[str, Any], changes: Mapping[str, Any] | bytes | None) -> bytes:
    if isinstance(changes, bytes):
        return changes
    merged = {**fields, **(changes or {})}
    return json.dumps({key: value for key, value in merged.items() if value is not None}).encode()
