"""A process that answers is killed, and nobody is refused a connection meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme

from tests.cluster.support.processes import eventually, free_port, listens
from tests.server.conftest import started
from tests.server.test_serve import ask, connect, get, once
from webhook.cluster.keeper import KEEPER, Keeper, Kept


@pytest.fixture
def serving(tmp_path):
    """How to serve, over and over, on one port with one certificate."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    cert, key, ca = (tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt"))
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    listen = f"127.0.0.1:{free_port()}"
    return ca, {"listen": listen, "cert": cert, "key": key, "kept": tmp_path}


@contextmanager
def keeping(folder):
    one = Keeper(folder)
    try:
        yield one
    finally:
        one.close()
        assert eventually(lambda: not one.alive())


def holds(folder):
    """Whether a socket is held there."""
    if (held := Kept(folder).taken()) is None:
        return False
    held.close()
    return True


def connections(port):
    """How many there are to that port, accepted by somebody or not: proc(5), ``/proc/net/tcp``."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def kill(process):
    """SIGKILL to all of it, as the end of a container's first process is."""
    parent = process.popen.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for pid in (parent, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    process.ended()
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_who_connects_while_it_is_gone_is_answered_by_the_next(serving, tmp_path):
    """Some before the next one is begun, more while it starts."""
    ca, how = serving
    answers = []

    def asks(server):
        with closing(connect(server, ca, timeout=120)) as connection:
            answers.append(ask(connection)[0].status)

    with keeping(tmp_path):
        with started(**how) as first:
            assert once(first, ca=ca)[0].status == 200
            assert eventually(lambda: holds(tmp_path))
            kill(first)
        asking = [threading.Thread(target=asks, args=(first,)) for _ in range(6)]
        for thread in asking[:3]:
            thread.start()
        assert eventually(lambda: connections(first.port) == 3)
        with started(**how, held=True) as second:
            with second.holding():
                for thread in asking[3:]:
                    thread.start()
                assert eventually(lambda: connections(second.port) == len(asking))
                assert not answers
            for thread in asking:
                thread.join()
            assert answers == [200] * 6
            assert get(f"{second.metrics}/healthz") == "ok\n"


def test_without_a_controller_it_is_refused(serving, tmp_path):
    """What the test above would see if nobody held the socket."""
    _, how = serving
    with started(**how) as server:
        kill(server)
    assert not listens(server.port)
    with started(**how):
        assert listens(server.port)


def test_a_controller_that_comes_later_or_anew_is_given_it(serving, tmp_path):
    _, how = serving
    with started(**how):
        for _ in range(2):
            with keeping(tmp_path):
                assert eventually(lambda: holds(tmp_path))
            assert not holds(tmp_path)


def test_one_that_is_told_to_end_lets_go(serving, tmp_path):
    """A lame duck still has it held; after that, who connects is refused and goes elsewhere."""
    ca, how = serving
    with keeping(tmp_path), started(**how, lame_duck=120.0) as server:
        assert eventually(lambda: holds(tmp_path))
        server.popen.terminate()
        assert eventually(lambda: once(server, ca=ca)[0].getheader("Connection") == "close")
        assert eventually(lambda: holds(tmp_path))
        assert server.stop(60)[0] == 0
        assert not holds(tmp_path)
        assert not listens(server.port)


def test_a_socket_of_another_address_is_not_taken(serving, tmp_path):
    _, how = serving
    other = f"127.0.0.1:{free_port()}"
    with keeping(tmp_path):
        with started(**how) as first:
            assert eventually(lambda: holds(tmp_path))
            kill(first)
        with started(**{**how, "listen": other}) as second:
            assert f"127.0.0.1:{second.port}" == other
            assert eventually(lambda: not listens(first.port))
            assert eventually(lambda: holds(tmp_path))


def test_what_makes_no_sense_holds_up_nobody(tmp_path):
    """One that hangs up at once, one that says something else, one that brings a file."""
    with keeping(tmp_path), socket.create_server(("127.0.0.1", 0)) as listener:
        door = str(tmp_path / KEEPER)
        for words, files in ((b"", ()), (b"?", ()), (b"h", ()), (b"h", ("/etc/passwd",))):
            fds = [os.open(name, os.O_RDONLY) for name in files]
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
                one.connect(door)
                if words:
                    socket.send_fds(one, [words], fds)
            for fd in fds:
                os.close(fd)
            assert not holds(tmp_path)
        Kept(tmp_path).keep(listener.fileno)
        assert eventually(lambda: holds(tmp_path))
        with closing(Kept(tmp_path).taken()) as held:
            assert held.getsockname() == listener.getsockname()
