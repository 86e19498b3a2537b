"""The source for images of registries. Imported only where one is asked: it brings TLS and HTTP."""

from __future__ import annotations

import ipaddress

from webhook.errors import UsageError
from webhook.gather.source import ImageSource
from webhook.registry.addresses import AddressRules, Network
from webhook.registry.auth import Anonymous, Keychain
from webhook.registry.client import Registry
from webhook.registry.credentials import DockerConfig, find_config
from webhook.registry.proxies import Proxies
from webhook.registry.transport import HostSettings, Transport
from webhook.settings import Settings


def registries(settings: Settings) -> tuple[ImageSource, Transport]:
    """The client of all registries, and what is to be closed after it.

    Raises:
        UsageError: a setting cannot be used, or a file that was named is not there.
    """
    ca_file = str(settings.ca_file) if settings.ca_file else None
    transport = Transport(
        hosts={
            host: HostSettings(plain_http=True, ca_file=ca_file) for host in settings.plain_http
        },
        default=HostSettings(ca_file=ca_file),
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
    return Registry(transport, _keychain(settings), settings.limits), transport


def _keychain(settings: Settings) -> Keychain:
    named = str(settings.authfile) if settings.authfile else None
    path = find_config(named, settings.environ, settings.home)
    return Anonymous() if path is None else DockerConfig.read(path)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no network (like 10.1.0.0/16): {error}") from error
