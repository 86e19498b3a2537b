from __future__ import annotations

import ipaddress
import socket
import threading
import time

import pytest

from tests.registry.conftest import HERE, soon
from webhook.errors import Blocked, DeadlineExceeded, DnsError, Unreachable
from webhook.registry.addresses import AddressRules, dial, is_loopback, system_resolver

NEVER = [
    pytest.param("169.254.169.254", id="cloud metadata"),
    pytest.param("169.254.1.1", id="link-local"),
    pytest.param("fe80::1", id="link-local IPv6"),
    pytest.param("fd00:ec2::254", id="metadata IPv6"),
    pytest.param("100.100.100.200", id="Alibaba metadata"),
    pytest.param("168.63.129.16", id="Azure wire server"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("ff02::1", id="multicast IPv6"),
    pytest.param("0.0.0.0", id="unspecified"),
    pytest.param("0.1.2.3", id="this network"),
    pytest.param("::", id="unspecified IPv6"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("::ffff:169.254.169.254", id="metadata mapped into IPv6"),
    pytest.param("64:ff9b::a9fe:a9fe", id="metadata by NAT64"),
    pytest.param("2002:a9fe:a9fe::1", id="metadata by 6to4"),
]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_dialled(address):
    """Whatever is allowed by configuration."""
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    rules = AddressRules(allow_loopback=True, allow_private=True, allow=everything)

    assert rules.refusal(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("rules", "address", "dialled"),
    [
        pytest.param(AddressRules(), "127.0.0.1", False, id="loopback"),
        pytest.param(AddressRules(), "127.9.9.9", False, id="all of loopback"),
        pytest.param(AddressRules(), "::1", False, id="loopback IPv6"),
        pytest.param(AddressRules(), "::ffff:127.0.0.1", False, id="loopback mapped"),
        pytest.param(HERE, "127.0.0.1", True, id="loopback allowed"),
        pytest.param(AddressRules(), "10.1.2.3", True, id="private"),
        pytest.param(AddressRules(allow_private=False), "10.1.2.3", False, id="private denied"),
        pytest.param(AddressRules(allow_private=False), "fc00::1", False, id="ULA denied"),
        pytest.param(AddressRules(allow_private=False), "1.1.1.1", True, id="public"),
        pytest.param(
            AddressRules(allow=(ipaddress.ip_network("127.0.0.0/8"),)), "127.0.0.1", True,
            id="loopback by network",
        ),
        pytest.param(
            AddressRules(deny=(ipaddress.ip_network("10.96.0.0/12"),)), "10.96.0.1", False,
            id="the cluster's services",
        ),
        pytest.param(
            AddressRules(
                allow=(ipaddress.ip_network("10.0.0.0/8"),),
                deny=(ipaddress.ip_network("10.96.0.0/12"),),
            ),
            "10.96.0.1", False, id="deny before allow",
        ),
    ],
)  # fmt: skip
def test_rules(rules, address, dialled):
    assert (rules.refusal(ipaddress.ip_address(address)) is None) is dialled


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("[::1]", True),
     ("::1", True), ("127.1", True), ("0x7F.1", True), ("2130706433", True), ("127.0.0.1.", True),
     ("localhost.example", False), ("10.0.0.1", False), ("registry", False), ("127.example", False),
     ("127.0.0.0.1", False), ("1e100.example", False)],
)  # fmt: skip
def test_what_says_itself_that_it_is_here(host, here):
    assert is_loopback(host) is here


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_address_that_was_judged_is_the_one_dialled(port):
    """A name that resolves to something else the second time (rebinding) gains nothing."""
    asked = []

    def rebinding(host):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with dial("evil.test", port, rules=HERE, resolve=rebinding, deadline=soon()) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)
    assert asked == ["evil.test"]


def test_a_name_that_leads_to_metadata_is_blocked():
    """A check of the name alone would let it through."""
    with pytest.raises(Blocked, match=r"evil\.test is 169\.254\.169\.254"):
        dial("evil.test", 80, rules=HERE, resolve=lambda _: ["169.254.169.254"], deadline=soon())


def test_of_several_addresses_only_allowed_ones_are_dialled(port):
    both = ["169.254.169.254", "127.0.0.1"]
    connection = dial("two.test", port, rules=HERE, resolve=lambda _: both, deadline=soon())
    with connection:
        assert connection.getpeername()[0] == "127.0.0.1"


def test_the_next_address_is_tried_when_one_refuses(port):
    both = ["127.0.0.2", "127.0.0.1"]
    with dial("two.test", port, rules=HERE, resolve=lambda _: both, deadline=soon()) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"


def test_a_refused_connection_is_said_to_be_refused(port):
    with pytest.raises(Unreachable, match=r"127\.0\.0\.2:.* refuses connections"):
        dial("127.0.0.2", port, rules=HERE, resolve=system_resolver, deadline=soon())


def test_a_name_that_does_not_resolve():
    with pytest.raises(DnsError, match=r"the name nowhere\.invalid does not resolve"):
        dial("nowhere.invalid", 80, rules=HERE, resolve=system_resolver, deadline=soon(60))


def test_a_name_without_addresses():
    with pytest.raises(DnsError, match="does not resolve"):
        dial("empty.test", 80, rules=HERE, resolve=lambda _: [], deadline=soon())


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "017700000001"])
def test_odd_spellings_of_loopback(host):
    """Resolved first, judged after: no spelling is forgotten."""
    with pytest.raises(Blocked, match="loopback"):
        dial(host, 80, rules=AddressRules(), resolve=system_resolver, deadline=soon())


def test_a_resolver_that_hangs_is_left_at_the_deadline():
    """``getaddrinfo`` has no timeout of its own."""
    release = threading.Event()
    begun = time.monotonic()
    try:
        with pytest.raises(DeadlineExceeded, match="not resolved in time"):
            dial("slow.test", 80, rules=HERE, resolve=lambda _: release.wait(30) and [],
                 deadline=soon(0.2))  # fmt: skip
    finally:
        release.set()
    assert time.monotonic() - begun < 20
