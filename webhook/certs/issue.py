"""Certificates as values: a CA, a leaf by it, and reading both from PEM that may be anything.

Keys are ECDSA on P-256. Certificates are valid from an hour before, for clients whose clock is
behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(hours=1)
_PEM = serialization.Encoding.PEM
_MAX_PEM = 256 * 1024
"""Bytes of PEM that are read: a Secret may hold 1 MiB of anything."""


class BadPairError(ValueError):
    """This is no certificate with its key; the text says why, and holds no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and the key to it: they match."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> bytes:
        """The certificate."""
        return pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The key, as PKCS #8, not encrypted."""
        return self.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def issue_authority(name: str, *, now: datetime, valid: timedelta) -> Pair:
    """A new CA that may issue leaves only; ``now`` is aware."""
    key = ec.generate_private_key(ec.SECP256R1())
    extensions: _Extensions = (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_usage(key_cert_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    )
    subject = _name(name)
    certificate = _signed(
        subject, subject, key.public_key(), key, period=(now, now + valid), extensions=extensions
    )
    return Pair(certificate=certificate, key=key)


def issue_leaf(
    authority: Pair, name: str, hosts: Iterable[str], *, now: datetime, valid: timedelta
) -> Pair:
    """A new serving certificate for the hosts (names or addresses); it ends with its CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.key.public_key()
    extensions: _Extensions = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
    )
    until = min(now + valid, authority.certificate.not_valid_after_utc)
    certificate = _signed(
        _name(name),
        authority.certificate.subject,
        key.public_key(),
        authority.key,
        period=(now, until),
        extensions=extensions,
    )
    return Pair(certificate=certificate, key=key)


def read_pair(cert: bytes, key: bytes) -> Pair:
    """The first certificate of the PEM, and its key.

    Raises:
        BadPairError: it is no such pair.
    """
    if not cert or not key:
        raise BadPairError("the certificate or its key is empty")
    if max(len(cert), len(key)) > _MAX_PEM:
        raise BadPairError(f"more than {_MAX_PEM} bytes of PEM")
    try:
        certificate = x509.load_pem_x509_certificate(cert)
        public = certificate.public_key()
        private = serialization.load_pem_private_key(key, None)
    except Exception as error:  # the library's errors for odd input are of many kinds
        raise BadPairError(f"no certificate with a key: {type(error).__name__}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise BadPairError("the key is not an elliptic curve's")
    if private.public_key() != public:
        raise BadPairError("the key is another certificate's")
    return Pair(certificate=certificate, key=private)


def read_certificates(text: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM bundle in their order, each once; none where it is anything else.

    One that cannot be read takes nothing from the others.
    """
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    found: dict[bytes, x509.Certificate] = {}
    for piece in text[:_MAX_PEM].split(begin)[1:]:
        try:
            one = x509.load_pem_x509_certificate(begin + piece.partition(end)[0] + end + b"\n")
            found.setdefault(fingerprint(one), one)
        except ValueError:
            continue
    return tuple(found.values())


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it says of itself that it is a CA."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


def issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Whether ``by`` signed it, whatever the dates say."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names and addresses it vouches for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return frozenset((*found.get_values_for_type(x509.DNSName), *addresses))


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate."""
    return certificate.fingerprint(hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """As a bundle."""
    return b"".join(one.public_bytes(_PEM) for one in certificates)


_Extensions = Sequence[tuple[x509.ExtensionType, bool]]
"""Each with whether it is critical."""


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    period: tuple[datetime, datetime],
    extensions: _Extensions,
) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=period[0] - BACKDATED,
        not_valid_after=period[1],
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(by, hashes.SHA256())


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
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
