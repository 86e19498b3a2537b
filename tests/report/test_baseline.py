"""What was found before is accepted; what is new, or was unknown, is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.conftest import ROOT, SHELL, UNREACHABLE, judgement
from webhook.errors import UsageError
from webhook.judge.decision import Action, OnUnknown
from webhook.report import baseline
from webhook.report import json as json_report
from webhook.report.entry import Entry


def _baseline(*judgements):
    text = json_report.render([Entry(judgement=one) for one in judgements])
    return baseline.read(text.encode(), "baseline.json")


def _image(tag):
    name = f"registry.example/app:{tag}"
    return judgement(workload=f"Image/{name}", container="image", image=name)


def test_a_round_trip_accepts_everything(entries):
    """All failures of a run are accepted by its own output; unknown ones stay."""
    known = baseline.read(json_report.render(entries).encode(), "baseline.json")
    after = [baseline.accept(entry.judgement, OnUnknown.DENY, known) for entry in entries]

    assert {finding.result for one in after for finding in one.findings} == {"unknown"}
    assert [one.allowed for one in after] == [True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        pytest.param(judgement(findings=(SHELL,)), judgement(findings=(SHELL,)), (), id="same"),
        pytest.param(
            judgement(findings=(SHELL,)), judgement(findings=(SHELL, ROOT)), (ROOT,), id="new check"
        ),
        pytest.param(
            judgement(findings=(SHELL,)),
            judgement(findings=(replace(SHELL, path="/bin/bash"),)),
            (replace(SHELL, path="/bin/bash"),),
            id="new path",
        ),
        pytest.param(
            judgement(findings=(SHELL,)),
            judgement(digest=None, findings=(replace(SHELL, layer_digest=None, detail="other"),)),
            (),
            id="rebuilt",
        ),
        pytest.param(
            judgement(findings=(SHELL,)),
            judgement(policy="other", findings=(SHELL,)),
            (SHELL,),
            id="other policy",
        ),
        pytest.param(
            replace(_image(1), findings=(SHELL,)), replace(_image(2), findings=(SHELL,)), (),
            id="an image's next tag",
        ),
        pytest.param(
            judgement(findings=(UNREACHABLE,)),
            judgement(findings=(UNREACHABLE,)),
            (UNREACHABLE,),
            id="unknown is never accepted",
        ),
    ],
)  # fmt: skip
def test_accept(before, now, left):
    """A finding is known by workload, container, policy, check, reason and path."""
    after = baseline.accept(now, OnUnknown.DENY, _baseline(before))

    assert after.findings == left
    assert after.allowed is not bool(left)


@pytest.mark.parametrize("unasked", [(), ("noShell",)])
def test_an_image_that_cannot_be_read_is_not_accepted(unasked):
    """What is new may be in it; its other failures were seen, and are."""
    broken = replace(UNREACHABLE, result="fail", reason="malformed")
    known = _baseline(judgement(findings=(ROOT, broken)))

    after = baseline.accept(
        judgement(findings=(ROOT, broken), unasked=unasked), OnUnknown.DENY, known
    )

    assert after.findings == ((broken,) if unasked else ())
    assert after.allowed is not bool(unasked)


def test_warnings_go_with_their_findings():
    """What is accepted does not warn either."""
    warned = judgement(action=Action.WARN, findings=(SHELL, ROOT), warned=(SHELL, ROOT))

    after = baseline.accept(warned, OnUnknown.WARN, _baseline(judgement(findings=(SHELL,),
                            policy=warned.policy)))  # fmt: skip

    assert (after.findings, after.warned) == ((ROOT,), (ROOT,))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"decisions": [{}]}', b"\xff", b'{"decisions": 1}'], ids=repr
)
def test_no_baseline(text):
    """The error names the file."""
    with pytest.raises(UsageError, match=r"^old\.json is no output of slimgate check"):
        baseline.read(text, "old.json")
