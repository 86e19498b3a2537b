"""What is answered: to a decision, to a mistake of the client, to one of ours."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.server.judges import SHELL, body, by_name, deployment, pod
from webhook.errors import Busy, ReviewError, StateUnknown
from webhook.judge.decision import Action, Decision, Judgement
from webhook.limits import Deadline, WouldWait
from webhook.review.answer import MAX_ANNOTATION, MAX_WARNING, MAX_WARNINGS, Outcome, answer


class Recorded(list):
    """A recorder that is a list."""

    def reviewed(self, review):
        self.append(review)


def ask(document, judge=by_name, *, audit_only=False, **request):
    """The response, and what was recorded."""
    recorder = Recorded()
    sent = body(document, **request)
    given = answer(sent, judge, deadline=Deadline.never(), recorder=recorder, audit_only=audit_only)
    review = json.loads(given)
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = review["response"]
    assert response["uid"] == json.loads(sent)["request"]["uid"]
    assert set(response) <= {"uid", "allowed", "status", "warnings", "auditAnnotations"}
    [recorded] = recorder
    assert recorded.allowed is response["allowed"]
    assert response["auditAnnotations"]["decision"] == recorded.outcome
    return response, recorded


def decided(*judgements, audit_only=False):
    """A judge that has made up its mind."""
    decision = Decision(judgements=judgements, audit_only=audit_only)
    return lambda workload, deadline: decision


JUDGEMENT = Judgement(
    workload="Pod/web",
    container="app",
    image="app:1",
    digest="sha256:" + "cd" * 32,
    platform="linux/amd64",
    policy="distroless",
    action=Action.ENFORCE,
    allowed=True,
)


def test_allowed():
    response, recorded = ask(pod())
    assert response["allowed"]
    assert "status" not in response
    assert "warnings" not in response
    assert recorded.outcome is Outcome.ALLOW
    assert response["auditAnnotations"] == {
        "decision": "allow",
        "policies": "distroless",
        "images": "app:1@sha256:" + "cd" * 32,
        "advisory": "judged by a tag, which can be moved: app:1",
    }


def test_a_digest_is_no_advice():
    response, _ = ask(pod("app@sha256:" + "cd" * 32))
    assert "advisory" not in response["auditAnnotations"]


def test_denied():
    response, _ = ask(pod("bad:1"))
    assert not response["allowed"]
    assert (response["status"]["code"], response["status"]["reason"]) == (403, "Forbidden")
    assert "policy distroless denies Pod/web: 1 problem" in response["status"]["message"]
    assert "warnings" not in response
    assert response["auditAnnotations"]["violations"] == (
        "distroless: container app: noShell: /bin/sh is a shell"
    )


def test_warned():
    response, recorded = ask(pod("old:1"))
    assert response["allowed"]
    assert recorded.outcome is Outcome.WARN
    assert response["warnings"] == [
        "distroless: container app: noShell: /bin/sh is a shell; build FROM a distroless base"
    ]


def test_no_warnings_beside_a_denial():
    both = dataclasses.replace(JUDGEMENT, findings=(SHELL,), warned=(SHELL,))
    denying = dataclasses.replace(JUDGEMENT, findings=(SHELL,), allowed=False)
    response, _ = ask(pod(), decided(both, denying))
    assert "warnings" not in response


def test_audited():
    unknown = dataclasses.replace(SHELL, result="unknown", reason="dns", detail="no such host")
    judge = decided(
        dataclasses.replace(
            JUDGEMENT, findings=(SHELL, unknown), excepted=("size: OPS-1 (until 2027-01-31)",)
        )
    )
    response, recorded = ask(pod(), judge)
    assert recorded.outcome is Outcome.AUDIT
    assert "warnings" not in response
    found = response["auditAnnotations"]
    assert found["violations"] == "distroless: container app: noShell: /bin/sh is a shell"
    assert found["unknown"] == (
        "distroless: container app: noShell: could not be found out (dns): no such host"
    )
    assert found["exempt"] == "size: OPS-1 (until 2027-01-31)"


def test_audit_only_never_denies():
    denying = dataclasses.replace(JUDGEMENT, findings=(SHELL,), allowed=False)
    response, recorded = ask(pod(), decided(denying, audit_only=True), audit_only=True)
    assert response["allowed"]
    assert recorded.outcome is Outcome.WOULD_DENY
    assert response["auditAnnotations"]["would-deny"] == "distroless"


def test_skipped():
    response, recorded = ask(None, operation="DELETE", oldObject=pod("bad:1"))
    assert response["allowed"]
    assert recorded.outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("document", "audit_only", "code"),
    [
        pytest.param(pod("bug:1"), False, 500, id="a pod, a bug"),
        pytest.param(pod("bug:1"), True, None, id="a pod, a bug, audit-only"),
        pytest.param(deployment("bug:1"), False, None, id="a template, a bug"),
        pytest.param(pod(containers=7), False, 400, id="a pod of wrong types"),
        pytest.param(pod(containers=7), True, None, id="a pod of wrong types, audit-only"),
        pytest.param(deployment(7), False, None, id="a template of wrong types"),
    ],
)
def test_what_goes_wrong_is_answered_and_recorded(document, audit_only, code):
    response, recorded = ask(document, audit_only=audit_only)
    assert response["allowed"] is (code is None)
    assert response.get("status", {}).get("code") == code
    assert response["auditAnnotations"]["error"]
    assert "s3cret" not in json.dumps(response)
    assert recorded.error is not None


def test_a_bug_is_recorded_whole():
    _, recorded = ask(pod("bug:1"))
    assert isinstance(recorded.error, ZeroDivisionError)
    assert recorded.error.__traceback__ is not None


def test_busy_is_for_the_caller():
    def busy(workload, deadline):
        raise Busy("8 reviews wait")

    with pytest.raises(Busy):
        ask(pod(), busy)


def test_what_would_wait_and_must_not_is_for_the_caller_and_not_recorded():
    recorder = Recorded()
    at_once = Deadline(1.0, lambda: 0.0, patient=False)
    with pytest.raises(WouldWait):
        answer(body(pod("slow:1")), by_name, deadline=at_once, recorder=recorder)
    assert recorder == []
    assert answer(body(pod("app:1")), by_name, deadline=at_once, recorder=recorder)
    assert len(recorder) == 1


def test_no_review_is_for_the_caller():
    recorder = Recorded()
    with pytest.raises(ReviewError):
        answer(b"{}", by_name, deadline=Deadline.never(), recorder=recorder)
    assert recorder == []


def test_the_deadline_and_its_clock_are_handed_on():
    times = iter([100.0, 100.5, 101.5])
    seen = []

    def judge(workload, deadline):
        seen.append(deadline)
        return Decision(judgements=())

    recorder = Recorded()
    deadline = Deadline(110.0, lambda: next(times))
    answer(body(pod()), judge, deadline=deadline, recorder=recorder)
    assert seen == [deadline]
    assert recorder[0].seconds == 0.5


HOSTILE = "a\n\tb\x1b[31m\u202e\ud800 \x00" + "x" * 5_000


def test_hostile_text_is_cleaned_and_cut_in_warnings_and_annotations():
    finding = dataclasses.replace(SHELL, detail=HOSTILE, remedy=HOSTILE)
    judge = decided(
        dataclasses.replace(
            JUDGEMENT, image=HOSTILE, findings=(finding,), warned=(finding,), excepted=(HOSTILE,)
        )
    )
    response, _ = ask(pod(), judge)
    [warning] = response["warnings"]
    texts = [warning, *response["auditAnnotations"].values()]
    assert all(text.isprintable() for text in texts)
    assert len(warning) <= MAX_WARNING
    assert all(len(text) <= MAX_ANNOTATION for text in texts)


def test_warnings_are_told_once_and_fit_together():
    findings = tuple(dataclasses.replace(SHELL, detail=f"{n} {'x' * 200}") for n in range(100))
    judged = dataclasses.replace(JUDGEMENT, findings=findings, warned=findings)
    twice = dataclasses.replace(judged, platform="linux/arm64")
    warnings = ask(pod(), decided(judged, twice))[0]["warnings"]
    assert sum(map(len, warnings)) <= MAX_WARNINGS
    assert len(set(warnings)) == len(warnings) > 10
    assert warnings[-1] == f"slimgate: and {100 - len(warnings) + 1} more warnings"


def broken_glass(by):
    """As ``by_name``, with enforcement switched off."""
    return lambda workload, deadline: dataclasses.replace(
        by_name(workload, deadline), break_glass=by
    )


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("namespace", "slimgate break-glass is on for namespace prod: nothing is enforced"),
        ("release", "slimgate break-glass is on: nothing is enforced"),
    ],
)
def test_break_glass_lets_in_what_would_be_denied_and_never_in_silence(by, told):
    response, recorded = ask(pod("bad:1"), broken_glass(by))
    assert response["allowed"]
    assert "status" not in response
    assert response["warnings"] == [told]
    assert recorded.outcome is Outcome.WOULD_DENY
    annotations = response["auditAnnotations"]
    assert (annotations["break-glass"], annotations["would-deny"]) == (by, "distroless")
    assert "noShell" in annotations["violations"]


def test_break_glass_is_told_of_where_nothing_was_found_and_first():
    response, recorded = ask(pod(), broken_glass("namespace"), namespace="n" * 63)
    assert recorded.outcome is Outcome.ALLOW
    [warning] = response["warnings"]
    assert len(warning) <= 120
    response, _ = ask(pod("old:1"), broken_glass("release"))
    assert [w.split(":")[0] for w in response["warnings"]] == [
        "slimgate break-glass is on",
        "distroless",
    ]


def test_without_break_glass_there_is_no_word_of_it():
    response, _ = ask(pod("old:1"))
    assert "break-glass" not in json.dumps(response)


NONCE = "0123456789abcdef"


def probe(nonce=NONCE, kind="PodTemplate", **request):
    """A dry run as the controller sends it."""
    document = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "p", "annotations": {"slimgate.dev/probe": nonce}},
        "template": {"spec": pod("bug:1")["spec"]},
    }
    return ask(document, **{"dryRun": True, **request})


def test_a_probe_is_answered_with_its_nonce_and_nothing_is_judged():
    response, recorded = probe()  # the judge fails on this image
    assert response["allowed"]
    assert response["warnings"] == [f"slimgate answers: {NONCE}"]
    assert response["auditAnnotations"] == {"decision": "probe"}
    assert (recorded.outcome, recorded.decision) == (Outcome.PROBE, None)


@pytest.mark.parametrize(
    "no_probe",
    [
        pytest.param({"dryRun": False}, id="it would be stored"),
        pytest.param({"operation": "UPDATE"}, id="an update"),
        pytest.param({"subResource": "status"}, id="a subresource"),
        pytest.param({"nonce": "0123456789abcde"}, id="too short"),
        pytest.param({"nonce": "a" * 65}, id="too long"),
        pytest.param({"nonce": NONCE + "\n"}, id="a line break"),
        pytest.param({"nonce": "0123456789ABCDEF"}, id="capitals"),
        pytest.param({"nonce": 5}, id="no text"),
        pytest.param({"nonce": None}, id="none"),
    ],
)
def test_what_is_no_probe_is_judged(no_probe):
    response, recorded = probe(**no_probe)
    assert recorded.outcome is not Outcome.PROBE
    assert "warnings" not in response


def test_a_pod_is_no_probe():
    document = pod("bad:1")
    document["metadata"]["annotations"] = {"slimgate.dev/probe": NONCE}
    response, _ = ask(document, dryRun=True)
    assert not response["allowed"]


def unknown(workload, deadline):
    raise StateUnknown("the namespace prod is not known: the controller has no word since 6m")


@pytest.mark.parametrize(
    ("document", "audit_only", "allowed"),
    [
        pytest.param(pod(), False, False, id="a pod is refused"),
        pytest.param(deployment(), False, True, id="a template goes through"),
        pytest.param(pod(), True, True, id="so does all in audit-only mode"),
    ],
)
def test_a_cluster_that_is_not_known(document, audit_only, allowed):
    response, recorded = ask(document, unknown, audit_only=audit_only)
    assert response["allowed"] is allowed
    assert recorded.outcome is Outcome.ERROR
    assert "controller has no word" in response["auditAnnotations"]["error"]
    if not allowed:
        assert response["status"]["code"] == 500
        assert response["status"]["message"].startswith("the namespace prod is not known")


def static(image, **more):
    """A node's static pod, shown by the node."""
    document = pod(image, nodeName="node1", **more)
    document["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "0123456789abcdef"}
    return {"document": document, "userInfo": NODE}


NODE = {"username": "system:node:node1", "groups": ["system:nodes"]}


def test_a_static_pod_is_reported_not_hidden():
    response, recorded = ask(**static("bad:1"))
    assert response["allowed"]
    assert "status" not in response
    assert recorded.outcome is Outcome.WOULD_DENY
    [warning] = response["warnings"]
    assert warning == "slimgate: this static pod runs all the same, but is against distroless"
    annotations = response["auditAnnotations"]
    assert (annotations["mirror"], annotations["would-deny"]) == ("node1", "distroless")
    assert "noShell" in annotations["violations"]


def test_a_good_static_pod_is_no_news():
    response, recorded = ask(**static("app:1"))
    assert recorded.outcome is Outcome.ALLOW
    assert "warnings" not in response
    assert response["auditAnnotations"]["mirror"] == "node1"


@pytest.mark.parametrize(
    ("image", "judge"),
    [
        pytest.param("bug:1", by_name, id="a bug"),
        pytest.param("app:1", unknown, id="the cluster is not known"),
    ],
)
def test_a_static_pod_that_cannot_be_judged_is_not_hidden_either(image, judge):
    response, recorded = ask(**static(image), judge=judge)
    assert response["allowed"]
    assert recorded.outcome is Outcome.ERROR
    assert response["auditAnnotations"]["mirror"] == "node1"


def test_the_look_of_a_static_pod_is_not_enough():
    response, recorded = ask(static("bad:1")["document"])
    assert not response["allowed"]
    assert recorded.outcome is Outcome.DENY
    assert "mirror" not in response["auditAnnotations"]
