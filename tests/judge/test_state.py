"""Policies of a cluster: the last good version judges, and a broken one never disappears."""

from __future__ import annotations

import msgspec
import pytest

from webhook.judge.decision import Action, OnUnknown
from webhook.judge.policy import Namespace
from webhook.judge.state import PolicyState, observed, policy_of

PROD = Namespace(name="prod", labels={"env": "prod"})
DEV = Namespace(name="dev", labels={"env": "dev"})
SELECTOR = {"matchLabels": {"env": "prod"}}


def sent(generation=1, **spec):
    """An ImagePolicy as the API server sends it."""
    return {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {
            "name": "team",
            "uid": "1",
            "generation": generation,
            "managedFields": [{"fieldsV1": {"f:spec": {"f:action": {}}}}],
        },
        "spec": {
            "action": "Enforce",
            "namespaceSelector": SELECTOR,
            "checks": {"nonRoot": {}},
            **spec,
        },
        "status": {"observedGeneration": 1, "conditions": []},
    }


def test_a_good_one_is_its_own_document():
    """Without what others keep in it: that would only make snapshots larger."""
    state = observed(sent(3), None)
    assert (state.name, state.generation, state.problems) == ("team", 3, ())
    assert (state.selector, state.action) == (SELECTOR, "Enforce")
    assert state.document is not None
    assert set(state.document) == {"apiVersion", "kind", "metadata", "spec"}
    assert state.document["metadata"] == {"name": "team"}
    one = policy_of(state)
    assert ([check.name for check, _ in one.checks], one.broken) == (["nonRoot"], ())


def test_a_broken_one_is_judged_by_its_last_good_version():
    """Its problems, generation, selector and action are the newest's."""
    good = observed(sent(1), None)
    bad = observed(
        sent(2, action="Warn", namespaceSelector={}, checks={"noShel": {}, "noShell": None}), good
    )
    assert bad.document == good.document
    assert bad.problems == (
        "spec.checks.noShel: is no field (did you mean noShell?)",
        "spec.checks.noShell: is null: write {} to switch it on, or remove the key",
    )
    assert (bad.generation, bad.selector, bad.action) == (2, {}, "Warn")
    assert policy_of(bad) == policy_of(good)
    assert observed(sent(3), bad).problems == ()


@pytest.mark.parametrize(
    ("spec", "action", "on_unknown", "dev"),
    [
        pytest.param({}, "Enforce", "Deny", False, id="Enforce"),
        pytest.param({"action": "Warn"}, "Warn", "Warn", False, id="Warn"),
        pytest.param({"action": "Audit"}, "Audit", "Allow", False, id="Audit"),
        pytest.param({"action": "enforce"}, "Enforce", "Deny", False, id="no action"),
        pytest.param({"namespaceSelector": None}, "Enforce", "Deny", True, id="every namespace"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"a": 1}}},
            "Enforce",
            "Deny",
            True,
            id="no selector",
        ),
        pytest.param(
            {"namespaceSelector": ["env"]}, "Enforce", "Deny", True, id="no selector at all"
        ),
    ],
)
def test_without_a_good_version_what_it_selects_is_unknown(spec, action, on_unknown, dev):
    """What cannot be read of the newest version is taken for its strictest meaning."""
    one = policy_of(observed(sent(checks={"x": {}}, **spec), None))
    assert "spec.checks.x: is no field" in " ".join(one.broken)
    assert (one.action, one.on_unknown) == (Action(action), OnUnknown(on_unknown))
    assert (one.selects(PROD), one.selects(DEV)) == (True, dev)


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": {"name": "team"}},
        {"metadata": [], "spec": "x"},
        {**sent(), "spec": None},
        {**sent(), "apiVersion": "slimgate.dev/v2"},
        sent(rules=[{"name": "r", "expression": "image.x ==", "message": "m"}]),
        sent(rules=[{"name": "r", "expression": "true", "message": "m"}] * 2),
        sent(images={"include": [["a"] * 60_000]}),
    ],
)
def test_whatever_is_sent_is_told(obj):
    """Never an exception, never nothing: a policy with problems and no document."""
    state = observed(obj, None)
    assert state.problems
    assert state.document is None
    assert policy_of(state).broken == state.problems


def test_too_deep():
    """An object may nest as deep as a file may."""
    deep: dict = {}
    for _ in range(40):
        deep = {"a": deep}
    assert observed(sent(checks=deep), None).problems == ("is nested deeper than 32",)


def test_crosses_as_json():
    """The struct is one side of a snapshot file; the other reads the same."""
    state = observed(sent(2, checks={"size": {"layer": "1Mi"}}), None)
    again = msgspec.json.decode(msgspec.json.encode(state), type=PolicyState)
    assert again == state
    assert policy_of(again) == policy_of(state)


def test_a_document_of_another_version_is_told_too():
    """What an older slimgate took and this one does not, is broken, not gone."""
    state = PolicyState(name="team", document={"kind": "ImagePolicy"}, action="Warn")
    one = policy_of(state)
    assert one.broken[0].startswith("apiVersion: is missing")
    assert one.action is Action.WARN
