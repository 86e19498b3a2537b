"""gunicorn as it is embedded: TLS, slow clients, keep-alive, rotation, the second port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.cluster.support.processes import eventually
from tests.server.conftest import started
from tests.server.judges import body, pod
from tests.soak.soak import sample
from webhook.errors import UsageError
from webhook.limits import MIB
from webhook.server.probes import MAX_CONNECTIONS
from webhook.server.serve import SPARE, Serving, serve
from webhook.server.tls import REQUEST, STALL
from webhook.server.worker import CONNECTIONS

JSON = {"Content-Type": "application/json"}
AT_ONCE = 8.0
"""Seconds: what waits for a client to be cut off takes ten, or five for each of many."""


def connect(server, ca=None, timeout=30, **limits):
    """An HTTPS connection that trusts the server's CA, and no other."""
    context = ssl.create_default_context(cafile=ca or server.ca)
    for name, value in limits.items():
        setattr(context, name, value)
    return http.client.HTTPSConnection(server.host, server.port, context=context, timeout=timeout)


def ask(connection, image="app:1"):
    connection.request("POST", "/validate?timeout=10s", body(pod(image)), JSON)
    response = connection.getresponse()
    return response, json.loads(response.read())["response"]


def once(server, image="app:1", ca=None):
    """Ask over a connection of its own."""
    with closing(connect(server, ca)) as connection:
        return ask(connection, image)


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def are_under_way(server, count):
    """Whether so many reviews are, right now."""
    return f"slimgate_reviews_in_flight {count}.0" in get(f"{server.metrics}/metrics")


@contextmanager
def under_way(server, asks=lambda server: once(server, "held:1")):
    """A review that is under way until the end of this context; what came of it, after that."""
    answers = []
    once(server)  # it answers
    thread = threading.Thread(target=lambda: answers.append(asks(server)))
    with server.holding():
        thread.start()
        assert eventually(lambda: are_under_way(server, 1))
        yield answers
    thread.join()


def test_reviews_over_one_kept_connection(server):
    connection = connect(server)
    response, answered = ask(connection, "bad:1")
    assert response.status == 200
    assert answered["status"]["code"] == 403
    first = connection.sock
    response, answered = ask(connection)
    assert answered["allowed"]
    assert connection.sock is first
    assert response.headers["Connection"] == "keep-alive"
    connection.close()


def test_no_ticket_is_sent(server):
    """TLS 1.3 has a server send two, asked or not."""
    with closing(connect(server)) as connection:
        ask(connection)
        assert connection.sock.version() == "TLSv1.3"
        assert not connection.sock.session.has_ticket


def test_only_modern_tls(server):
    old = connect(server, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert ask(old)[1]["allowed"]
    assert old.sock.version() == "TLSv1.2"
    old.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection((server.host, server.port), 10) as raw,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(raw, server_hostname=server.host)


def test_the_certificate_is_the_one_announced(server):
    connection = connect(server)
    connection.connect()
    leaf = connection.sock.getpeercert(binary_form=True)
    connection.close()
    fingerprint = x509.load_der_x509_certificate(leaf).fingerprint(hashes.SHA256())
    assert fingerprint.hex(":").upper() == server.fingerprint
    assert Path(server.ca).with_name("tls.key").stat().st_mode & 0o777 == 0o600


def test_the_second_port_has_probes_and_metrics_only(server):
    once(server)
    assert get(f"{server.metrics}/healthz") == "ok\n"
    assert get(f"{server.metrics}/readyz") == "ok\n"
    assert 'slimgate_reviews_total{decision="allow"' in get(f"{server.metrics}/metrics")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.metrics}/validate", data=b"{}", timeout=30)
    assert refused.value.code == 405
    refused.value.close()


def test_a_connection_that_was_idle_for_longer_than_a_request_may_take(server):
    with closing(connect(server, timeout=30)) as connection:
        assert ask(connection)[1]["allowed"]
        kept = connection.sock
        time.sleep(REQUEST + 1)
        assert ask(connection)[1]["allowed"]
        assert connection.sock is kept


def _silent(raw):
    return raw


def _half_hello(raw):
    raw.sendall(b"\x16\x03\x01")
    return raw


def _half_header(raw):
    context = ssl._create_unverified_context()
    tls = context.wrap_socket(raw, do_handshake_on_connect=True)
    tls.sendall(b"POST /validate HTTP/1.1\r\nHost: x\r\n")
    return tls


def _half_body(raw):
    tls = _half_header(raw)
    tls.sendall(b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    return tls


def test_as_many_stalled_clients_as_threads_do_not_stop_the_next(server):
    with ExitStack() as kept:
        for stalled in (_silent, _half_hello, _half_header, _half_body):  # one for each thread
            raw = kept.enter_context(socket.create_connection((server.host, server.port), 10))
            kept.enter_context(stalled(raw))
        time.sleep(0.2)
        begun = time.monotonic()
        assert once(server)[1]["allowed"]
        assert time.monotonic() - begun < AT_ONCE


def _long_body(raw):
    tls = _half_header(raw)
    tls.sendall(b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
    return tls


def _two_and_a_half(raw):
    tls = _half_header(raw)
    tls.sendall(b"Content-Length: 0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal")
    return tls


@pytest.mark.parametrize(
    "stalled", [_silent, _half_hello, _half_header, _half_body, _long_body, _two_and_a_half]
)
def test_many_times_as_many_stalled_clients_as_threads_stop_nobody(server, stalled):
    """A thread gets a request when it is whole."""
    with ExitStack() as kept:
        for _ in range(100):
            raw = kept.enter_context(socket.create_connection((server.host, server.port), 10))
            kept.enter_context(stalled(raw))
        for _ in range(20):
            begun = time.monotonic()
            assert once(server)[1]["allowed"]
            assert time.monotonic() - begun < AT_ONCE


def test_large_bodies_that_nobody_wants_stop_nobody(server):
    """Refused before they are read, or after a moment."""
    with ExitStack() as kept:
        for _ in range(40):
            raw = kept.enter_context(socket.create_connection((server.host, server.port), 10))
            tls = kept.enter_context(_half_header(raw))
            tls.sendall(b"Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{")
        time.sleep(1)
        begun = time.monotonic()
        assert once(server)[1]["allowed"]
        assert time.monotonic() - begun < AT_ONCE


def test_whole_requests_that_wait_for_a_thread_are_bounded_in_bytes():
    """Each is below what counts as large; a review that takes a second holds the only place."""
    padded = body(pod("slow:1")).replace(
        b'"metadata": {', b'"metadata": {"x": "' + b"x" * 1_000_000 + b'", '
    )
    head = b"POST /validate?timeout=10s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(padded)
    context = ssl._create_unverified_context()
    with started(threads=1) as server:
        once(server)
        (worker,) = _children(server.popen.pid)
        before, memory = sample(worker, 0).memory, []

        def ask(_):
            with (
                suppress(OSError),  # one that was not whole yet was given up
                socket.create_connection((server.host, server.port), 60) as raw,
                context.wrap_socket(raw) as client,
            ):
                client.sendall(head + padded)
                status = client.recv(12)[-3:]
                memory.append(sample(worker, 0).memory)
                return status

        with ThreadPoolExecutor(250) as clients:
            answers = Counter(clients.map(ask, range(250)))
        assert set(answers) <= {b"200", b"503", b"", None}
        assert answers[b"503"] > 100
        assert max(memory) - before < 160  # MiB; 250 MB were sent
        assert _children(server.popen.pid) == [worker]
        assert once(server)[1]["allowed"]


def test_more_connections_than_there_may_be_leave_room_for_the_next(server):
    """The one that is idle or arriving longest makes room."""
    with ExitStack() as kept:
        for _ in range(CONNECTIONS + 50):
            kept.enter_context(socket.create_connection((server.host, server.port), 10))
        assert once(server)[1]["allowed"]


def test_a_head_that_does_not_end(server):
    def send(tls):
        for _ in range(200):
            tls.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
            time.sleep(0.005)
        tls.settimeout(REQUEST - 2)  # by then it would be cut off for its time
        if not tls.recv(1):
            raise ConnectionError("closed")

    raw = socket.create_connection((server.host, server.port), 10)
    with _half_header(raw) as tls, pytest.raises((ssl.SSLError, ConnectionError)):
        send(tls)


def _drip(client, seconds):
    for _ in range(seconds * 2):
        client.sendall(b"X")
        time.sleep(0.5)


def test_a_dripping_client_is_cut_off(server):
    begun = time.monotonic()
    raw = socket.create_connection((server.host, server.port), 30)
    tls = ssl._create_unverified_context().wrap_socket(raw)
    with tls, pytest.raises((ssl.SSLError, ConnectionError)):
        _drip(tls, seconds=30)
    assert REQUEST - 1 < time.monotonic() - begun < 2 * REQUEST


def test_as_many_dripping_clients_as_places_do_not_keep_probes_out_for_long(server):
    address = server.metrics.removeprefix("http://").rsplit(":", 1)
    clients = [socket.create_connection(address, 10) for _ in range(MAX_CONNECTIONS)]
    begun = time.monotonic()
    answered = None
    while answered is None and time.monotonic() - begun < 40:
        for client in clients:
            with suppress(OSError):
                client.sendall(b"G")
        time.sleep(1)
        with suppress(OSError, http.client.HTTPException):
            answered = get(f"{server.metrics}/healthz")
    for client in clients:
        client.close()
    assert answered == "ok\n"
    assert time.monotonic() - begun < 25


def test_a_slow_review_keeps_nobody_waiting(server):
    with under_way(server) as answers:
        assert once(server)[1]["allowed"]
        assert answers == []
    assert answers[0][1]["allowed"]


def test_known_images_are_answered_while_every_thread_waits():
    """And others wait for one: a thread would be free in half a minute."""
    with started(threads=1, patience=60, drain=1) as server, server.holding(), ExitStack() as kept:
        once(server)
        for _ in range(2 * (1 + SPARE)):
            waiting = kept.enter_context(closing(connect(server)))
            waiting.request("POST", "/validate?timeout=30s", body(pod("held:1")), JSON)
        assert eventually(lambda: are_under_way(server, 1))
        for _ in range(20):
            begun = time.monotonic()
            assert once(server)[1]["allowed"]
            assert time.monotonic() - begun < AT_ONCE


def _post(image, *, close=False):
    """A review as bytes."""
    sent = body(pod(image))
    ends = "Connection: close\r\n" if close else ""
    kind = "Content-Type: application/json\r\n"
    head = f"POST /validate HTTP/1.1\r\nHost: x\r\n{kind}{ends}Content-Length: {len(sent)}\r\n\r\n"
    return head.encode() + sent


def _tls(server):
    raw = socket.create_connection((server.host, server.port), 30)
    return ssl.create_default_context(cafile=server.ca).wrap_socket(
        raw, server_hostname="127.0.0.1"
    )


def test_requests_that_are_sent_behind_each_other_are_answered_in_their_order(server):
    """Those that wait for something, too, and that of the last part comes late."""
    images = ["app:1", "bad:1", "short:1", "app:1", "short:bad", "bad:1"] * 10
    sent = b"".join(map(_post, images)) + _post("app:1", close=True)
    with _tls(server) as client:
        client.sendall(sent[:-10])
        time.sleep(0.2)
        client.sendall(sent[-10:])
        received = b""
        while piece := client.recv(MIB):
            received += piece
    answers = [
        json.loads(answer.partition(b"\r\n\r\n")[2])
        for answer in received.split(b"HTTP/1.1 200 OK")[1:]
    ]
    allowed = [answer["response"]["allowed"] for answer in answers]
    assert allowed == ["bad" not in image for image in images] + [True]
    assert received.count(b"Connection: close") == 1


def test_clients_that_do_not_read_their_answers_stop_nobody(server):
    with ExitStack() as kept:
        for _ in range(3):
            client = kept.enter_context(_tls(server))
            client.settimeout(0.5)
            with suppress(TimeoutError, ssl.SSLError, ConnectionError):
                for _ in range(50):
                    client.sendall(_post("bad:1") * 100)
        for _ in range(20):
            begun = time.monotonic()
            assert once(server)[1]["allowed"]
            assert time.monotonic() - begun < STALL - 0.5  # for which one would be waited for


def test_a_small_body_without_a_length(server):
    sent = body(pod())
    with closing(connect(server)) as connection:
        for _ in range(2):
            connection.request("POST", "/validate", iter([sent[:99], sent[99:]]), JSON)
            assert json.loads(connection.getresponse().read())["response"]["allowed"]


def test_a_body_that_is_too_long(server):
    with closing(connect(server)) as connection:
        connection.putrequest("POST", "/validate")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(100 << 20))
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.getheader("Connection")) == (413, "close")
    assert once(server)[1]["allowed"]


def test_a_body_without_a_length_is_bounded_too(server):
    chunks = iter([b" " * MIB] * 7 + [b" "])
    with closing(connect(server)) as connection:
        connection.request("POST", "/validate", chunks, JSON, encode_chunked=True)
        assert connection.getresponse().status == 413
    assert once(server)[1]["allowed"]


def test_a_client_that_leaves_costs_only_its_own_answer():
    """As when kubectl is interrupted: the API server closes its connection to us."""
    with started() as server:
        once(server)
        with server.holding(), closing(connect(server)) as leaving:
            leaving.request("POST", "/validate?timeout=10s", body(pod("held:1")), JSON)
            assert eventually(lambda: are_under_way(server, 1))
            leaving.close()
            assert once(server)[1]["allowed"]
        assert eventually(lambda: are_under_way(server, 0))  # the review it left behind ends
        assert once(server)[1]["allowed"]
        status, log = server.stop()
    assert status == 0
    assert [line for line in log if line.get("level") == "error"] == []


def _write(authority, name, folder, **more):
    leaf = authority.issue_cert(name, **more)
    for file, text in (("key", leaf.private_key_pem), ("crt", leaf.cert_chain_pems[0])):
        new = folder / f"{file}.new"
        text.write_to_path(new)
        new.replace(folder / f"tls.{file}")


def test_a_new_certificate_is_served_without_a_restart(tmp_path):
    first, second = trustme.CA(), trustme.CA()
    first.cert_pem.write_to_path(tmp_path / "first")
    second.cert_pem.write_to_path(tmp_path / "second")
    _write(first, "127.0.0.1", tmp_path)
    with started(cert=tmp_path / "tls.crt", key=tmp_path / "tls.key") as server:
        assert once(server, ca=tmp_path / "first")[1]["allowed"]
        good = (tmp_path / "tls.crt").read_bytes()
        (tmp_path / "tls.crt").write_bytes(good[:100])  # half written
        assert once(server, ca=tmp_path / "first")[1]["allowed"]
        _write(second, "127.0.0.1", tmp_path)
        assert once(server, ca=tmp_path / "second")[1]["allowed"]
        with pytest.raises(ssl.SSLCertVerificationError):
            once(server, ca=tmp_path / "first")
        status, log = server.stop()
    assert status == 0
    assert any("keeping the certificate" in line["event"] for line in log)


def test_an_expired_certificate_fails_calls_until_there_is_a_new_one(tmp_path):
    """Nobody is answered by what is no longer valid; the next pair is served without a restart."""
    authority, yesterday = trustme.CA(), datetime.now(UTC) - timedelta(days=1)
    authority.cert_pem.write_to_path(tmp_path / "ca")
    before = {"not_before": yesterday - timedelta(days=1), "not_after": yesterday}
    _write(authority, "127.0.0.1", tmp_path, **before)
    with started(cert=tmp_path / "tls.crt", key=tmp_path / "tls.key") as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            once(server, ca=tmp_path / "ca")
        _write(authority, "127.0.0.1", tmp_path)
        assert once(server, ca=tmp_path / "ca")[1]["allowed"]


def test_sigterm_lets_reviews_end_and_leaves_nothing_behind():
    with started() as server:
        kept = connect(server)
        ask(kept)  # an idle kept-alive connection must not delay the end
        with under_way(server) as answers:
            server.popen.terminate()
            time.sleep(0.5)  # past the lame duck
        status, _ = server.ended()
    assert status == 0
    assert answers[0][1]["allowed"]
    assert not Path(server.ca).parent.exists()
    kept.close()


def test_a_worker_that_ends_is_replaced_and_takes_nothing_with_it():
    with started() as server:
        once(server)
        [worker] = _children(server.popen.pid)
        os.kill(worker, signal.SIGTERM)
        assert eventually(lambda: _children(server.popen.pid) not in ([worker], []))
        assert worker not in _children(server.popen.pid)
        assert once(server)[1]["allowed"]
        assert Path(server.ca).exists()


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("serving", "error"),
    [
        pytest.param({"listen": "nowhere"}, "HOST:PORT", id="no port"),
        pytest.param({"listen": "x", "cert": "c", "key": "k"}, "HOST:PORT", id="nor here"),
        pytest.param({"listen": "127.0.0.1:65536"}, "HOST:PORT", id="no such port"),
        pytest.param({"listen": "192.0.2.1:1"}, "192.0.2.1:1: ", id="not this machine's"),
        pytest.param({"metrics": "127.0.0.1:x"}, "HOST:PORT", id="a port that is none"),
        pytest.param({"cert": "c"}, "certificate needs its key", id="no key"),
        pytest.param({"client_names": ("a",)}, "need the CA", id="names without a CA"),
        pytest.param({"cert": "/none", "key": "/none"}, "No such file", id="no such file"),
        pytest.param({"metrics": "192.0.2.1:1"}, "192.0.2.1:1: ", id="an address of others"),
    ],
)
def test_settings_that_cannot_be_used(serving, error, capsys):
    paths = {key: Path(serving[key]) for key in ("cert", "key") if key in serving}
    with pytest.raises(UsageError, match=error):
        serve(lambda: None, Serving(**{**serving, **paths}))
