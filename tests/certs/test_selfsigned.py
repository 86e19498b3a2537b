"""The certificate for a first try: what it vouches for, for how long, and who can read its key."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from webhook.certs.selfsigned import self_signed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path):
    return self_signed(tmp_path, hosts=["slimgate.example", "10.0.0.7", "localhost"], now=NOW)


def _certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def _verify(pair, host, at=NOW):
    try:
        name = x509.IPAddress(ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    store = Store([_certificate(pair.ca)])
    policy = PolicyBuilder().store(store).time(at)
    return policy.build_server_verifier(name).verify(_certificate(pair.cert), [])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "slimgate.example", "10.0.0.7"])
def test_vouches_for_this_machine_and_the_hosts_given(pair, host):
    assert len(_verify(pair, host)) == 2


@pytest.mark.parametrize(
    ("host", "at"),
    [
        pytest.param("other.example", NOW, id="another host"),
        pytest.param("10.0.0.8", NOW, id="another address"),
        pytest.param("localhost", NOW - timedelta(minutes=61), id="too early"),
        pytest.param("localhost", NOW + timedelta(days=366), id="too late"),
    ],
)
def test_vouches_for_nothing_else(pair, host, at):
    with pytest.raises(VerificationError):
        _verify(pair, host, at)


def test_a_client_whose_clock_is_behind_takes_it(pair):
    assert _verify(pair, "localhost", NOW - timedelta(minutes=59))


def test_the_key_is_its_own_and_private(pair):
    key = load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == _certificate(pair.cert).public_key()
    assert _certificate(pair.ca).public_key() != key.public_key()
    assert pair.key.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.cert, pair.key)


def test_a_key_is_never_written_over(pair, tmp_path):
    with pytest.raises(FileExistsError):
        self_signed(tmp_path, hosts=[], now=NOW)


def test_the_fingerprint_is_the_leafs(pair):
    leaf = _certificate(pair.cert)
    assert bytes.fromhex(pair.fingerprint.replace(":", "")) == leaf.fingerprint(hashes.SHA256())
    assert pair.fingerprint == pair.fingerprint.upper()
