"""Push forged images to a registry, by the distribution API, with the standard library alone."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping
from urllib.parse import urljoin

from tests.support.forge import Image


def push(
    registry: str, repository: str, image: Image, *, tag: str = "v1", login: str | None = None
) -> str:
    """Upload an image over plain http and return its reference, ``HOST/REPOSITORY:TAG@DIGEST``.

    ``registry`` is ``HOST:PORT``; ``login`` is ``NAME:PASSWORD``. Any answer but success raises
    ``urllib.error.HTTPError``.
    """
    base = f"http://{registry}/v2/{repository}"
    headers = (
        {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    )
    manifests = _manifests(image)
    for digest in image.blobs.keys() - manifests.keys():
        _upload(f"{base}/blobs/uploads/", digest, image.blobs[digest], headers)
    for digest, media_type in manifests.items():
        name = tag if digest == image.digest else digest
        typed = {**headers, "Content-Type": media_type}
        _send("PUT", f"{base}/manifests/{name}", image.blobs[digest], typed)
    return f"{registry}/{repository}:{tag}@{image.digest}"


def _manifests(image: Image) -> dict[str, str]:
    """Digest → media type: the images before the index that names them."""
    entries = json.loads(image.body).get("manifests", [])
    return {one["digest"]: one["mediaType"] for one in entries} | {image.digest: image.media_type}


def _upload(url: str, digest: str, blob: bytes, headers: Mapping[str, str]) -> None:
    place = urljoin(url, _send("POST", url, b"", headers))
    joint = "&" if "?" in place else "?"
    typed = {**headers, "Content-Type": "application/octet-stream"}
    _send("PUT", f"{place}{joint}digest={digest}", blob, typed)


def _send(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Send, and return the Location of the answer (empty where there is none)."""
    request = urllib.request.Request(url, body, dict(headers), method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers.get("Location", "")
