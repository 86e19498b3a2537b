"""What a pod is judged by, from the snapshot and from the controller beside it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from webhook.cluster import state
from webhook.cluster.link import Answering, Reply
from webhook.cluster.state import NamespaceState, Snapshot
from webhook.errors import StateUnknown
from webhook.judge.state import PolicyState, observed
from webhook.limits import Deadline, WouldWait
from webhook.wiring.knowledge import InCluster

DEADLINE = Deadline.never()
TEAM = NamespaceState(name="team", labels={"a": "b"}, annotations={"c": "d"})


def held(name, **spec):
    """A policy that can be read."""
    spec = {"action": "Enforce", "checks": {"nonRoot": {}}, **spec}
    document = {"apiVersion": "slimgate.dev/v1alpha1", "kind": "ImagePolicy"}
    one = observed({**document, "metadata": {"name": name, "generation": 1}, "spec": spec}, None)
    assert not one.problems
    return one


def known(folder, *policies, seconds_ago=0.0, spaces=(TEAM,), platforms=("linux/arm64",)):
    snapshot = Snapshot(policies=policies, namespaces=tuple(spaces), platforms=platforms)
    state.write(folder, snapshot, seconds_ago)


def test_nothing_is_known_before_there_is_a_snapshot(tmp_path):
    knowledge = InCluster(tmp_path, max_stale=60)
    assert knowledge.missing() == "the cluster is not known yet"
    assert knowledge.age() == float("inf")
    for ask in (knowledge.policies, lambda: knowledge.at("team", DEADLINE)):
        with pytest.raises(StateUnknown, match="the cluster is not known yet"):
            ask()
    known(tmp_path, held("p"))
    assert knowledge.missing() is None
    assert [one.name for one in knowledge.policies()] == ["p"]
    assert knowledge.at("team", DEADLINE).platforms == frozenset({"linux/arm64"})


def test_what_is_too_old_is_unknown_until_the_server_is_heard_of_again(tmp_path):
    knowledge = InCluster(tmp_path, max_stale=60)
    known(tmp_path, held("p"), seconds_ago=50)
    assert len(knowledge.policies()) == 1
    state.heard(tmp_path, 70)
    for ask in (knowledge.policies, lambda: knowledge.at("team", DEADLINE)):
        with pytest.raises(StateUnknown, match=r"has not heard of the API server for 7\d s"):
            ask()
    assert knowledge.missing() is None  # all replicas would go at once
    state.heard(tmp_path, 0)
    assert len(knowledge.policies()) == 1


def test_a_policy_is_compiled_once_and_again_when_it_changes(tmp_path):
    knowledge = InCluster(tmp_path, max_stale=60)
    known(tmp_path, held("a"), held("b"))
    first = knowledge.policies()
    assert all(x is y for x, y in zip(first, knowledge.policies(), strict=True))
    known(tmp_path, held("a"), held("b", action="Warn"), held("c"))
    second = knowledge.policies()
    assert [one.name for one in second] == ["a", "b", "c"]
    assert second[0] is first[0]
    assert second[1] is not first[1]
    known(tmp_path, held("c"))
    assert [one.name for one in knowledge.policies()] == ["c"]
    assert knowledge.policies()[0] is second[2]


def test_threads_that_ask_at_once_get_the_same_policies(tmp_path):
    knowledge = InCluster(tmp_path, max_stale=60)
    for number in range(5):
        known(tmp_path, *(held(f"p{number}-{n}") for n in range(20)))
        gate = threading.Barrier(8)

        def ask(_number, gate=gate):
            gate.wait()
            return [id(one) for one in knowledge.policies()]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
        assert all(one == answers[0] for one in answers)


def test_a_policy_that_cannot_be_read_is_there_all_the_same(tmp_path):
    known(tmp_path, PolicyState(name="bad", problems=("spec: no",), action="Enforce"))
    (policy,) = InCluster(tmp_path, max_stale=60).policies()
    assert policy.name == "bad"


def test_a_namespace_is_as_the_snapshot_has_it(tmp_path):
    known(tmp_path)
    found = InCluster(tmp_path, max_stale=60).at("team", DEADLINE).namespace
    labels = {"a": "b", "kubernetes.io/metadata.name": "team"}
    assert found.labels == labels
    metadata = {"name": "team", "labels": labels, "annotations": {"c": "d"}}
    assert found.document == {"metadata": metadata}


def test_a_namespace_cannot_name_itself_otherwise(tmp_path):
    lying = NamespaceState(name="team", labels={"kubernetes.io/metadata.name": "kube-system"})
    known(tmp_path, spaces=[lying])
    found = InCluster(tmp_path, max_stale=60).at("team", DEADLINE).namespace
    assert found.labels["kubernetes.io/metadata.name"] == "team"


def test_one_that_is_not_in_the_snapshot_is_read_live(tmp_path):
    known(tmp_path, spaces=[])
    knowledge = InCluster(tmp_path, max_stale=60)
    link = Answering(tmp_path, lambda question: _spaces(question.namespace))
    try:
        assert knowledge.at("team", DEADLINE).namespace.labels["a"] == "b"
        with pytest.raises(StateUnknown, match="namespace gone could not be read: there is no"):
            knowledge.at("gone", DEADLINE)
        with pytest.raises(StateUnknown, match="namespace hidden could not be read: 403"):
            knowledge.at("hidden", DEADLINE)
    finally:
        link.close()
    with pytest.raises(StateUnknown, match="the controller cannot be asked"):
        knowledge.at("team", DEADLINE)


def _spaces(name):
    if name == "hidden":
        return Reply(error="403 no")
    return Reply(namespace=TEAM if name == "team" else None)


def test_one_that_is_in_the_snapshot_is_not_asked_for(tmp_path):
    known(tmp_path)
    link = Answering(tmp_path, lambda _: Reply(error="nobody asks"))
    try:
        assert InCluster(tmp_path, max_stale=60).at("team", DEADLINE).namespace.name == "team"
    finally:
        link.close()


def test_nobody_is_asked_where_nothing_may_be_waited_for(tmp_path):
    known(tmp_path)
    knowledge = InCluster(tmp_path, max_stale=60)
    at_once = Deadline(time.monotonic() + 60, time.monotonic, patient=False)
    assert knowledge.at("team", at_once).namespace.name == "team"
    with pytest.raises(WouldWait):
        knowledge.at("gone", at_once)


def test_all_is_of_one_snapshot(tmp_path):
    """Else a namespace labelled for a new policy may meet the policies from before it."""
    knowledge = InCluster(tmp_path, max_stale=60)
    over = threading.Event()

    def change():
        for number in range(10_000):
            if over.is_set():
                return
            label = NamespaceState(name="team", labels={"policy": f"p{number % 2}"})
            known(tmp_path, held(f"p{number % 2}"), spaces=[label])

    known(tmp_path, held("p0"), spaces=[NamespaceState(name="team", labels={"policy": "p0"})])
    thread = threading.Thread(target=change)
    thread.start()
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = knowledge.at("team", DEADLINE)
            assert [one.name for one in found.policies] == [found.namespace.labels["policy"]]
    finally:
        over.set()
        thread.join()
