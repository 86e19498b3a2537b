"""Which addresses are dialled, and dialling them.

Whoever can create a pod chooses the hosts that slimgate connects to, and every registry
chooses where its redirects and token realms lead. So the address is judged where it is used:
after the name was resolved, and the very address that was judged is the one dialled; a name
that resolves to something else a moment later gains nothing.

Knows names, addresses and sockets. Does not know HTTP, TLS or registries.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from webhook.errors import Blocked, DeadlineExceeded, DnsError, ImageError, Unreachable
from webhook.limits import Deadline

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
AnySocket = TypeVar("AnySocket", bound=socket.socket)
Resolver = Callable[[str], Iterable[str]]
"""From a host name to addresses as text; raises ``OSError`` where there are none."""

IDLE_SECONDS = 30.0
"""How long one read, write or handshake may hang where the deadline allows more."""
_CONNECT_SECONDS = 10.0

_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
        "100.100.100.200/32",  # Alibaba Cloud's metadata service
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle Cloud's metadata service
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fd00:ec2::254/128",  # AWS's metadata service
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_OLD_ADDRESS = re.compile(r"[0-9][0-9a-fx.]*", re.IGNORECASE)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What may be dialled; link-local, metadata, multicast and unspecified never are.

    Private ranges are open by default, since that is where companies keep their registries:
    a cluster lists its own pod and service ranges in ``deny``.
    """

    allow_loopback: bool = False
    allow_private: bool = True
    allow: tuple[Network, ...] = ()
    """Exceptions to ``allow_loopback`` and ``allow_private``."""
    deny: tuple[Network, ...] = ()
    """Goes before ``allow``."""

    def refusal(self, address: Address) -> str | None:
        """Why ``address`` is not dialled; None: it is."""
        address = _embedded(address)
        if _within(address, _NEVER):
            return "a link-local, metadata, multicast or reserved address"
        if _within(address, self.deny):
            return "in a range that is denied by configuration"
        if _within(address, self.allow):
            return None
        if address.is_loopback:
            return None if self.allow_loopback else "a loopback address"
        return None if self.allow_private or address.is_global else "a private address"


ANY_ADDRESS = None
"""In place of rules: a configured proxy is dialled wherever it is."""


def system_resolver(host: str) -> list[str]:
    """What the system's resolver says of ``host``."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def literal(host: str) -> Address | None:
    """The address that ``host`` is written as, None for a name; brackets are understood.

    ``127.1``, ``0x7f000001`` and ``2130706433`` are addresses to every resolver, and so to the
    one behind a proxy.
    """
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    if _OLD_ADDRESS.fullmatch(host):
        with contextlib.suppress(OSError):
            return ipaddress.IPv4Address(socket.inet_aton(host.removesuffix(".")))
    return None


def is_loopback(host: str) -> bool:
    """Whether ``host`` says itself that it is this machine (no name is resolved)."""
    address = literal(host)
    return address.is_loopback if address else host.lower() == "localhost"


def dial(
    host: str,
    port: int,
    *,
    rules: AddressRules | None,
    resolve: Resolver,
    deadline: Deadline,
    make: type[AnySocket] = socket.socket,  # type: ignore[assignment] # mypy: the default
) -> AnySocket:
    """Connect to the first of the host's addresses that the rules allow and that answers.

    ``make`` is the class of the socket. Raises ``DnsError``, ``Blocked``, ``Unreachable`` or
    ``DeadlineExceeded``.
    """
    failure: ImageError | None = None
    for address in _allowed(host, rules, resolve, deadline):
        try:
            return _connected(address, port, make, deadline)
        except OSError as error:
            failure = _unreachable(f"{host}:{port}", error, deadline)
            failure.__cause__ = error
    assert failure
    raise failure


def _allowed(
    host: str, rules: AddressRules | None, resolve: Resolver, deadline: Deadline
) -> list[Address]:
    """The host's addresses that are dialled: at least one."""
    addresses = _resolved(host, resolve, deadline)
    refusals = {address: rules.refusal(address) if rules else None for address in addresses}
    allowed = [address for address, refusal in refusals.items() if refusal is None]
    if allowed:
        return allowed
    address, refusal = next(iter(refusals.items()))
    raise Blocked(
        f"{host} is {address}, {refusal}, which slimgate does not connect to; "
        "if a registry really is there, allow its address"
    )


def time_for_one_wait(deadline: Deadline) -> float:
    """Seconds that one operation on a socket may take.

    Raises:
        TimeoutError: the deadline is over.
    """
    left = deadline.left()
    if left <= 0.0:
        raise TimeoutError("the deadline is over")
    return min(left, IDLE_SECONDS)


def _connected(address: Address, port: int, make: type[AnySocket], deadline: Deadline) -> AnySocket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    connection = make(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(min(time_for_one_wait(deadline), _CONNECT_SECONDS))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect((str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


def _unreachable(host: str, error: OSError, deadline: Deadline) -> ImageError:
    if deadline.over():
        return DeadlineExceeded(f"no connection to {host} in the time there was")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{host} does not answer: is it up, does a firewall drop us?")
    what = "refuses connections" if error.errno == errno.ECONNREFUSED else f"fails: {error}"
    return Unreachable(f"{host} {what}")


def _resolved(host: str, resolve: Resolver, deadline: Deadline) -> list[Address]:
    """The host's addresses, each once, in the resolver's order."""
    written = literal(host)
    if written:
        return [written]
    try:
        texts = _within_time(lambda: list(resolve(host)), host, deadline)
        if not texts:
            raise OSError("no addresses")  # noqa: TRY301 - as the resolver would have said
        return list(dict.fromkeys(ipaddress.ip_address(text) for text in texts))
    except (OSError, UnicodeError) as error:
        raise DnsError(f"the name {host} does not resolve: is it spelt right?") from error


def _within_time(work: Callable[[], list[str]], host: str, deadline: Deadline) -> list[str]:
    """``getaddrinfo`` knows no timeout: let it run beside us, and leave it when time is up."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except Exception as error:  # noqa: BLE001 - raised again where the caller is
            answers.put(error)

    threading.Thread(target=run, daemon=True, name="slimgate-dns").start()
    try:
        answer = answers.get(timeout=time_for_one_wait(deadline))
    except (queue.Empty, TimeoutError) as error:
        if deadline.over():
            raise DeadlineExceeded(f"the name {host} was not resolved in time") from error
        raise DnsError(f"the resolver does not answer for {host}") from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it is one of those."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
