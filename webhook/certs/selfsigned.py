"""A serving certificate for where there is none: a throw-away CA and one leaf.

For a first try, for tests and for a laptop. The CA's key is never written, so nothing else can
be issued in its name. Not for a cluster: there, certificates are rotated (authority.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from webhook.certs.issue import fingerprint, issue_authority, issue_leaf

LOCAL = ("localhost", "127.0.0.1", "::1")
_VALID = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Files in PEM. ``fingerprint`` is the leaf's SHA-256, as ``openssl x509`` prints it."""

    ca: Path
    cert: Path
    key: Path
    fingerprint: str


def self_signed(folder: Path, *, hosts: Iterable[str], now: datetime) -> Pair:
    """Write ``ca.crt``, ``tls.crt`` and ``tls.key`` (mode 0600) for ``LOCAL`` and ``hosts``.

    Args:
        folder: exists, and only the user can enter it.
        hosts: DNS names and IP addresses, bare.
        now: aware; valid from an hour before, for a year.
    """
    ca = issue_authority("slimgate self-signed CA", now=now, valid=_VALID)
    leaf = issue_leaf(ca, "slimgate", dict.fromkeys((*LOCAL, *hosts)), now=now, valid=_VALID)
    pair = Pair(
        ca=folder / "ca.crt",
        cert=folder / "tls.crt",
        key=folder / "tls.key",
        fingerprint=fingerprint(leaf.certificate).hex(":").upper(),
    )
    pair.ca.write_bytes(ca.cert_pem)
    pair.cert.write_bytes(leaf.cert_pem)
    _write_private(pair.key, leaf.key_pem)
    return pair


def _write_private(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
