"""A serving certificate for where there is none: a throw-away CA and one leaf.

For a first try, for tests and for a laptop. The CA's key is never written, so nothing else can
be issued in its name. Not for a cluster: there, certificates are rotated.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL = ("localhost", "127.0.0.1", "::1")
_BACKDATED = timedelta(hours=1)
"""For clients whose clock is behind."""
_VALID = timedelta(days=365)
_PEM = serialization.Encoding.PEM


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
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("slimgate self-signed CA", ca_key.public_key(), ca_key, now, _ca(ca_key))
    leaf_extensions = _leaf(key, ca_key, dict.fromkeys((*LOCAL, *hosts)))
    leaf = _certificate("slimgate", key.public_key(), ca_key, now, leaf_extensions)
    pair = Pair(
        ca=folder / "ca.crt",
        cert=folder / "tls.crt",
        key=folder / "tls.key",
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
    )
    pair.ca.write_bytes(ca.public_bytes(_PEM))
    pair.cert.write_bytes(leaf.public_bytes(_PEM))
    _write_private(pair.key, key)
    return pair


_Extensions = tuple[tuple[x509.ExtensionType, bool], ...]
"""Each with whether it is critical."""


def _certificate(
    name: str,
    public: ec.EllipticCurvePublicKey,
    issuer: ec.EllipticCurvePrivateKey,
    now: datetime,
    extensions: _Extensions,
) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        issuer_name=_name("slimgate self-signed CA"),
        subject_name=_name(name),
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _BACKDATED,
        not_valid_after=now + _VALID,
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer, hashes.SHA256())


def _ca(key: ec.EllipticCurvePrivateKey) -> _Extensions:
    return (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_usage(key_cert_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey, hosts: Iterable[str]
) -> _Extensions:
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
    )


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
