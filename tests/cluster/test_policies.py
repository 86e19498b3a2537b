"""The status of policies: what it says, when it is written, and what is told besides."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from webhook.cluster.events import Events, Subject
from webhook.cluster.objects import ApiRefused
from webhook.cluster.policies import Held, PolicyStatus, keep, status_of
from webhook.judge.state import PolicyState

THEN, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
GOOD = PolicyState(name="p", document={"kind": "ImagePolicy"}, generation=1)
LAST = PolicyState(name="p", document={"kind": "ImagePolicy"}, generation=2, problems=("x: no",))
BAD = PolicyState(name="p", generation=1, problems=("x: no",))


class Recorded:
    """In the place of ``Objects``: what was asked for, and what is refused."""

    def __init__(self, refusals=()):
        self.patched, self.created, self.refusals = [], [], dict(refusals)

    def merge(self, path, document):
        name = path.split("/")[-2]
        self.patched.append((name, document["status"]))
        if name in self.refusals:
            raise ApiRefused(f"{name} refused", status=self.refusals[name])

    def create(self, path, document):
        self.created.append(document)


def writer(objects):
    events = Events(objects, "here", lambda _word, _text: None, lambda: NOW)
    return PolicyStatus(objects, events, lambda: NOW)


def condition(state, before=None, now=THEN):
    (one,) = status_of(state, before or {}, now)["conditions"]
    return one


@pytest.mark.parametrize(
    "state, ready, reason, text",
    [
        (GOOD, "True", "Compiled", "understood, and judging"),
        (LAST, "False", "BrokenLastGoodJudges", "its last good version goes on judging; x: no"),
        (BAD, "False", "Broken", "what it selects is unknown; x: no"),
    ],
)
def test_it_says_how_a_policy_stands(state, ready, reason, text):
    one = condition(state)
    assert (one["status"], one["reason"], one["message"]) == (ready, reason, text)
    assert one["observedGeneration"] == state.generation
    assert one["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_what_did_not_change_is_the_same():
    before = status_of(GOOD, {}, THEN)
    assert status_of(GOOD, before, NOW) == before


def test_the_time_is_of_the_last_change_of_ready_not_of_the_message():
    before = status_of(BAD, {}, THEN)
    assert condition(LAST, before, NOW)["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert condition(GOOD, before, NOW)["lastTransitionTime"] == "2026-01-02T00:00:00Z"


def test_a_message_is_no_longer_than_the_api_takes():
    many = PolicyState(name="p", problems=("x" * 1000,) * 100)
    assert len(condition(many)["message"]) == 4096


def test_it_is_written_once_and_again_when_something_changed():
    objects = Recorded()
    status = writer(objects)
    for _ in range(3):  # before the watch has brought what was written
        status.write({"p": Held(state=GOOD, uid="1", status={})})
    assert len(objects.patched) == 1
    stands = objects.patched[0][1]
    status.write({"p": Held(state=GOOD, uid="1", status=stands)})
    assert len(objects.patched) == 1
    status.write({"p": Held(state=GOOD, uid="1", status={})})  # somebody took it away
    assert len(objects.patched) == 2
    status.write({"p": Held(state=LAST, uid="1", status=stands)})
    assert len(objects.patched) == 3


def test_one_that_is_refused_is_in_no_others_way():
    objects = Recorded({"a": 422, "b": 404})
    every = {name: Held(state=GOOD, uid=name, status={}) for name in "abc"}
    with pytest.raises(ApiRefused, match="a refused"):
        writer(objects).write(every)
    assert [name for name, _ in objects.patched] == ["a", "b", "c"]


def test_a_server_that_is_away_is_not_asked_for_each():
    objects = Recorded({"a": 0})
    every = {name: Held(state=GOOD, uid=name, status={}) for name in "abc"}
    with pytest.raises(ApiRefused):
        writer(objects).write(every)
    assert [name for name, _ in objects.patched] == ["a"]


def test_a_broken_version_is_told_of_once_and_a_namesakes_too():
    objects = Recorded()
    status = writer(objects)
    status.write({"p": Held(state=BAD, uid="1", status={})})
    status.write({"p": Held(state=BAD, uid="1", status={"observedGeneration": 9})})
    assert len(objects.created) == 1
    status.write({"p": Held(state=BAD, uid="2", status={})})
    assert [one["involvedObject"]["uid"] for one in objects.created] == ["1", "2"]


def test_a_namesake_of_one_that_was_written_just_now_is_written_too():
    """Deleted and made anew before the watch brought what was written: nothing stands there."""
    objects = Recorded()
    status = writer(objects)
    for uid in "12":
        status.write({"p": Held(state=GOOD, uid=uid, status={})})
    assert len(objects.patched) == 2


def test_a_broken_version_is_told_of_though_its_status_is_refused():
    """422: it stands there from before the schema was what it is. Told once, tried again."""
    objects = Recorded({"p": 422})
    status = writer(objects)
    for _ in range(2):
        with pytest.raises(ApiRefused):
            status.write({"p": Held(state=BAD, uid="1", status={})})
    assert len(objects.patched) == 2
    assert len(objects.created) == 1


def test_while_the_server_is_away_no_event_is_taken_for_told():
    objects = Recorded({"p": 0})
    status = writer(objects)
    with pytest.raises(ApiRefused):
        status.write({"p": Held(state=BAD, uid="1", status={})})
    objects.refusals.clear()
    status.write({"p": Held(state=BAD, uid="1", status={})})
    assert len(objects.created) == 1


def test_an_event_has_a_name_that_the_api_takes():
    objects = Recorded()
    events = Events(objects, "here", lambda _word, _text: None, lambda: NOW)
    name = "a" * 199 + "." + "b" * 53
    events.warn(Subject(api_version="v1", kind="K", name=name, uid="1"), "Reason", "x" * 5000)
    (event,) = objects.created
    assert event["metadata"]["name"].startswith("a" * 199 + ".")
    assert ".." not in event["metadata"]["name"]
    assert len(event["metadata"]["name"]) <= 253
    assert len(event["message"]) == 1024


def item(uid, *, good):
    checks = {"nonRoot": {}} if good else {"nonRoot": 5}
    return {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": "p", "uid": uid, "generation": 1},
        "spec": {"action": "Enforce", "checks": checks},
    }


def test_the_last_good_version_is_kept_for_the_same_policy_only():
    first = keep(item("1", good=True), None)
    assert keep(item("1", good=False), first).state.document == first.state.document
    assert keep(item("2", good=False), first).state.document is None  # a namesake of one deleted
    remembered = Held(state=first.state, status={})  # by a controller before this one
    assert keep(item("2", good=False), remembered).state.document == first.state.document
