"""The end of a replica, under load: nobody is refused, everybody is sent elsewhere."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

from tests.server.conftest import started
from tests.server.judges import body, pod
from tests.server.test_serve import JSON, connect, once
from webhook.server.ending import Ending


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
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.status


def _tls_status(server, path):
    with closing(connect(server)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_nobody_is_refused_while_clients_go_elsewhere():
    with started(lame_duck=2.0) as server:
        clients = [Client(server) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(1)
        assert readiness(server) == (200, 200)
        term = time.monotonic()
        server.popen.terminate()
        time.sleep(0.5)
        assert readiness(server) == (503, 503)
        assert _status(f"{server.metrics}/healthz") == 200
        time.sleep(2.0)  # past the minimum: they still come, so it still answers
        gone = time.monotonic()
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join()
        status, log = server.ended()
        took = time.monotonic() - term
    assert [client.failures for client in clients] == [[]] * 4
    answers = [answer for client in clients for answer in client.answers]
    assert {status for _, status, _ in answers} == {200}
    before = [header for at, _, header in answers if at < term]
    after = [(at, header) for at, _, header in answers if at > term + 0.1]
    assert set(before[4:]) <= {"keep-alive", "close"}
    assert before.count("close") <= 4  # under way just when the signal came
    assert {header for _, header in after} == {"close"}
    assert max(at for at, _ in after) > term + 2.0
    assert len(after) > 50
    assert status == 0
    assert "stopping" in [line["event"] for line in log]
    assert gone - term < took < 5.5


def test_a_review_under_way_at_the_signal_says_close_and_is_answered():
    with started(lame_duck=0.2, drain=5) as server:
        answers = []
        slow = threading.Thread(target=lambda: answers.append(once(server, "slow:1")))
        slow.start()
        time.sleep(0.4)
        status, _ = server.stop()
        slow.join()
    assert status == 0
    [(response, answered)] = answers
    assert answered["allowed"]
    assert response.headers["Connection"] == "close"


def test_a_second_signal_ends_sooner():
    with started(lame_duck=60.0) as server:
        server.popen.terminate()
        time.sleep(0.5)
        assert once(server)[1]["allowed"]
        assert server.popen.poll() is None
        begun = time.monotonic()
        status, _ = server.stop()
        assert status == 0
        assert time.monotonic() - begun < 5


def test_ctrl_c_lets_reviews_end_and_waits_for_nobody():
    with started(lame_duck=60.0) as server:
        answers = []
        slow = threading.Thread(target=lambda: answers.append(once(server, "slow:1")))
        slow.start()
        time.sleep(0.4)
        begun = time.monotonic()
        for pid in (server.popen.pid, *children(server.popen.pid)):  # as a terminal does
            os.kill(pid, signal.SIGINT)
        status, _ = server.ended()
        slow.join()
        assert status == 0
        assert answers[0][1]["allowed"]
        assert time.monotonic() - begun < 5


def test_a_killed_worker_is_replaced_while_the_port_stays():
    with started() as server:
        once(server)
        [worker] = children(server.popen.pid)
        torn = []

        def asks():
            try:
                once(server, "slow:1")
            except (OSError, http.client.HTTPException) as error:
                torn.append(error)

        slow = threading.Thread(target=asks)
        slow.start()
        time.sleep(0.4)
        begun = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        assert once(server)[1]["allowed"]  # it waits in the port's queue for the next worker
        took = time.monotonic() - begun
        slow.join()
        assert len(torn) == 1  # what was under way is lost: the API server sees EOF
        assert children(server.popen.pid) != [worker]
        assert took < 3


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
    with started(building=1.5) as server:
        statuses = []
        end = time.monotonic() + 10
        while 200 not in statuses and time.monotonic() < end:
            with suppress(OSError):
                assert _status(f"{server.metrics}/healthz") == 200
                statuses.append(_status(f"{server.metrics}/readyz"))
            time.sleep(0.1)
        assert set(statuses) == {503, 200}
        assert statuses.index(200) > 3
        assert once(server)[1]["allowed"]


def test_it_is_over_when_nobody_comes_and_at_twice_the_time_whoever_comes():
    ending = Ending(0.2)
    assert not ending.over()
    ending.begin()
    ending.asked()
    assert ending.begun
    assert not ending.over()
    time.sleep(0.25)
    assert not ending.over()  # somebody came lately
    time.sleep(0.2)
    assert ending.over()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
