from __future__ import annotations

import socket
import threading

import pytest

from tests.registry.conftest import soon
from tests.support.registry import Registry
from webhook.errors import Blocked, UsageError
from webhook.image.reference import Reference
from webhook.registry.addresses import AddressRules
from webhook.registry.proxies import Proxies
from webhook.registry.transport import HostSettings

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        pytest.param("", "registry.example", 443, False, id="none"),
        pytest.param("*", "registry.example", 443, True, id="all"),
        pytest.param("registry.example", "registry.example", 443, True, id="the name"),
        pytest.param("REGISTRY.example", "registry.EXAMPLE", 443, True, id="any case"),
        pytest.param("example", "registry.example", 443, True, id="a parent"),
        pytest.param(".example", "registry.example", 443, True, id="a parent with a dot"),
        pytest.param("*.example", "registry.example", 443, True, id="a parent with a star"),
        pytest.param(".registry.example", "registry.example", 443, False, id="only what is below"),
        pytest.param("ample", "registry.example", 443, False, id="not any end"),
        pytest.param("a.test, registry.example", "registry.example", 443, True, id="of a list"),
        pytest.param("registry.example:443", "registry.example", 443, True, id="with its port"),
        pytest.param("registry.example:5000", "registry.example", 443, False, id="another port"),
        pytest.param("10.0.0.0/8", "10.1.2.3", 443, True, id="a network"),
        pytest.param("10.0.0.0/8", "11.1.2.3", 443, False, id="not of the network"),
        pytest.param("10.0.0.0/8", "registry.example", 443, False, id="a network, a name"),
        pytest.param("10.0.0.0/99", "10.1.2.3", 443, False, id="no network"),
        pytest.param("10.1.2.3", "10.1.2.3", 443, True, id="an address"),
        pytest.param("fd00::1", "fd00::1", 443, True, id="an IPv6 address"),
        pytest.param("", "localhost", 443, True, id="localhost"),
        pytest.param("", "127.0.0.1", 5000, True, id="loopback"),
    ],
)
def test_no_proxy(no_proxy, host, port, direct):
    proxies = Proxies.parse(https=PROXY, no_proxy=no_proxy)

    assert (proxies.of("https", host, port) is None) is direct


def test_each_scheme_has_its_own():
    proxies = Proxies.parse(http=PROXY)

    assert proxies.of("https", "registry.example", 443) is None
    assert str(proxies.of("http", "registry.example", 80)) == PROXY


@pytest.mark.parametrize(
    "text", ["https://proxy.example", "socks5://proxy.example", "http://[", "http://"]
)
def test_what_cannot_be_used_is_said(text):
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        Proxies.parse(https=text)


class _Proxy:
    """CONNECT and forwarding to one place, whatever is asked for; keeps the heads it saw."""

    def __init__(self, target):
        self.target, self.heads = target, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:secret@127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        head = b""
        while b"\r\n\r\n" not in head:
            head += near.recv(4096)
        self.heads.append(head.decode())
        with near, socket.create_connection(self.target) as far:
            if head.startswith(b"CONNECT"):
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                far.sendall(head)
            back = threading.Thread(target=_pump, args=(far, near))
            back.start()
            _pump(near, far)
            back.join()


def _pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy():
    made = []

    def make(registry):
        host, _, port = registry.host.partition(":")
        made.append(_Proxy((host, int(port))))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def test_https_goes_through_a_tunnel(image, client, proxy, server_tls, ca_file):
    """The proxy resolves the name, and is itself dialled though it is on loopback."""
    with Registry({"team/app:1": image}, tls=server_tls) as registry:
        way = proxy(registry)
        source = client(
            default=HostSettings(ca_file=ca_file), addresses=AddressRules(),
            proxies=Proxies.parse(https=way.url),
        )  # fmt: skip
        document = source.resolve(Reference.parse("registry.test/team/app:1"), soon())

    assert document.digest == image.digest
    assert way.heads[0].startswith("CONNECT registry.test:443 ")
    assert "proxy-authorization: basic dxnlcjpzzwnyzxq=" in way.heads[0].lower()


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "0xa9.254.43518"])
def test_an_address_is_judged_though_a_proxy_would_dial_it(image, client, proxy, host):
    with Registry({"team/app:1": image}) as registry:
        way = proxy(registry)
        source = client(proxies=Proxies.parse(https=way.url))
        with pytest.raises(Blocked, match="metadata"):
            source.resolve(Reference.parse(f"{host}:443/team/app:1"), soon())
    assert way.heads == []


def test_http_is_forwarded(image, client, proxy):
    with Registry({"team/app:1": image}) as registry:
        way = proxy(registry)
        source = client(
            hosts={"registry.test": HostSettings(plain_http=True)},
            proxies=Proxies.parse(http=way.url),
        )
        document = source.resolve(Reference.parse("registry.test/team/app:1"), soon())

    assert document.digest == image.digest
    assert way.heads[0].startswith("GET http://registry.test/v2/team/app/manifests/1 ")
    assert "secret" not in way.heads[0]
