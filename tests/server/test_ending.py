"""The end of a replica, under load: nobody is refused, everybody is sent elsewhere."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.support.processes import eventually
from tests.server.conftest import started
from tests.server.judges import body, pod
from tests.server.test_serve import JSON, connect, once, under_way
from webhook.server.ending import QUIET, Ending


class Client(threading.Thread):
    """Asks without a pause, as Go's transport does: a connection is used until it says close."""

    def __init__(self, server):
        super().__init__()
        self.server, self.stopped = server, threading.Event()
        self.answers, self.failures = [], []
        self.connections = 0

    def run(self):
        connection = None
        while not self.stopped.is_set():
            begun = time.monotonic()
            if connection is None:
                connection, self.connections = connect(self.server), self.connections + 1
            try:
                connection.request("POST", "/validate?timeout=10s", body(pod()), JSON)
                response = connection.getresponse()
                response.read()
                header = response.headers["Connection"]
                self.answers.append((begun, response.status, header))
                if header == "close":
                    connection = connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = connection.close()
            time.sleep(0.01)
        if connection is not None:
            connection.close()


def readiness(server):
    """Of both ports: the status codes."""
    return _status(f"{server.metrics}/readyz"), _tls_status(server, "/readyz")


def _status(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.status


def _tls_status(server, path):
    with closing(connect(server)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_nobody_is_refused_while_clients_go_elsewhere():
    with started(lame_duck=8.0) as server:
        clients = [Client(server) for _ in range(4)]
        for client in clients:
            client.start()
        assert eventually(lambda: readiness(server) == (200, 200))
        time.sleep(1)
        term = time.monotonic()
        server.popen.terminate()
        assert eventually(lambda: readiness(server) == (503, 503))
        told = time.monotonic()
        assert _status(f"{server.metrics}/healthz") == 200

        def since(begun):
            return [one for client in clients for one in client.answers.copy() if one[0] > begun]

        # Past the minimum: they still come, so it still answers.
        assert eventually(lambda: since(term + 8.0) and len(since(told)) > 20)
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join()
        gone = time.monotonic()
        status, log = server.ended()
        took = time.monotonic() - gone
    assert [client.failures for client in clients] == [[]] * 4
    answers = [answer for client in clients for answer in client.answers]
    assert {status for _, status, _ in answers} == {200}
    before = [header for at, _, header in answers if at < term]
    after = [header for _, _, header in since(told)]
    assert set(before[4:]) <= {"keep-alive", "close"}
    assert before.count("close") <= 4  # under way just when the signal came
    assert set(after) == {"close"}
    assert status == 0
    assert "stopping" in [line["event"] for line in log]
    assert took < 15  # reviews under way would be given thirty


def test_a_review_under_way_at_the_signal_says_close_and_is_answered():
    with started(lame_duck=0.2) as server:
        with under_way(server) as answers:
            server.popen.terminate()
            assert eventually(lambda: _status(f"{server.metrics}/readyz") == 503)
        status, _ = server.ended()
    assert status == 0
    [(response, answered)] = answers
    assert answered["allowed"]
    assert response.headers["Connection"] == "close"


def test_a_second_signal_ends_sooner():
    with started(lame_duck=60.0) as server:
        once(server)
        server.popen.terminate()
        assert eventually(lambda: readiness(server) == (503, 503))
        assert once(server)[1]["allowed"]
        assert server.popen.poll() is None
        status, _ = server.stop()
        assert status == 0


def test_ctrl_c_lets_reviews_end_and_waits_for_nobody():
    with started(lame_duck=60.0) as server:
        with under_way(server) as answers:
            for pid in (server.popen.pid, *children(server.popen.pid)):  # as a terminal does
                os.kill(pid, signal.SIGINT)
            time.sleep(0.5)
        status, _ = server.ended()
        assert status == 0
        assert answers[0][1]["allowed"]


def test_a_killed_worker_is_replaced_while_the_port_stays():
    with started() as server:

        def torn(server):
            with pytest.raises((OSError, http.client.HTTPException)) as raised:
                once(server, "held:1")
            return raised

        with under_way(server, torn) as lost:
            [worker] = children(server.popen.pid)
            begun = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            assert once(server)[1]["allowed"]  # it waits in the port's queue for the next worker
            took = time.monotonic() - begun
        assert len(lost) == 1  # what was under way is lost: the API server sees EOF
        assert children(server.popen.pid) != [worker]
        assert took < 20


def test_a_worker_that_comes_after_the_signal_knows_of_it():
    with started(lame_duck=60.0) as server:
        once(server)
        [worker] = children(server.popen.pid)
        server.popen.terminate()
        os.kill(worker, signal.SIGKILL)
        response, _ = once(server)
        assert response.headers["Connection"] == "close"
        assert readiness(server) == (503, 503)
        server.stop()


def test_probes_answer_while_the_application_is_built():
    with started(held=True) as server:
        with server.holding():
            for _ in range(4):
                assert _status(f"{server.metrics}/healthz") == 200
                assert _status(f"{server.metrics}/readyz") == 503
        assert eventually(lambda: _status(f"{server.metrics}/readyz") == 200)
        assert _status(f"{server.metrics}/healthz") == 200
        assert once(server)[1]["allowed"]


def test_it_is_over_when_nobody_comes_and_at_twice_the_time_whoever_comes():
    now = [100.0]
    ending = Ending(15.0, lambda: now[0])
    assert not ending.over()
    ending.begin()
    assert ending.begun
    now[0] += 14.0
    ending.asked()
    assert not ending.over()
    now[0] += 1.5
    assert not ending.over()  # somebody came lately
    now[0] += QUIET
    assert ending.over()
    ending.asked()
    assert not ending.over()
    now[0] = 129.0
    ending.asked()
    assert not ending.over()
    now[0] = 130.0
    assert ending.over()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
