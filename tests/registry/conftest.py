"""What the tests of fetching share: an image, a certificate authority, clients that may dial us."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.support import forge
from webhook.gather.credentials import Candidate, Credentials
from webhook.image.manifest import Descriptor, Manifest, parse_manifest
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.registry.addresses import AddressRules
from webhook.registry.client import Registry
from webhook.registry.keychains import CONFIGURED, Keychain
from webhook.registry.transport import Transport

HERE = AddressRules(allow_loopback=True)


@dataclass
class Account:
    """A keychain that holds one account for every registry."""

    held: Credentials | None = None

    def candidates(self, reference: Reference) -> Iterator[Candidate]:
        if self.held is not None:
            yield Candidate(source=CONFIGURED, credentials=self.held)


def soon(seconds: float = 10.0) -> Deadline:
    """A deadline on the real clock."""
    return Deadline.after(seconds, time.monotonic)


def layer_of(image: forge.Image) -> Descriptor:
    """The first layer's descriptor."""
    manifest = parse_manifest(image.body, image.media_type, Limits())
    assert isinstance(manifest, Manifest)
    return manifest.layers[0]


@pytest.fixture(scope="session")
def image() -> forge.Image:
    """One layer that takes some reading, and does not compress."""
    noise = bytes((i * i * 31 + (i >> 7)) % 251 for i in range(300_000))
    return forge.image([[forge.file("noise", noise)]], compression="none")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """For a server that is called 127.0.0.1, localhost or registry.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", "registry.test").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def transport() -> Iterator[Callable[..., Transport]]:
    """Make transports that may dial loopback and never pause; they are closed in the end."""
    made: list[Transport] = []

    def make(**settings: object) -> Transport:
        defaults = {"addresses": HERE, "loopback_http": True, "sleep": lambda _: None}
        made.append(Transport(**{**defaults, **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def client(transport: Callable[..., Transport]) -> Callable[..., Registry]:
    """Make a client, with an account if one is given."""

    def make(
        credentials: Credentials | None = None,
        *,
        keychain: Keychain | None = None,
        **settings: object,
    ) -> Registry:
        return Registry(transport(**settings), keychain or Account(credentials))

    return make
