"""Image references: what is accepted is normal, and its text names the same image."""

from __future__ import annotations

from webhook.errors import Malformed
from webhook.image.reference import Reference

MAX_BYTES = 512
HEX = b"ab" * 32
WORDS = (b"docker.io/", b"index.docker.io/", b"library/", b"localhost", b"@sha256:", HEX, b":443/")
SEEDS = {
    "short": b"busybox",
    "tag": b"busybox:1.37",
    "digest": b"gcr.io/distroless/static-debian13:nonroot@sha256:" + HEX,
    "port": b"localhost:5000/team/app:v1",
    "address": b"[2001:db8::1]:443/app",
    "upper-host": b"REGISTRY/app",
    "upper-path": b"registry.example/App",
    "legacy": b"index.docker.io/alpine",
    "identifier": HEX,
    "separators": b"a.b__c---d/e_f",
    "sha512": b"a/b@sha512:" + HEX * 2,
    "spaces": b" busybox\n",
    "long": b"r.example/" + b"a/" * 127 + b"a",
}


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        read = Reference.parse(text)
    except Malformed:
        return
    assert text.isascii()
    assert text.isprintable()
    assert Reference.parse(str(read)) == read
    assert read.repository == read.repository.lower()
    assert "/" not in read.registry
    assert not {"", ".", ".."} & {*read.repository.split("/"), read.registry}
    assert read.tag is not None or read.digest is not None
    # Nothing is invented: every part but the defaults stands in the text.
    assert read.repository.removeprefix("library/") in text
    assert read.registry == "docker.io" or text.startswith(read.registry + "/")
    assert read.tag in {None, "latest"} or f":{read.tag}" in text
    assert read.digest is None or text.endswith("@" + read.digest)
