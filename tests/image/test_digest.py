"""Digests and blobs proved by them: catalogue 38."""

from __future__ import annotations

import hashlib

import pytest

from webhook.errors import IntegrityError, LimitExceeded, Malformed, Unsupported
from webhook.image.digest import checked, hasher, proves, sha256, verified
from webhook.image.manifest import Descriptor

BLOB = b"the blob"
SHA256 = "sha256:" + hashlib.sha256(BLOB).hexdigest()
SHA512 = "sha512:" + hashlib.sha512(BLOB).hexdigest()


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_accepted(digest):
    assert checked(digest, "it") == digest


@pytest.mark.parametrize(
    ("digest", "error"),
    [
        pytest.param("", Malformed, id="empty"),
        pytest.param("sha256:", Malformed, id="no digits"),
        pytest.param("sha256:../../etc/passwd", Malformed, id="a path"),
        pytest.param("../sha256:" + "a" * 64, Malformed, id="a path before"),
        pytest.param("sha256:" + "a" * 63, Malformed, id="too short"),
        pytest.param("sha256:" + "a" * 128, Malformed, id="sha512's length"),
        pytest.param("sha512:" + "a" * 64, Malformed, id="sha256's length"),
        pytest.param("sha256:" + "A" * 64, Malformed, id="upper case"),
        pytest.param("sha256:" + "a" * 64 + "\n", Malformed, id="a newline after"),
        pytest.param("sha256:" + "\uff11" * 64, Malformed, id="fullwidth digits"),
        pytest.param("a" * 64, Malformed, id="no algorithm"),
        pytest.param("md5:" + "a" * 32, Unsupported, id="md5"),
        pytest.param("sha384:" + "a" * 96, Unsupported, id="sha384"),
        pytest.param("sha256+b64:" + "a" * 64, Unsupported, id="another encoding"),
    ],
)
def test_refused(digest, error):
    with pytest.raises(error, match=r"^the layer has "):
        checked(digest, "the layer")


def descriptor(digest: str = SHA256, size: int = len(BLOB)) -> Descriptor:
    return Descriptor(media_type="text/plain", digest=digest, size=size)


@pytest.mark.parametrize("digest", [SHA256, SHA512])
@pytest.mark.parametrize("chunks", [[BLOB], [b"", b"the", b" blob"]])
def test_verified(digest, chunks):
    assert verified(iter(chunks), descriptor(digest), 100) == BLOB


@pytest.mark.parametrize(
    ("chunks", "promised", "detail"),
    [
        pytest.param([b"the blub"], descriptor(), "another digest", id="other bytes"),
        pytest.param([b"the blo"], descriptor(), "fewer than the 8", id="cut short"),
        pytest.param([], descriptor(), "fewer than the 8", id="nothing"),
        pytest.param([BLOB, b"!"], descriptor(), "more than the 8", id="something after"),
        pytest.param([BLOB], descriptor(size=9), "fewer than the 9", id="size promised too large"),
        pytest.param([BLOB], descriptor(size=1), "more than the 1", id="size promised too small"),
    ],
)
def test_not_what_was_promised(chunks, promised, detail):
    with pytest.raises(IntegrityError, match=detail):
        verified(chunks, promised, 100)


def test_an_endless_blob_is_read_no_further_than_promised():
    def endless():
        for _ in range(9):
            yield b"x"
        raise AssertionError("read on")

    with pytest.raises(IntegrityError, match="more than the 8"):
        verified(endless(), descriptor(), 100)


def test_a_promise_over_the_limit_is_not_read_at_all():
    def untouched():
        raise AssertionError("read")
        yield b""

    with pytest.raises(LimitExceeded, match="has 101 bytes, the limit is 100"):
        verified(untouched(), descriptor(size=101), 100)


def test_proves():
    running = hasher(SHA512)
    assert not proves(running, SHA512)
    running.update(BLOB)
    assert proves(running, SHA512)
    assert sha256(BLOB) == SHA256
