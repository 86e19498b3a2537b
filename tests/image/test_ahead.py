"""Items made by a thread of its own, a few ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from webhook.image.ahead import ahead


def test_the_same_items_in_the_same_order() -> None:
    with ahead(iter(range(1000)), depth=3) as items:
        assert list(items) == list(range(1000))


def test_they_are_made_elsewhere_and_never_more_than_a_few_ahead() -> None:
    made: list[int] = []
    threads = set()

    def making() -> Iterator[int]:
        for number in range(100):
            threads.add(threading.get_ident())
            made.append(number)
            yield number

    with ahead(making(), depth=3) as items:
        for number in items:
            time.sleep(0.001)
            assert len(made) <= number + 3 + 2

    assert made == list(range(100))
    assert threading.get_ident() not in threads


def test_the_error_comes_after_the_items_before_it() -> None:
    seen: list[int] = []

    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise TimeoutError

    with pytest.raises(TimeoutError), ahead(broken()) as items:
        seen.extend(items)

    assert seen == [1, 2]


def test_left_early_it_ends() -> None:
    made: list[threading.Thread] = []

    def endless() -> Iterator[int]:
        while True:
            made.append(threading.current_thread())
            yield 1

    with ahead(endless(), depth=3) as items:
        next(items)

    assert not made[0].is_alive()
    assert len(made) <= 1 + 3 + 1


def test_left_by_an_error_it_ends() -> None:
    begun: list[threading.Thread] = []

    def making() -> Iterator[int]:
        begun.append(threading.current_thread())
        yield from range(100)

    with pytest.raises(KeyError), ahead(making()):
        raise KeyError

    assert not any(thread.is_alive() for thread in begun)
