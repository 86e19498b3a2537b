"""Requests: over which connection, with which TLS, through which redirects, how often again.

    transport.send(Request(url=..., what="registry.example/team/app:1"), deadline) -> Response

Each layer adds one concern, as httpx does it: ``send`` tries again, ``_follow`` redirects,
``_exchange`` sends over a connection from the pool, ``webhook.registry.connection`` keeps the
deadline, ``webhook.registry.addresses`` says where may be dialled.

Knows hosts. Does not know registries: an answer of any status is an answer.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from webhook.errors import Blocked, ImageError, RateLimited, ServerError, UsageError
from webhook.limits import Deadline
from webhook.registry import failures
from webhook.registry.addresses import (
    AddressRules,
    Resolver,
    is_loopback,
    literal,
    system_resolver,
)
from webhook.registry.breaker import Breaker
from webhook.registry.connection import (
    PORTS,
    Connection,
    Dialler,
    Endpoint,
    Pool,
    TlsSocket,
    proxy_headers,
)
from webhook.registry.messages import Request, Response
from webhook.registry.patience import Asker, Patience
from webhook.registry.proxies import Proxies

_PORT = re.compile(r"(?<=[^:]):[0-9]+$")
_REDIRECTIONS = frozenset({301, 302, 303, 307, 308})
_FOR_ANYBODY = frozenset({"accept"})
"""Headers that go with a redirect to another host."""
_HOST_CHARACTERS = 255
_TOO_MANY = 429
_PAUSES = (0.2, 0.4)  # seconds between attempts, and up to half as much again


Tls = tuple[tuple[str, ...], tuple[tuple[str, str | None], ...]]
"""Files with authorities, and the certificates to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How one host (``registry.example``, ``localhost:5000``) is spoken to."""

    plain_http: bool = False
    ca_file: str | None = None
    """PEM certificates that are trusted besides the system's."""
    more_ca_files: tuple[str, ...] = ()
    """Further such files."""
    client: tuple[tuple[str, str | None], ...] = ()
    """Certificates to show, each with the file of its key; None: the same file holds both."""

    @property
    def tls(self) -> Tls:
        """What a TLS context is made from."""
        files = (self.ca_file, *self.more_ca_files) if self.ca_file else self.more_ca_files
        return files, self.client


class Transport:
    """Sends requests; safe for threads. Everything it needs of the world is handed in."""

    def __init__(
        self,
        *,
        hosts: Mapping[str, HostSettings] | None = None,
        default: HostSettings = HostSettings(),
        addresses: AddressRules = AddressRules(),  # noqa: B008 - frozen
        proxies: Proxies = Proxies(),  # noqa: B008 - frozen
        loopback_http: bool = False,
        resolve: Resolver = system_resolver,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``hosts`` by name (and port, where it is not the usual one), ``default`` for others.

        ``loopback_http`` lets plain http through to hosts that say themselves that they are
        this machine. Raises ``UsageError`` for a file that holds no certificates.
        """
        self._hosts = {host.lower(): settings for host, settings in (hosts or {}).items()}
        self._default = default
        self._addresses, self._proxies = addresses, proxies
        self._loopback_http, self._sleep = loopback_http, sleep
        self._patience = Patience(clock)
        self._pool = Pool(Dialler(addresses, resolve, Breaker(clock)))
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        for settings in (default, *self._hosts.values()):
            if settings.tls != HostSettings().tls and settings.tls not in self._contexts:
                self._contexts[settings.tls] = _context(settings.tls)

    def settings(self, host: str) -> HostSettings:
        """How ``host`` (``registry.example``, ``localhost:5000``) is spoken to."""
        return self._hosts.get(host.lower(), self._default)

    def falls_back(self, host: str) -> bool:
        """Whether plain http to ``host`` is let through without being configured."""
        return self._loopback_http and is_loopback(_PORT.sub("", host))

    def close(self) -> None:
        """Close the connections that wait in the pool."""
        self._pool.close()

    def send(self, request: Request, deadline: Deadline) -> Response:
        """Send, and again while what went wrong is temporary and there is time.

        Raises:
            RateLimited: it asked to be left alone for longer than there is time.
            ImageError: no answer was had. An answer of any status is returned.
        """
        asker = self._endpoint(request.url, request.what).name, request.whose
        self._let_rest(asker, request.what, deadline)
        for pause in self._pauses(request):
            try:
                response = self._follow(request, deadline)
            except ImageError as error:
                if not failures.is_temporary(error) or deadline.left() <= pause:
                    raise
                wait = pause
            else:
                if response.status == _TOO_MANY and not response.elsewhere:
                    self._patience.asked(asker, failures.retry_after(response.headers))
                wait = max(pause, failures.wait_asked_for(response.status, response.headers))
                if deadline.left() <= wait:
                    return response
                response.close()
            self._sleep(wait)
        raise AssertionError("the last pause is longer than any deadline")

    def _let_rest(self, asker: Asker, what: str, deadline: Deadline) -> None:
        left = self._patience.left(asker)
        if left and deadline.left() <= left:
            raise RateLimited(
                f"{what}: {asker[0]} asked to be left alone for {left:.0f} s more", retry_after=left
            )
        if left:
            self._sleep(left)

    def _pauses(self, request: Request) -> Iterator[float]:
        """How long to wait after each attempt; infinity: it was the last."""
        if request.method == "GET":
            for pause in _PAUSES:
                # No two clients that failed together come back together.
                yield pause * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        yield float("inf")

    def _follow(self, request: Request, deadline: Deadline) -> Response:
        """One request, wherever it is redirected to."""
        asked = self._endpoint(request.url, request.what)
        for _ in range(request.redirects + 1):
            response = self._exchange(request, deadline)
            response.elsewhere = response.endpoint != asked
            target = response.headers.get("Location")
            if response.status not in _REDIRECTIONS or target is None:
                return response
            response.close()
            request = self._redirected(request, target)
        raise ServerError(f"{request.what}: redirected more than {request.redirects} times")

    def _redirected(self, request: Request, target: str) -> Request:
        try:
            url = urljoin(request.url, target)
        except ValueError as error:
            raise ServerError(f"{request.what}: redirected to what is no URL") from error
        if self._endpoint(url, request.what) == self._endpoint(request.url, request.what):
            return replace(request, url=url)
        # What was meant for the one host, credentials above all, is for no other.
        kept = {k: v for k, v in request.headers.items() if k.lower() in _FOR_ANYBODY}
        return replace(request, url=url, headers=kept)

    def _exchange(self, request: Request, deadline: Deadline) -> Response:
        """One request and its answer, on a waiting connection if there is one."""
        endpoint = self._endpoint(request.url, request.what)
        waiting = self._pool.idle(endpoint)
        if waiting:
            try:
                return self._over(waiting, endpoint, request, deadline)
            except ImageError as error:
                # Keep-alive ends when the server likes; that says nothing of the request.
                if not failures.is_temporary(error):
                    raise
        return self._over(
            self._pool.fresh(endpoint, self._tls(endpoint)), endpoint, request, deadline
        )

    def _over(
        self, connection: Connection, endpoint: Endpoint, request: Request, deadline: Deadline
    ) -> Response:
        def done(reusable: bool) -> None:  # noqa: FBT001 - a callback
            if reusable and connection.sock is not None:
                self._pool.keep(endpoint, connection)
            else:
                raw.close()
                connection.close()

        what = request.what
        if not what.startswith(f"{endpoint.name}/"):
            what += f": {endpoint.name}"
        try:
            connection.until(deadline)
            connection.request(
                request.method, _target(request.url, endpoint), body=request.body,
                headers=_headers(request, endpoint), preload_content=False, decode_content=False,
            )  # fmt: skip
            raw = connection.getresponse()
        except failures.CAUGHT as error:
            connection.close()
            raise failures.of_exception(error, what, deadline) from error
        except ImageError as error:  # of dialling, which knows no repositories
            connection.close()
            raise type(error)(f"{request.what}: {error.detail}") from error.__cause__
        except BaseException:
            connection.close()
            raise
        return Response(raw, endpoint, request.what, deadline, done)

    def _endpoint(self, text: str, what: str) -> Endpoint:
        """Where a URL leads; it may come from a registry, so all of it is doubted."""
        url = _parsed(text, what)
        assert url.scheme
        assert url.host
        port = url.port or PORTS[url.scheme]
        endpoint = Endpoint(url.scheme, url.host.strip("[]"), port)
        self._check(endpoint, what)
        return replace(endpoint, proxy=self._proxies.of(url.scheme, endpoint.host, port))

    def _check(self, endpoint: Endpoint, what: str) -> None:
        if endpoint.scheme == "http" and not (
            self._settings(endpoint).plain_http or self.falls_back(endpoint.name)
        ):
            raise Blocked(
                f"{what}: it would be plain http to {endpoint.name}; "
                "if that is meant, say so with --plain-http"
            )
        # A name behind a proxy is resolved there; an address can be judged all the same.
        address = literal(endpoint.host)
        refusal = self._addresses.refusal(address) if address else None
        if refusal:
            raise Blocked(f"{what}: {endpoint.host} is {refusal}: slimgate does not connect to it")

    def _settings(self, endpoint: Endpoint) -> HostSettings:
        """Of a host that may be configured with its usual port, or without."""
        full = f"{endpoint.host}:{endpoint.port}"
        return self._hosts.get(full) or self.settings(endpoint.name)

    def _tls(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        if endpoint.scheme != "https":
            return None
        tls = self._settings(endpoint).tls
        with self._lock:
            if tls not in self._contexts:
                self._contexts[tls] = _context(tls)
            return self._contexts[tls]


def _parsed(text: str, what: str) -> Url:
    try:
        url = parse_url(text)
    except LocationParseError as error:
        raise ServerError(f"{what}: led to what is no URL") from error
    if url.host and len(url.host) > _HOST_CHARACTERS:
        raise ServerError(f"{what}: led to a host whose name is too long to be one")
    if url.scheme not in PORTS or not url.host or url.auth:
        raise Blocked(f"{what}: led to a URL that slimgate does not follow ({url.scheme})")
    return url


def _target(text: str, endpoint: Endpoint) -> str:
    """The request target: the path, or the whole URL for a proxy that forwards."""
    url = parse_url(text)
    if endpoint.proxy and endpoint.scheme == "http":
        return url._replace(fragment=None).url
    return url.request_uri


def _headers(request: Request, endpoint: Endpoint) -> Mapping[str, str]:
    # Layers are stored compressed; a second encoding around them would only hide their size.
    headers = {"User-Agent": "slimgate", "Accept-Encoding": "identity", **request.headers}
    if endpoint.proxy and endpoint.scheme == "http":
        headers |= proxy_headers(endpoint.proxy)
    return headers


def _context(tls: Tls) -> ssl.SSLContext:
    authorities, client = tls
    context = ssl.create_default_context()
    context.sslsocket_class = TlsSocket
    for file in authorities:
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{file} holds no certificates in PEM form") from error
    for certificate, key in client:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{certificate} holds no certificate with its key") from error
    return context
