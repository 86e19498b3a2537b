"""A host that cannot be reached is left alone for a while, and it alone."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.cluster.support.processes import free_port
from tests.registry.conftest import soon
from tests.support.registry import Registry
from webhook.errors import Blocked, DnsError, ImageError, ServerError, Unreachable
from webhook.registry import breaker
from webhook.registry.breaker import FAILURES, SECONDS, Breaker
from webhook.registry.messages import Request
from webhook.registry.transport import HostSettings

HOST = ("registry.test", 443)


@pytest.fixture
def clock():
    return [0.0]


def attempt(one, error=None, host=HOST):
    """Whether a connection was tried at all."""
    tried = []
    with suppress(ImageError), one.connecting(host):
        tried.append(host)
        if error is not None:
            raise error
    return bool(tried)


def broken(clock, error):
    one = Breaker(lambda: clock[0])
    assert all(attempt(one, error) for _ in range(FAILURES))
    return one


@pytest.mark.parametrize("error", [Unreachable("it is off"), DnsError("no such name")])
def test_after_some_failures_in_a_row_it_is_told_what_happened(clock, error):
    one = broken(clock, error)
    clock[0] += 2
    told = rf"{error.detail} \(it is tried again in 3 s\)"
    with pytest.raises(type(error), match=told), one.connecting(HOST):
        pytest.fail("it was tried")


def test_others_are_tried_all_the_same(clock):
    one = broken(clock, Unreachable("it is off"))
    assert not attempt(one)
    assert attempt(one, host=("registry.test", 5000))
    assert attempt(one, host=("other.test", 443))


def test_one_tries_again_and_its_success_is_everybodys(clock):
    one = broken(clock, Unreachable("it is off"))
    clock[0] += SECONDS
    with one.connecting(HOST):
        assert not attempt(one), "one tries, the others do not wait with it"
    assert attempt(one)


def test_one_tries_again_and_its_failure_is_everybodys(clock):
    one = broken(clock, Unreachable("it is off"))
    clock[0] += SECONDS
    assert attempt(one, Unreachable("it is off"))
    assert not attempt(one)


def test_failures_that_are_not_in_a_row_are_none(clock):
    one = Breaker(lambda: clock[0])
    for _ in range(FAILURES * 2):
        attempt(one, Unreachable("it is off"))
        assert attempt(one)


@pytest.mark.parametrize("error", [Blocked("not there"), ServerError("odd")])
def test_what_is_not_about_reaching_it_does_not_count(clock, error):
    one = Breaker(lambda: clock[0])
    assert all(attempt(one, error) for _ in range(FAILURES + 1))


def test_made_up_names_do_not_fill_memory(clock):
    one = Breaker(lambda: clock[0])
    for number in range(breaker._REMEMBERED + 10):
        attempt(one, DnsError("no such name"), host=(f"host{number}.test", 443))
    assert len(one._broken) == breaker._REMEMBERED


def test_a_registry_that_is_off_is_dialled_a_few_times_and_found_when_it_is_back(transport, clock):
    resolved = []

    def resolve(host):
        resolved.append(host)
        return ["127.0.0.1"]

    here = transport(
        resolve=resolve,
        default=HostSettings(plain_http=True),
        clock=lambda: clock[0],
    )
    port = free_port()
    with Registry(port=port):
        request = Request(url=f"http://registry.test:{port}/v2/", what="registry.test/app:1")
        with here.send(request, soon()) as response:
            assert response.status == 200
            response.read(100)
    here.close()
    resolved.clear()
    for _ in range(10):
        with pytest.raises(Unreachable, match="refuses connections"):
            here.send(request, soon())
    assert len(resolved) == FAILURES

    with Registry(port=port):
        with pytest.raises(Unreachable, match="tried again in 5 s"):
            here.send(request, soon())
        clock[0] += SECONDS
        for _ in range(3):
            with here.send(request, soon()) as response:
                assert response.status == 200
