"""The in-memory store forgets by weight and by age, and nothing else."""

from __future__ import annotations

from webhook.store.memory import Memory


def memory(**options):
    now = [0.0]
    return Memory(clock=lambda: now[0], **options), now


def test_what_was_put_is_found():
    store, _ = memory(capacity=2)
    store.put("a", 1)

    assert store.get("a") == 1
    assert store.get("b") is None


def test_the_least_recently_used_goes_first():
    store, _ = memory(capacity=2)
    store.put("a", 1)
    store.put("b", 2)
    store.get("a")
    store.put("c", 3)

    assert [store.get(key) for key in "abc"] == [1, None, 3]


def test_weight_counts_and_a_replaced_value_weighs_once():
    store, _ = memory(capacity=10, weigh=len)
    store.put("a", "x" * 6)
    store.put("a", "x" * 4)
    store.put("b", "x" * 6)

    assert (store.get("a"), store.get("b")) == ("xxxx", "xxxxxx")


def test_keys_weigh_too():
    store, _ = memory(capacity=10, weigh_key=len)
    store.put("a" * 5, 1)
    store.put("b" * 4, 2)
    assert (store.get("a" * 5), store.get("b" * 4)) == (None, 2)  # 6 and 5


def test_a_value_heavier_than_the_store_is_not_kept_and_displaces_nothing():
    store, _ = memory(capacity=3, weigh=len)
    store.put("a", "xx")
    store.put("b", "xxxx")

    assert (store.get("a"), store.get("b")) == ("xx", None)


def test_old_values_are_gone():
    store, now = memory(capacity=2, seconds=5)
    store.put("a", 1)
    now[0] = 4.9
    assert store.get("a") == 1

    now[0] = 5.0
    assert store.get("a") is None
    assert len(store) == 0


def test_a_value_is_ageing_in_the_last_fifth_of_its_time():
    store, now = memory(capacity=2, seconds=5)
    store.put("a", 1)
    now[0] = 4.0
    assert not store.ageing("a")
    now[0] = 4.1
    assert store.ageing("a")
    assert not store.ageing("b")

    lasting, _ = memory(capacity=2)
    lasting.put("a", 1)
    assert not lasting.ageing("a")


def test_what_nobody_asks_for_again_takes_no_room_when_it_is_old():
    store, now = memory(capacity=100, seconds=5)
    for key in range(50):
        store.put(key, key)
    now[0] = 4.0
    assert store.get(0) == 0
    store.put("young", 1)
    now[0] = 5.0
    store.put("new", 1)

    assert len(store) == 2
