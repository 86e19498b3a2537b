"""Digests: which are accepted, and proving bytes against them.

A digest is a claim by whoever wrote it down, until the bytes were hashed. It is only ever
compared, never made part of a path.
Source: image-spec descriptor.md "Digests"; opencontainers/go-digest ``Digest.Validate``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from webhook.errors import IntegrityError, LimitExceeded, Malformed, Unsupported

if TYPE_CHECKING:
    from hashlib import _Hash

    from webhook.image.manifest import Descriptor

_HEX_DIGITS: Final = {"sha256": 64, "sha512": 128}
_DIGEST: Final = re.compile(r"([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_HEX: Final = re.compile(r"[0-9a-f]+")


def checked(digest: str, what: str) -> str:
    """The digest itself, if it is one that can be proved: sha256 or sha512.

    Args:
        digest: ``sha256:`` and 64, or ``sha512:`` and 128, lower-case hex digits.
        what: what names it, for messages: ``the manifest's config``.

    Raises:
        Malformed: it is no digest.
        Unsupported: it is one of another algorithm.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise Malformed(f"{what} has no digest but {digest[:100]!r}")
    algorithm, encoded = match.groups()
    if algorithm not in _HEX_DIGITS:
        raise Unsupported(f"{what} has a digest by {algorithm[:20]}, not sha256 or sha512")
    if len(encoded) != _HEX_DIGITS[algorithm] or not _HEX.fullmatch(encoded):
        raise Malformed(f"{what} has no digest but {digest[:100]!r}")
    return digest


def sha256(data: bytes) -> str:
    """``sha256:…`` of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hasher(digest: str) -> _Hash:
    """A fresh hash of the algorithm of a ``checked`` digest."""
    return hashlib.new(digest.partition(":")[0])


def proves(running: _Hash, digest: str) -> bool:
    """Whether what ``running`` has seen is what the digest promised."""
    return f"{running.name}:{running.hexdigest()}" == digest


def verified(chunks: Iterable[bytes], descriptor: Descriptor, limit: int) -> bytes:
    """Read a small blob (a manifest, a config) whole, proving its size and digest.

    Args:
        chunks: the blob; read no further than one chunk past the promised size.
        descriptor: what was promised.
        limit: the largest size, in bytes, that is read at all.

    Raises:
        LimitExceeded: the promised size is over the limit.
        IntegrityError: the bytes are not those that were promised.
    """
    if descriptor.size > limit:
        raise LimitExceeded(
            f"{descriptor.digest} ({descriptor.media_type}) has {descriptor.size} bytes, "
            f"the limit is {limit}"
        )
    running, data = hasher(descriptor.digest), bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > descriptor.size:
            break
    if len(data) != descriptor.size:
        relation = "more" if len(data) > descriptor.size else "fewer"
        raise IntegrityError(
            f"{descriptor.digest} has {relation} than the {descriptor.size} bytes promised"
        )
    running.update(data)
    if not proves(running, descriptor.digest):
        raise IntegrityError(f"the bytes sent for {descriptor.digest} have another digest")
    return bytes(data)
