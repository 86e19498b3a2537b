from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.registry.conftest import HERE, soon
from tests.support import registry as faulty
from tests.support.registry import Fault, Registry
from webhook.errors import (
    Blocked,
    DeadlineExceeded,
    DnsError,
    ImageError,
    LimitExceeded,
    RateLimited,
    ServerError,
    TlsError,
    Unreachable,
    UsageError,
)
from webhook.limits import Deadline
from webhook.registry.addresses import AddressRules
from webhook.registry.failures import NotTlsError
from webhook.registry.messages import Request
from webhook.registry.patience import Patience
from webhook.registry.transport import HostSettings, Transport

BASE = "/v2/"
NOWHERE = Transport(resolve=lambda _: ["169.254.0.1"])


def ask(registry, path=BASE, **fields):
    return Request(url=registry.url + path, what=f"{registry.host}/app:1", **fields)


def get(transport, request, deadline=None, limit=1 << 20):
    with transport.send(request, deadline or soon()) as response:
        return response.status, response.read(limit)


def test_connections_are_kept(transport):
    """Ten requests, one connection: seen from the server's side."""
    with Registry() as registry:
        here = transport()
        for _ in range(10):
            assert get(here, ask(registry)) == (200, b"{}")
        assert len(registry._server.open) == 1


def test_tls_connections_are_kept(transport, server_tls, ca_file):
    with Registry(tls=server_tls) as registry:
        here = transport(default=HostSettings(ca_file=ca_file))
        for _ in range(10):
            assert get(here, ask(registry)) == (200, b"{}")
        assert len(registry._server.open) == 1


def test_a_body_that_was_not_read_ends_its_connection(transport):
    with Registry() as registry:
        here = transport()
        here.send(ask(registry), soon()).close()
        assert here._pool.idle(here._endpoint(registry.url, "")) is None


def test_the_pool_is_bounded_over_all_hosts(transport):
    """Whoever names many hosts does not fill our table of files."""
    with Registry() as registry:
        port = registry.host.partition(":")[2]
        here = transport(default=HostSettings(plain_http=True), resolve=lambda _: ["127.0.0.1"])
        for number in range(40):
            request = Request(url=f"http://host{number}.test:{port}/v2/", what="app:1")
            assert get(here, request)[0] == 200
        assert len(here._pool._idle) == 32


def test_a_waiting_connection_that_died_is_replaced(transport):
    """The server may end keep-alive at any moment; nobody is told."""
    with Registry() as registry:
        here = transport()
        get(here, ask(registry))
        for connection in list(registry._server.open):
            connection.shutdown(socket.SHUT_RDWR)
        assert get(here, ask(registry)) == (200, b"{}")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faulty.stall(), id="no answer"),
        pytest.param(faulty.drip(every=0.3, headers=True), id="a head that drips"),
        pytest.param(faulty.drip(every=0.3), id="a body that drips"),
    ],
)
def test_the_deadline_is_total(transport, fault):
    """Every byte in time, and still cut."""
    with Registry(faults={"/long": fault}) as registry:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="not finished in time"):
            get(transport(), ask(registry, "/long"), soon(0.5))
        assert time.monotonic() - begun < 10  # all of either takes 20 s


def test_a_tls_body_that_drips_is_cut(transport, server_tls, ca_file):
    with Registry(tls=server_tls, faults={"/long": faulty.drip(every=0.1)}) as registry:
        here = transport(default=HostSettings(ca_file=ca_file))
        with pytest.raises(DeadlineExceeded):
            get(here, ask(registry, "/long"), soon(0.5))


def test_a_handshake_that_stalls_is_cut(transport):
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = Request(url=f"https://127.0.0.1:{server.getsockname()[1]}/v2/", what="app:1")
        with pytest.raises(DeadlineExceeded):
            get(transport(), request, soon(0.3))


def test_a_deadline_that_is_over_sends_nothing(transport):
    with Registry() as registry:
        with pytest.raises(DeadlineExceeded):
            get(transport(), ask(registry), Deadline.after(-1, time.monotonic))
        assert registry.requests == []


def test_no_deadline_is_no_hurry(transport):
    with Registry() as registry:
        assert get(transport(), ask(registry), Deadline.never()) == (200, b"{}")


@pytest.mark.parametrize(
    "fault", [faulty.endless(), faulty.body(b"x" * 2000)], ids=["chunked", "known"]
)
def test_a_body_over_the_limit_is_not_read_on(transport, fault):
    with Registry(faults={BASE: fault}) as registry, pytest.raises(LimitExceeded):
        get(transport(), ask(registry), limit=1000)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(faulty.reset(after=1), "broke", id="in the body"),
        pytest.param(faulty.wrong_length(5), "broke", id="shorter than announced"),
        pytest.param(faulty.reset(after=-1), "broke", id="before the answer"),
    ],
)
def test_a_connection_that_breaks(transport, fault, words):
    with Registry(faults={BASE: fault}) as registry, pytest.raises(Unreachable, match=words):
        get(transport(), ask(registry))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 100,
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        # Read as http.client would, it is all that ever comes, in memory.
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + b"x" * 9_000,
    ],
    ids=["ssh", "zeros", "status", "many headers", "a long header", "chunks", "less than none"],
)
def test_what_is_no_http_is_a_server_error(transport, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        request = Request(url=f"http://127.0.0.1:{server.getsockname()[1]}/", what="app:1")
        with pytest.raises(ServerError, match=r"app:1: .*not one a registry should give"):
            get(transport(), request)


# --- again, while it is temporary


@pytest.mark.parametrize(
    "fault",
    [faulty.status(503, times=2), faulty.status(500, times=2), faulty.reset(after=-1, times=2),
     faulty.status(429, times=2, Retry_After="0")],
    ids=["503", "500", "reset", "429"],
)  # fmt: skip
def test_what_is_temporary_is_tried_three_times(transport, fault):
    pauses = []
    with Registry(faults={BASE: fault}) as registry:
        assert get(transport(sleep=pauses.append), ask(registry)) == (200, b"{}")
    assert [0.2 <= pauses[0] <= 0.3, 0.4 <= pauses[1] <= 0.6] == [True, True]


def test_the_third_failure_is_the_answer(transport):
    with Registry(faults={BASE: faulty.status(503)}) as registry:
        assert get(transport(), ask(registry))[0] == 503
        assert len(registry.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_what_is_final_is_not_tried_again(transport, code):
    with Registry(faults={BASE: faulty.status(code)}) as registry:
        assert get(transport(), ask(registry))[0] == code
        assert len(registry.requests) == 1


def test_a_post_is_not_sent_twice(transport):
    with Registry(faults={BASE: faulty.status(503)}) as registry:
        assert get(transport(), ask(registry, method="POST", body=b"x"))[0] == 503
        assert len(registry.requests) == 1


def test_retry_after_is_honoured_where_it_fits(transport):
    pauses = []
    with Registry(faults={BASE: faulty.status(429, times=1, Retry_After="3")}) as registry:
        assert get(transport(sleep=pauses.append), ask(registry))[0] == 200
    assert len(pauses) == 1
    assert pauses[0] == 3.0


def test_who_says_429_and_no_more_is_left_alone(transport):
    with Registry(faults={BASE: faulty.status(429)}) as registry:
        assert get(transport(), ask(registry))[0] == 429
        assert len(registry.requests) == 1


def test_retry_after_that_does_not_fit_is_the_answer_at_once(transport):
    pauses = []
    with Registry(faults={BASE: faulty.status(429, Retry_After="60")}) as registry:
        assert get(transport(sleep=pauses.append), ask(registry), soon(30))[0] == 429
        assert len(registry.requests) == 1
    assert pauses == []


def test_whoever_asks_as_the_same_account_leaves_it_alone_too(transport):
    """Waits where that fits, else is told; others, and other registries, are asked."""
    pauses = []
    here = transport(sleep=pauses.append, clock=lambda: 0.0)
    with Registry(faults={BASE: faulty.status(429, Retry_After="40")}) as registry:
        assert get(here, ask(registry), soon(30))[0] == 429
        with pytest.raises(RateLimited, match="asked to be left alone for 40 s more"):
            get(here, ask(registry), soon(30))
        assert len(registry.requests) == 1
        assert get(here, ask(registry, whose="Secret team/regcred"), soon(30))[0] == 429
        registry.faults = {}
        assert get(here, ask(registry), soon(100))[0] == 200
        assert pauses == [40]
        with Registry() as other:
            assert get(here, ask(other), soon(30))[0] == 200


def test_whoever_wants_to_be_left_alone_for_ever_is_asked_again_in_two_minutes():
    now = [0.0]
    patience = Patience(lambda: now[0])
    patience.asked(("registry.test", ""), 999_999)
    assert patience.left(("registry.test", "")) == 120
    now[0] = 120.0
    assert patience.left(("registry.test", "")) == 0
    for number in range(2_000):
        patience.asked((f"{number}.test", ""), None)
    assert (patience.left(("0.test", "")), patience.left(("1999.test", ""))) == (0, 5)


def test_the_429_of_another_host_is_its_own(transport):
    """Where a redirect led: a store of blobs, say."""
    here = transport()
    with (
        Registry(faults={"*": faulty.status(429, Retry_After="40")}) as other,
        Registry(faults={BASE: faulty.redirect(other.url + "/v2/")}) as registry,
    ):
        for _ in range(2):
            assert get(here, ask(registry), soon(30))[0] == 429
        assert len(registry.requests) == 2


# --- redirects


def test_redirects_to_another_host_lose_the_credentials(transport):
    with Registry() as other:
        with Registry(faults={BASE: faulty.redirect(other.url + "/v2/")}) as registry:
            request = ask(registry, headers={"Authorization": "Basic c2VjcmV0", "Accept": "x"})
            assert get(transport(), request) == (200, b"{}")
            assert [one.has_auth for one in registry.requests] == [True]
        assert [one.has_auth for one in other.requests] == [False]


@pytest.mark.parametrize("configured", ["registry.test", "registry.test:80", "REGISTRY.test"])
@pytest.mark.parametrize("written", ["registry.test", "registry.test:80", "Registry.Test"])
def test_the_usual_port_need_not_be_said(transport, configured, written):
    def nobody(host):
        raise OSError("no such name")

    here = transport(hosts={configured: HostSettings(plain_http=True)}, resolve=nobody)
    with pytest.raises(DnsError):  # and not Blocked, which comes before
        get(here, Request(url=f"http://{written}/v2/", what="app:1"))


def test_redirects_within_the_host_keep_them(transport):
    with Registry(faults={"/here": faulty.redirect("/v2/")}) as registry:
        request = ask(registry, "/here", headers={"authorization": "Basic c2VjcmV0"})
        assert get(transport(), request) == (200, b"{}")
        assert [one.has_auth for one in registry.requests] == [True, True]


def test_a_redirect_from_https_to_http_is_not_followed(transport, server_tls, ca_file):
    """Not even on one host."""
    here = {"default": HostSettings(ca_file=ca_file), "loopback_http": False}
    with Registry(tls=server_tls) as registry:
        registry.faults[BASE] = faulty.redirect(f"http://{registry.host}/v2/")
        with pytest.raises(Blocked, match=r"plain http to .* --plain-http"):
            get(transport(**here), ask(registry))


def test_redirects_are_counted(transport):
    with Registry(faults={"*": faulty.redirect("/again")}) as registry:
        with pytest.raises(ServerError, match="redirected more than 5 times"):
            get(transport(), ask(registry))
        assert len(registry.requests) == 6


@pytest.mark.parametrize(
    ("target", "error"),
    [
        pytest.param("http://169.254.169.254/latest/meta-data/", Blocked, id="metadata"),
        pytest.param("http://[::ffff:169.254.169.254]/", Blocked, id="metadata in IPv6"),
        pytest.param("https://metadata.test/", Blocked, id="metadata by name"),
        pytest.param("https://10.0.0.1/", Blocked, id="private"),
        pytest.param("file:///etc/passwd", Blocked, id="file"),
        pytest.param("gopher://127.0.0.1/", Blocked, id="gopher"),
        pytest.param("https://user:secret@127.0.0.1/", Blocked, id="with credentials"),
        pytest.param("https://registry.test:99999/", ServerError, id="no port"),
        pytest.param("https://nowhere.test/", DnsError, id="nowhere"),
        pytest.param("https://[", ServerError, id="no host"),
        pytest.param("https://" + "a." * 5000 + "test/", ServerError, id="a long host"),
        pytest.param("https://" + "a" * 70 + ".test/", DnsError, id="a long label"),
    ],
)
def test_where_redirects_do_not_lead(transport, target, error):
    def resolve(host):
        if host == "metadata.test":
            return ["169.254.169.254"]
        raise OSError("no such name")

    rules = AddressRules(allow_loopback=True, allow_private=False)
    hosts = {
        host: HostSettings(plain_http=True) for host in ("169.254.169.254", "[::ffff:a9fe:a9fe]")
    }
    with Registry(faults={BASE: faulty.redirect(target)}) as registry:
        with pytest.raises(error) as caught:
            get(transport(addresses=rules, resolve=resolve, hosts=hosts), ask(registry))
        assert len(registry.requests) == 1
    assert caught.value.detail.startswith(f"{registry.host}/app:1: ")
    assert "secret" not in caught.value.detail


@given(st.text(max_size=60))
@example("http://[")
@example("//\x00")
@example("http://a:b:c@[::1]:x/")
def test_any_location_leads_to_an_answer_or_an_error_of_ours(target):
    with contextlib.suppress(ImageError):
        request = Request(url="https://registry.test/v2/", what="app:1")
        NOWHERE.send(NOWHERE._redirected(request, target), soon(1))


def test_loopback_is_blocked_unless_allowed(transport):
    with Registry() as registry:
        here = transport(addresses=AddressRules(), default=HostSettings(plain_http=True))
        with pytest.raises(Blocked, match="loopback"):
            get(here, ask(registry))
        assert registry.requests == []


def test_a_connection_is_not_shared_between_http_and_https(transport):
    """A pooled plain connection never serves a request that was to be encrypted."""
    with Registry() as registry:
        here = transport()
        get(here, ask(registry))
        request = Request(url=f"https://{registry.host}/v2/", what="app:1")
        with pytest.raises(NotTlsError):
            get(here, request)


# --- TLS


def test_a_host_has_its_own_authority(transport, server_tls, ca_file):
    with Registry(tls=server_tls) as registry:
        here = transport(hosts={registry.host: HostSettings(ca_file=ca_file)})
        assert get(here, ask(registry)) == (200, b"{}")


def test_an_unknown_authority_is_refused(transport, server_tls):
    with (
        Registry(tls=server_tls) as registry,
        pytest.raises(TlsError, match="certificate is not trusted"),
    ):
        get(transport(), ask(registry))


def test_the_wrong_name_is_refused(transport, server_tls, ca_file):
    with Registry(tls=server_tls) as registry:
        port = registry.host.partition(":")[2]
        here = transport(default=HostSettings(ca_file=ca_file), resolve=lambda _: ["127.0.0.1"])
        with pytest.raises(TlsError, match="not trusted"):
            get(here, Request(url=f"https://other.test:{port}/v2/", what="app:1"))


def test_a_file_without_certificates_is_told_at_once(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(UsageError, match=r"ca\.pem holds no certificates"):
        Transport(addresses=HERE, default=HostSettings(ca_file=str(path)))


def test_many_threads_share_a_transport(transport):
    with Registry() as registry:
        here, seen = transport(), []
        threads = [
            threading.Thread(target=lambda: seen.append(get(here, ask(registry))))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [(200, b"{}")] * 20


def test_a_fault_is_a_value():
    """The support's own promise: faults with ``times`` heal."""
    fault = faulty.status(500, times=1)
    assert isinstance(fault, Fault)
    with Registry(faults={"*": fault}) as registry:
        assert [registry.fault("/x") is fault, registry.fault("/x")] == [True, None]
