"""An authority of registries, and servers of both modes that trust it."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tests.support.served import both


@pytest.fixture(scope="package")
def authority():
    return trustme.CA()


@pytest.fixture(scope="package")
def tls(authority):
    """For a registry on 127.0.0.1, which may also be called registry.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "registry.test").configure_cert(context)
    return context


@pytest.fixture(scope="package")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="package")
def servers(ca_file, tmp_path_factory):
    """A server of each mode, by the mode's name."""
    with both(tmp_path_factory.mktemp("both"), "--ca-file", ca_file) as servers:
        yield servers
