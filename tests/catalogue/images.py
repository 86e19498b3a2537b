"""The images of the catalogue: functions that return functions, so that none is made in vain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests.support import forge
from tests.support.rawtar import END, member
from tests.support.samples import PASSWD, base, built, elf, program

Make = Callable[[], forge.Image]
Layer = list[forge.Entry] | bytes
Edit = Callable[[dict[str, Any]], object]

GZIP = forge.OCI_LAYER + "+gzip"
APP = program("app/server")
SH = program("bin/sh")
RAW_SH = member(b"bin/sh", elf())


def app(*layers: Layer, user: str | None = "65532", passwd: bytes = PASSWD, **changes: Any) -> Make:
    """Layers upon an image that passes every check."""
    return lambda: built(base(passwd=passwd), [APP], *layers, user=user, **changes)


def app_for(architecture: str, *layers: Layer) -> Make:
    """The same image for other nodes."""
    kind, machine = {"386": (1, 3), "arm64": (2, 183)}[architecture]
    body = bytearray(elf())
    body[4], body[18:20] = kind, machine.to_bytes(2, "little")
    own = forge.file("app/server", bytes(body), mode=0o755)
    return app([own], *layers, architecture=architecture)


def bare(*layers: Layer, user: str | None = "65532", **changes: Any) -> Make:
    """Layers upon a program and nothing else."""
    return lambda: built([APP], *layers, user=user, **changes)


def user(declared: str | None, *lines: bytes, **changes: Any) -> Make:
    """An image with this ``User``, and with more lines in its ``/etc/passwd``."""
    return app(user=declared, passwd=PASSWD + b"".join(line + b"\n" for line in lines), **changes)


def raw(*members: bytes) -> Make:
    """An image whose last layer is a tar of these bytes."""
    return app(b"".join(members) + END)


def config_text(make: Make, old: str, new: str) -> Make:
    """The image with its config's text changed."""
    return config_bytes(make, lambda text: replaced(text, old, new).encode())


def config_bytes(make: Make, edit: Callable[[str], bytes]) -> Make:
    """The image with its config's bytes made anew from the text."""

    def made() -> forge.Image:
        plain = make()
        manifest = json.loads(plain.body)
        body = edit(plain.blobs[manifest["config"]["digest"]].decode())
        manifest["config"] |= _content(body)
        return _with(plain, json.dumps(manifest).encode(), body)

    return made


def manifest_text(make: Make, old: str, new: str) -> Make:
    """The image with its manifest's text changed."""

    def made() -> forge.Image:
        plain = make()
        return _with(plain, replaced(plain.body.decode(), old, new).encode())

    return made


def edited(make: Make, *, config: Mapping[str, Any] | None = None, **manifest: Any) -> Make:
    """The image with fields of its config and its manifest replaced; None removes one."""
    return lambda: _edited(make(), config or {}, manifest)


def _edited(
    plain: forge.Image, fields: Mapping[str, Any], manifest: Mapping[str, Any]
) -> forge.Image:
    document = json.loads(plain.body) | manifest
    config = json.loads(plain.blobs[document["config"]["digest"]]) | fields
    body = json.dumps({key: value for key, value in config.items() if value is not None}).encode()
    if fields:
        document["config"] |= _content(body)
    kept = {key: value for key, value in document.items() if value is not None}
    return _with(plain, json.dumps(kept).encode(), body)


def described(make: Make, **fields: Any) -> Make:
    """The image with fields of its last layer's descriptor changed."""
    return lambda: _described(make(), fields)


def _described(plain: forge.Image, fields: Mapping[str, Any]) -> forge.Image:
    manifest = json.loads(plain.body)
    manifest["layers"][-1] |= fields
    return _with(plain, json.dumps(manifest).encode())


def stored(tar: bytes, blob: bytes, media_type: str = GZIP) -> Make:
    """An image whose last layer is ``tar``, and lies in the registry as ``blob``."""

    def made() -> forge.Image:
        plain = _described(app(tar)(), {"mediaType": media_type, **_content(blob)})
        return _with(plain, plain.body, blob)

    return made


def repeated(make: Make, times: int) -> Make:
    """The image with its last layer as often."""

    def made() -> forge.Image:
        plain = make()
        manifest = json.loads(plain.body)
        rootfs = json.loads(plain.blobs[manifest["config"]["digest"]])["rootfs"]
        layers, diff_ids = manifest["layers"], rootfs["diff_ids"]
        rootfs["diff_ids"] = diff_ids + diff_ids[-1:] * (times - 1)
        many = layers + layers[-1:] * (times - 1)
        return _edited(plain, {"rootfs": rootfs, "history": []}, {"layers": many})

    return made


def sent_as(make: Make, media_type: str) -> Make:
    """The image under another Content-Type."""
    return lambda: replace(make(), media_type=media_type)


def without(make: Make, which: Callable[[dict[str, Any]], dict[str, Any]]) -> Make:
    """The image, one of whose blobs the registry does not have."""

    def made() -> forge.Image:
        plain = make()
        gone = which(json.loads(plain.body))["digest"]
        return replace(plain, blobs={key: blob for key, blob in plain.blobs.items() if key != gone})

    return made


def indexed(*entries: tuple[Make, str | None], **changes: Any) -> Make:
    """An index of images with their platforms (``linux/amd64``)."""

    def made() -> forge.Image:
        platforms = [platform and platform.split("/") for _, platform in entries]
        return forge.index(
            [
                (make(), parts and {"os": parts[0], "architecture": parts[1]})
                for (make, _), parts in zip(entries, platforms, strict=True)
            ],
            **changes,
        )

    return made


def nested(make: Make, depth: int, width: int = 1) -> Make:
    """Indexes within indexes."""

    def made() -> forge.Image:
        one = make()
        for _ in range(depth):
            one = forge.index([(one, None)] * width)
        return one

    return made


def replaced(text: str, old: str, new: str) -> str:
    """The text with ``old``, which must be in it, replaced once."""
    assert old in text
    return text.replace(old, new, 1)


def tar(*entries: forge.Entry) -> bytes:
    """The entries as an archive."""
    return forge.tar(entries)


def _content(blob: bytes) -> dict[str, Any]:
    return {"digest": forge.sha256(blob), "size": len(blob)}


def _with(plain: forge.Image, manifest: bytes, *blobs: bytes) -> forge.Image:
    known: Iterable[bytes] = (manifest, *blobs)
    return replace(
        plain,
        digest=forge.sha256(manifest),
        blobs={**plain.blobs, **{forge.sha256(blob): blob for blob in known}},
    )
