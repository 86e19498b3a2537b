"""The source for images of registries. Imported only where one is asked: it brings TLS and HTTP."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from webhook.errors import UsageError
from webhook.gather.credentials import Candidates, PodCredentials
from webhook.gather.source import AccountSource
from webhook.image.reference import Reference
from webhook.limits import MIB, Limits
from webhook.pod import Account
from webhook.registry.addresses import AddressRules, Network
from webhook.registry.client import Registry, Shared
from webhook.registry.credentials import DockerConfig, find_config
from webhook.registry.hosts import Hosts, read_hosts
from webhook.registry.keychains import Anonymous, InTurn, Keychain, Pods
from webhook.registry.providers import read_providers
from webhook.registry.proxies import Proxies
from webhook.registry.transport import HostSettings, Transport
from webhook.settings import Settings
from webhook.store.memory import Memory
from webhook.wiring.weights import of_account

_SECRET_SECONDS = 60.0
"""How long a pod's credentials are remembered: so long a Secret that was changed counts."""
_SECRET_BYTES = 16 * MIB
_OVERHEAD = 1_000


@dataclass(frozen=True, slots=True)
class Registries:
    """Clients of all registries: one that asks as nobody in particular, one for each account."""

    transport: Transport
    hosts: Hosts
    configured: Keychain
    """What the nodes have."""
    shared: Shared
    limits: Limits
    pods: PodCredentials | None = None
    """Who knows the pods' own credentials; None: nobody does."""

    def everybody(self) -> Registry:
        """The client of whoever runs slimgate."""
        return self._registry(self.configured, None)

    def of(self, account: Account) -> AccountSource:
        """The client of one account: its own credentials, then what nodes have."""
        if self.pods is None:
            return self._registry(self.configured, account)
        return self._registry(InTurn((Pods(account, self.pods), self.configured)), account)

    def _registry(self, keychain: Keychain, account: Account | None) -> Registry:
        return Registry(
            self.transport,
            keychain,
            self.limits,
            sites=self.hosts.sites,
            mirrors=self.configured,
            account=account,
            shared=self.shared,
        )


def registries(settings: Settings, pods: PodCredentials | None = None) -> Registries:
    """The clients of all registries; its ``transport`` is to be closed in the end.

    ``pods`` is asked for pods' credentials, where there is somebody to ask.

    Raises:
        UsageError: a setting cannot be used, or a file that was named is not there.
    """
    ca_file = str(settings.ca_file) if settings.ca_file else None
    hosts = Hosts() if settings.hosts is None else read_hosts(settings.hosts)
    default = HostSettings(ca_file=ca_file)
    by_host = {host: replace(found, ca_file=ca_file) for host, found in hosts.settings.items()}
    for host in settings.plain_http:
        by_host[host] = replace(by_host.get(host, default), plain_http=True)
    transport = Transport(
        hosts=by_host,
        default=default,
        addresses=AddressRules(
            allow_loopback=settings.allow_loopback,
            allow=tuple(map(_network, settings.allow_addresses)),
            deny=tuple(map(_network, settings.deny_addresses)),
        ),
        proxies=Proxies.parse(
            http=settings.variable("http_proxy"),
            https=settings.variable("https_proxy"),
            no_proxy=settings.variable("no_proxy"),
        ),
        loopback_http=settings.loopback_http,
    )
    return Registries(
        transport=transport,
        hosts=hosts,
        configured=_configured(settings),
        shared=Shared(),
        limits=settings.limits,
        pods=None if pods is None else remembering(pods, time.monotonic),
    )


def remembering(ask: PodCredentials, clock: Callable[[], float]) -> PodCredentials:
    """The same, asked once a minute for each account and repository.

    What could not be had is asked for again: the Secret may be made any moment.
    """
    known: Memory[tuple[Account, str], Candidates] = Memory(
        capacity=_SECRET_BYTES,
        clock=clock,
        seconds=_SECRET_SECONDS,
        weigh=_weight,
        weigh_key=lambda key: of_account(key[0]),
    )

    def asked(account: Account, reference: Reference) -> Candidates:
        key = (account, reference.name)
        found = known.get(key)
        if found is None:
            found = ask(account, reference)
            if not found.problems:
                known.put(key, found)
        return found

    return asked


def _weight(found: Candidates) -> int:
    held = [candidate.credentials for candidate in found.candidates]
    texts = [(each.username, each.password, each.identity_token) for each in held]
    return _OVERHEAD * (1 + len(held)) + sum(len(text) for three in texts for text in three)


def _configured(settings: Settings) -> Keychain:
    """What nodes have: a pull secret, then what credential providers say."""
    named = str(settings.authfile) if settings.authfile else None
    path = find_config(named, settings.environ, settings.home)
    written: Keychain = Anonymous() if path is None else DockerConfig.read(path)
    if settings.credential_providers is None:
        return written
    if settings.credential_provider_bin is None:
        raise UsageError("--credential-providers needs --credential-provider-bin, their folder")
    providers = read_providers(
        settings.credential_providers, settings.credential_provider_bin, settings.environ
    )
    return InTurn((written, *providers))


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no network (like 10.1.0.0/16): {error}") from error
