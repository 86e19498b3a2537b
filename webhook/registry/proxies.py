"""Which proxy a request takes: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, handed in as values.

The rules are those of Go's ``golang.org/x/net/http/httpproxy``, which every other tool
around a cluster follows: NO_PROXY is a comma list of names (``example.com`` and all below it,
``.example.com`` only what is below), addresses, networks, each with an optional port, or ``*``.
This machine itself is never reached through a proxy.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from webhook.errors import UsageError
from webhook.registry.addresses import is_loopback, literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Proxy URLs by the scheme of the request; each ``http://[user:password@]host:port``."""

    http: Url | None = None
    https: Url | None = None
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def parse(cls, *, http: str = "", https: str = "", no_proxy: str = "") -> Proxies:
        """From the values of the environment variables.

        Raises:
            UsageError: a proxy's URL cannot be used.
        """
        exceptions = (part.strip().lower() for part in no_proxy.split(","))
        return cls(
            http=_proxy(http, "HTTP_PROXY"),
            https=_proxy(https, "HTTPS_PROXY"),
            no_proxy=tuple(part for part in exceptions if part),
        )

    def of(self, scheme: str, host: str, port: int) -> Url | None:
        """The proxy to take to ``host``; None: go there directly."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or is_loopback(host):
            return None
        return None if any(_excepts(one, host.lower(), port) for one in self.no_proxy) else proxy


def _proxy(text: str, variable: str) -> Url | None:
    if not text:
        return None
    try:
        url = parse_url(text if "://" in text else f"http://{text}")
    except LocationParseError as error:
        raise UsageError(f"{variable} is no URL") from error
    if url.scheme != "http" or not url.host:
        raise UsageError(f"{variable} must be like http://proxy.example:3128")
    return url


def _excepts(pattern: str, host: str, port: int) -> bool:
    if pattern == "*":
        return True
    if "/" in pattern:
        return _in_network(pattern, host)
    name, colon, its_port = pattern.rpartition(":")
    if colon and its_port.isdecimal() and literal(pattern) is None:
        if int(its_port) != port:
            return False
        pattern = name
    if literal(host) or literal(pattern):
        return literal(host) == literal(pattern)
    pattern = pattern.removeprefix("*")
    return host.endswith(pattern if pattern.startswith(".") else f".{pattern}") or host == pattern


def _in_network(pattern: str, host: str) -> bool:
    address = literal(host)
    try:
        return address is not None and address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
