"""The shared server: spoken to by TLS and a password, killed, stopped, full; never believed."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import trustme
from redis import Redis

from tests.cluster.support.processes import closed_port
from tests.store.conftest import Watched, tiered, valkey
from tests.support.valkey import kill, server
from webhook.limits import MIB, Deadline
from webhook.store import valkey as module

MAY = ("+getrange", "+expire", "+set", "+get", "+del", "+incrby", "+pexpire", "+eval", "+multi",
       "+exec")  # fmt: skip
"""As docs/operations.md has it."""


@pytest.fixture
def started(tmp_path):
    services = []

    def start(*options, **how):
        service, port = server(tmp_path, *options, **how)
        service.start()
        services.append(service)
        return service, port

    yield start
    for service in services:
        service.stop()


@pytest.fixture
def spoken_to(watch):
    made = []

    def shelf(port, **options):
        made.append(valkey(port, options.pop("watch", watch), **options))
        return made[-1]

    yield shelf
    for each in made:
        each.close()


def soon(seconds: float = 20) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def took(call):
    """Seconds, and what came of it."""
    begun = time.monotonic()
    result = call()
    return time.monotonic() - begun, result


def test_a_server_that_is_killed_is_a_miss_and_known_again_when_it_is_back(
    started, spoken_to, watch
):
    service, port = started()
    now = [0.0]
    shelf = spoken_to(port, clock=lambda: now[0])
    store = tiered(shelf, watch)
    store.put("a", 1)
    kill(service)

    other = tiered(shelf, watch)
    with other.turn("a", "me", soon()) as keep:
        assert other.recall("a") is None
        keep(1)
    assert other.get("a") == 1
    assert watch.troubles == {"unreachable": 1}

    service.start()
    now[0] = 5.1
    other.put("b", 2)
    assert tiered(shelf, watch).recall("b") == 2
    assert watch.troubles == {"unreachable": 1}


def test_a_server_that_was_started_anew_meanwhile_is_not_missed(started, spoken_to, watch):
    service, port = started()
    shelf = spoken_to(port)
    shelf.put("facts/a", b"a")
    kill(service)
    service.start()

    shelf.put("facts/b", b"b")
    assert shelf.get("facts/b") == b"b"
    assert not watch.troubles


def test_where_nobody_listens_nothing_is_waited_for(spoken_to, watch):
    with closed_port() as port:
        store = tiered(spoken_to(port, clock=lambda: 0.0), watch)

        def reviews():
            for number in range(100):
                with store.turn(f"{number}", "me", soon()) as keep:
                    assert store.recall(f"{number}") is None
                    keep(number)

        seconds, _ = took(reviews)
    assert seconds < 5  # a tenth of a second each would be ten
    assert watch.troubles == {"unreachable": 1}


def test_a_server_that_hangs_is_asked_once_and_then_left_alone(started, spoken_to, watch):
    """It costs what one answer may take: it is not connected to once more, either."""
    service, port = started()
    shelf = spoken_to(port, clock=lambda: 0.0, timeout=0.5)
    shelf.put("facts/a", b"a")
    with Redis(port=port) as admin:
        before = admin.info("stats")["total_connections_received"]
        service.process.send_signal(signal.SIGSTOP)
        try:
            seconds, _ = took(lambda: [shelf.get("facts/a") for _ in range(1000)])
            assert seconds < 20  # half a second each would be five hundred
            assert watch.troubles == {"unreachable": 1}
        finally:
            service.process.send_signal(signal.SIGCONT)
        admin.ping()  # by the next command it has seen whoever came meanwhile
        assert admin.info("stats")["total_connections_received"] == before
    assert shelf.get("facts/a") is None  # the clock stands still


def test_who_held_a_claim_when_the_server_died_is_not_waited_for(started, spoken_to, watch):
    service, port = started()
    first, second = (tiered(spoken_to(port), watch) for _ in range(2))
    with first.turn("a", "place", soon()):
        begun = time.monotonic()
        threading.Timer(0.3, kill, (service,)).start()
        with second.turn("a", "place", soon()):
            assert 0.2 < time.monotonic() - begun < 5  # where one is waited for for ten


def test_a_server_that_is_full_keeps_what_it_has(started, spoken_to, watch):
    _, port = started("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    shelf = spoken_to(port)
    for number in range(40):
        shelf.put(f"facts/{number}", bytes(100_000))

    assert shelf.get("facts/0") == bytes(100_000)
    assert shelf.get("facts/39") is None
    assert set(watch.troubles) == {"refused"}


def test_a_server_bounds_itself_with_the_policy_that_we_tell_people(started, spoken_to, watch):
    _, port = started("--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
    shelf = spoken_to(port)
    for number in range(100):
        shelf.put(f"facts/{number}", bytes(100_000))

    assert shelf.get("facts/99") == bytes(100_000)
    assert not watch.troubles


def test_a_replica_that_may_only_read_still_serves(started, spoken_to, watch):
    _, port = started()
    shelf = spoken_to(port)
    shelf.put("facts/a", b"a")
    with Redis(port=port) as admin:
        admin.config_set("min-replicas-to-write", 1)

    shelf.put("facts/b", b"b")
    assert shelf.claim("claims/1", "me", 10)
    assert watch.troubles == {"refused": 2}
    assert shelf.get("facts/a") == b"a"
    assert watch.troubles == {"refused": 2}


def test_the_password_has_to_be_right(started, spoken_to):
    _, port = started("--requirepass", "secret")
    right, wrong, none = Watched(), Watched(), Watched()
    spoken_to(port, watch=right, password="secret").put("facts/a", b"a")

    assert spoken_to(port, watch=right, password="secret").get("facts/a") == b"a"
    assert spoken_to(port, watch=wrong, password="guess").get("facts/a") is None
    assert spoken_to(port, watch=none).get("facts/a") is None
    assert not right.troubles
    assert set(wrong.troubles) == set(none.troubles) == {"refused"}
    assert not any("guess" in detail for detail in wrong.details)


def test_a_user_of_its_own(started, spoken_to, watch):
    _, port = started("--user", "slimgate", "on", ">secret", "~slimgate:*", *MAY)
    shelf = spoken_to(port, username="slimgate", password="secret")
    assert shelf.claim("claims/1", "me", 5)
    shelf.renew("claims/1", "me", 5)
    shelf.release("claims/1", "me")
    assert not watch.details
    with tiered(shelf, watch).turn("a", "me", soon()) as keep:
        keep(1)
    store = tiered(shelf, watch)
    assert store.recall("a") == 1
    store.forget("a")
    assert not watch.details
    assert store.recall("a") is None
    assert not watch.troubles


def test_over_tls_it_is_the_server_whose_authority_was_named(started, spoken_to, tmp_path):
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    _, port = started(
        "--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem"),
        "--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no", tls=True,
    )  # fmt: skip
    good, bad = Watched(), Watched()
    shelf = spoken_to(port, watch=good, tls=True, ca_file=tmp_path / "ca.pem")
    shelf.put("facts/a", b"a")

    assert shelf.get("facts/a") == b"a"
    assert not good.troubles
    stranger = spoken_to(port, watch=bad, tls=True, ca_file=tmp_path / "other.pem")
    assert stranger.get("facts/a") is None
    assert spoken_to(port, watch=bad, tls=True).get("facts/a") is None
    assert spoken_to(port, watch=bad).get("facts/a") is None
    assert bad.troubles == {"unreachable": 3}


def test_what_somebody_put_there_is_not_taken_whole(started, spoken_to, watch):
    _, port = started()
    with Redis(port=port) as attacker:
        attacker.set("slimgate:facts/a", bytes(64 * MIB))
    shelf = spoken_to(port)

    found = shelf.get("facts/a")
    assert found is not None
    assert len(found) <= module._MOST + 1


@pytest.mark.parametrize("value", [("hset", "x", "y"), ("set", "no number")])
def test_keys_of_another_kind_are_a_miss(started, spoken_to, watch, value):
    _, port = started()
    store = tiered(spoken_to(port), watch)
    command, *rest = value
    with Redis(port=port) as attacker:
        for name in (store._place.path("a"), "generations/facts"):
            getattr(attacker, command)(f"slimgate:{name}", *rest)

    with store.turn("a", "me", soon()) as keep:
        assert store.recall("a") is None
        keep(1)
    assert store.get("a") == 1


def test_old_entries_go_by_themselves(started, spoken_to):
    _, port = started()
    shelf = spoken_to(port)
    shelf.put("facts/a", b"a")
    with Redis(port=port) as admin:
        assert 0 < admin.ttl("slimgate:facts/a") <= module._DAYS
        admin.expire("slimgate:facts/a", 60)
        assert shelf.get("facts/a") == b"a"
        assert admin.ttl("slimgate:facts/a") > 60


def test_a_secret_is_not_shown():
    assert "secret" not in repr(module.Server(host="a", password="secret", timeout=1.0))
