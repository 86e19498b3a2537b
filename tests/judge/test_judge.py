"""Findings under an action and an onUnknown."""

from __future__ import annotations

import pytest

from tests.judge.documents import policy
from webhook.checks.check import Finding
from webhook.judge.decision import Action, OnUnknown
from webhook.judge.judge import judge
from webhook.pod import Container, Workload

FAIL = Finding(check="noShell", result="fail", reason="shell", detail="")
UNKNOWN = Finding(check="image", result="unknown", reason="unreachable", detail="")
APP = Container(name="app", image="nginx")
POD = Workload(kind="Pod", name="", generate_name="web-", namespace="shop", containers=(APP,))
POLICY = policy("action: Enforce\nchecks: {noShell: {}}", name="prod")


def answer(findings, action, on_unknown):
    return judge(
        POLICY,
        POD,
        APP,
        action=action,
        on_unknown=on_unknown,
        digest="sha256:d",
        platform="linux/amd64",
        findings=findings,
        excepted=("nonRoot: OPS-1 (until 2027-01-01)",),
        unasked=("size",),
    )


@pytest.mark.parametrize(
    ("finding", "action", "on_unknown", "allowed", "warned"),
    [
        (FAIL, Action.ENFORCE, OnUnknown.ALLOW, False, False),
        (FAIL, Action.WARN, OnUnknown.WARN, True, True),
        (FAIL, Action.AUDIT, OnUnknown.ALLOW, True, False),
        (UNKNOWN, Action.ENFORCE, OnUnknown.DENY, False, False),
        (UNKNOWN, Action.ENFORCE, OnUnknown.WARN, True, True),
        (UNKNOWN, Action.ENFORCE, OnUnknown.ALLOW, True, False),
        (UNKNOWN, Action.WARN, OnUnknown.WARN, True, True),
        (UNKNOWN, Action.WARN, OnUnknown.ALLOW, True, False),
        (UNKNOWN, Action.WARN, OnUnknown.DENY, True, False),
        (UNKNOWN, Action.AUDIT, OnUnknown.DENY, True, False),
        (UNKNOWN, Action.AUDIT, OnUnknown.WARN, True, False),
    ],
)
def test_one_finding(finding, action, on_unknown, allowed, warned):
    """Enforce denies failures; the unknown is onUnknown's, and never more than the action."""
    judgement = answer((finding,), action, on_unknown)
    assert judgement.allowed == allowed
    assert judgement.warned == ((finding,) if warned else ())


def test_nothing_found():
    """A pass is a judgement too."""
    judgement = answer((), Action.ENFORCE, OnUnknown.DENY)
    assert judgement.allowed
    assert (judgement.workload, judgement.container, judgement.image, judgement.policy) == (
        "Pod/web-*",
        "app",
        "nginx",
        "prod",
    )
    assert judgement.excepted == ("nonRoot: OPS-1 (until 2027-01-01)",)
    assert judgement.unasked == ("size",)


def test_one_is_enough():
    """Among many, one denial denies; the others can still be warnings."""
    judgement = answer((FAIL, UNKNOWN), Action.ENFORCE, OnUnknown.WARN)
    assert not judgement.allowed
    assert judgement.warned == (UNKNOWN,)
