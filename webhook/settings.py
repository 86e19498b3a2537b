"""What slimgate was told, read once from options and environment: one frozen value.

The only reader of the environment. ``wiring`` builds from it, and hands down the parts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from webhook.limits import MIB, Limits

STORE_TIMEOUT: Final = 0.5
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteSettings:
    """Facts are kept in a file."""

    file: Path
    size: int = 256 * MIB
    """Bytes that it may have; beside it are its log, and the last one that was damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeySettings:
    """Facts are kept by a server that replicas share."""

    host: str
    port: int
    key: bytes = field(repr=False)
    """By which entries are known for ours."""
    tls: bool = False
    ca_file: Path | None = None
    """PEM of the server's authority; None: the system's."""
    username: str = ""
    password: str = field(default="", repr=False)
    timeout: float = STORE_TIMEOUT
    """Seconds for a connection, and for each answer; beyond, it is left alone for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything ``wiring.build`` needs to know; the defaults are the command line's."""

    timeout: float = 600.0
    """Seconds: of a command in all; of the webhook, for what is read in the background."""
    ca_file: Path | None = None
    """PEM certificates to trust beside the system's."""
    plain_http: tuple[str, ...] = ()
    """Registries, ``host`` or ``host:port``, that are spoken to without TLS."""
    loopback_http: bool = True
    """Whether registries on loopback may be spoken to by http where they speak no TLS."""
    authfile: Path | None = None
    """A docker ``config.json``; None: where docker keeps it, by ``environ`` and ``home``."""
    hosts: Path | None = None
    """A folder like containerd's ``certs.d``: mirrors and certificates by registry."""
    credential_providers: Path | None = None
    """A kubelet's CredentialProviderConfig."""
    credential_provider_bin: Path | None = None
    """The folder with the programs that it names."""
    allow_loopback: bool = True
    """Whether loopback addresses are dialled; pods must not reach what listens beside slimgate."""
    allow_addresses: tuple[str, ...] = ()
    """Networks that are dialled though they would be denied: ``10.1.0.0/16``."""
    deny_addresses: tuple[str, ...] = ()
    """Networks that are never dialled: the cluster's own pods and services."""
    bases: tuple[Path, ...] = ()
    """Files of bases that are known besides the published ones."""
    opening_threads: int = 8
    """For manifests and configs, which mostly wait: of one registry."""
    reading_threads: int = 4
    """For layers, which mostly compute: of one registry, twice as many of all together."""
    waiters: int | None = None
    """Reviews that may wait for images at the same time; None: any number."""
    tag_seconds: float = 600.0
    """How long a tag is believed to lead where it led."""
    store: SQLiteSettings | ValkeySettings | None = None
    """Where facts are kept besides the process's memory."""
    quiet: bool = False
    """No progress and no notes on standard error."""
    verbose: bool = False
    """Each layer that is read on standard error."""
    limits: Limits = field(default_factory=Limits)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Proxies, and where credentials are; may hold secrets."""
    home: Path = Path("/")

    def variable(self, name: str) -> str:
        """A variable of the environment, lower case first as curl does; empty if not set."""
        return self.environ.get(name.lower()) or self.environ.get(name.upper(), "")


def environment() -> dict[str, str]:
    """The environment as it is now."""
    return dict(os.environ)


def home() -> Path:
    """The user's folder; ``/`` for a uid that ``/etc/passwd`` does not know, without HOME."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
