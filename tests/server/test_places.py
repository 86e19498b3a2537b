"""Too many at once, and reviews that never end: over real sockets."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing, suppress

import pytest

from tests.cluster.support.processes import eventually
from tests.server.conftest import started
from tests.server.judges import body, pod
from tests.server.test_ending import _status
from tests.server.test_serve import JSON, are_under_way, connect, once
from webhook.errors import Busy
from webhook.limits import Deadline
from webhook.server.places import Places


def later(server, image, timeout="1s"):
    """Ask in a thread of its own, and do not mind what becomes of it."""

    def asks():
        with suppress(OSError, http.client.HTTPException), closing(connect(server)) as connection:
            connection.request("POST", f"/validate?timeout={timeout}", body(pod(image)), JSON)
            connection.getresponse().read()

    thread = threading.Thread(target=asks, daemon=True)
    thread.start()
    return thread


def ask(server, image="slow:1"):
    """Status, Retry-After and seconds of one review more, which has to wait for something."""
    begun = time.monotonic()
    with closing(connect(server)) as connection:
        connection.request("POST", "/validate?timeout=30s", body(pod(image)), JSON)
        response = connection.getresponse()
        response.read()
    return response.status, response.headers["Retry-After"], time.monotonic() - begun


def test_reviews_that_never_end_fail_liveness_and_those_that_come_are_sent_away():
    with started(threads=2, stuck=5.0, drain=1) as server:
        once(server)
        for _ in range(2):
            later(server, "hang:1")  # with a deadline half a second away
        assert eventually(lambda: are_under_way(server, 2))
        status, retry, took = ask(server)
        assert (status, retry) == (503, "1")
        assert took < 8  # at half its deadline it would be fifteen
        assert ask(server, "app:1")[:2] == (200, None)  # it waits for nothing, so needs no place
        assert _status(f"{server.metrics}/healthz") == 200  # late, but not for long
        assert eventually(lambda: _status(f"{server.metrics}/healthz") == 503)
        assert server.stop()[0] == 0


def test_a_log_that_nobody_reads_fails_liveness():
    with started(reads=False, stuck=1.0, drain=1) as server:
        once(server)

        def fill():
            with closing(connect(server)) as connection:
                for _ in range(2000):
                    connection.request("POST", "/validate?timeout=1s", body(pod()), JSON)
                    connection.getresponse().read()

        filling = threading.Thread(target=fill)
        filling.start()
        assert eventually(lambda: _status(f"{server.metrics}/healthz") == 503)
        server.read()
        assert eventually(lambda: _status(f"{server.metrics}/healthz") == 200)
        filling.join()
        assert ask(server, "app:1")[0] == 200


def test_one_that_never_ends_beside_one_that_does_fails_nothing():
    with started(threads=2, stuck=0.1, drain=1) as server:
        later(server, "hang:1")
        time.sleep(1.5)
        assert ask(server)[0] == 200
        assert _status(f"{server.metrics}/healthz") == 200


def test_busy_is_healthy():
    with started(threads=2, stuck=0.1) as server:
        threads = [later(server, "slow:1", "10s") for _ in range(12)]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert _status(f"{server.metrics}/healthz") == 200
            time.sleep(0.1)
        for thread in threads:
            thread.join()


def test_a_short_burst_waits_its_turn():
    with started(threads=1, patience=5) as server:  # of which it takes an eighth of a second
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(server, "short:1")))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {status for status, _, _ in answers} == {200}


def test_a_place_is_free_again_whatever_happens():
    places = Places(1, time.monotonic)
    with pytest.raises(ZeroDivisionError), places.taken(Deadline.never()):
        raise ZeroDivisionError
    with (
        places.taken(Deadline.never()),
        pytest.raises(Busy, match="1 reviews are under way"),
        places.taken(Deadline.after(0.1, time.monotonic)),
    ):
        pass
    assert not places.stuck()
