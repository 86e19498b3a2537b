"""What is counted, under which labels, and that nobody outside can make more of them."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.judges import SHELL
from webhook.judge.decision import Action, Decision, Judgement
from webhook.metrics import CONTENT_TYPE, Metrics
from webhook.review.admission import Request
from webhook.review.answer import Outcome, Reviewed

JUDGEMENT = Judgement(
    workload="Pod/web",
    container="app",
    image="app:1",
    digest=None,
    platform="linux/amd64",
    policy="distroless",
    action=Action.ENFORCE,
    allowed=False,
    findings=(SHELL,),
)
REVIEWED = Reviewed(
    request=Request(uid="1", operation="CREATE", group="", resource="pods"),
    outcome=Outcome.DENY,
    allowed=False,
    seconds=0.02,
    decision=Decision(judgements=(JUDGEMENT,)),
)


def samples(metrics, name):
    """The values of a metric by its labels."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


def test_how_readers_die_is_there_from_the_start(metrics):
    died = metrics.readers(("crashed", "killed"))
    died("killed")
    assert samples(metrics, "slimgate_reader_deaths_total") == {("crashed",): 0, ("killed",): 1}


def test_a_review(metrics):
    metrics.reviewed(REVIEWED)
    metrics.reviewed(REVIEWED)
    assert samples(metrics, "slimgate_reviews_total") == {("deny", "CREATE", "pods"): 2}
    assert samples(metrics, "slimgate_review_seconds_count") == {(): 2}
    assert samples(metrics, "slimgate_findings_total") == {("noShell", "distroless", "fail"): 2}
    assert samples(metrics, "slimgate_image_errors_total") == {}


@pytest.mark.parametrize(
    ("group", "resource", "label"),
    [
        pytest.param("apps", "deployments", "deployments", id="judged"),
        pytest.param("", "configmaps", "other", id="not judged"),
        pytest.param("evil.example", "pods", "other", id="another group's"),
    ],
)
def test_resources_are_a_closed_list(metrics, group, resource, label):
    request = Request(uid="1", operation="UPDATE", group=group, resource=resource)
    metrics.reviewed(dataclasses.replace(REVIEWED, request=request, decision=None))
    assert samples(metrics, "slimgate_reviews_total") == {("deny", "UPDATE", label): 1}


def test_an_image_that_cannot_be_read_counts_once_a_review(metrics):
    dns = dataclasses.replace(SHELL, check="image", result="unknown", reason="dns")
    judgements = [
        dataclasses.replace(JUDGEMENT, findings=(dns,), policy="a"),
        dataclasses.replace(JUDGEMENT, findings=(dns,), policy="b"),
        dataclasses.replace(JUDGEMENT, findings=(dns,), image="other:1"),
    ]
    decision = Decision(judgements=tuple(judgements))
    metrics.reviewed(dataclasses.replace(REVIEWED, decision=decision))
    assert samples(metrics, "slimgate_image_errors_total") == {("dns",): 2}


def test_in_flight(metrics):
    with metrics.in_flight():
        assert samples(metrics, "slimgate_reviews_in_flight") == {(): 1}
    assert samples(metrics, "slimgate_reviews_in_flight") == {(): 0}


def test_exceptions_count_down(metrics):
    today = [date(2027, 1, 30)]
    metrics.exceptions(lambda: [("distroless", "OPS-1234", date(2027, 1, 31))], lambda: today[0])
    labels = ("distroless", "OPS-1234")
    assert samples(metrics, "slimgate_exception_expiry_days") == {labels: 1}
    today[0] = date(2027, 2, 2)
    assert samples(metrics, "slimgate_exception_expiry_days") == {labels: -2}


def test_of_exceptions_with_one_reason_the_first_to_expire_counts(metrics):
    several = [("a", "OPS-1", date(2027, 1, day)) for day in (31, 10, 20)]
    metrics.exceptions(lambda: several, lambda: date(2027, 1, 1))
    assert samples(metrics, "slimgate_exception_expiry_days") == {("a", "OPS-1"): 9}


def test_when_what_is_served_ends(metrics):
    ends = [None]
    metrics.certificate(lambda: ends[0])
    assert samples(metrics, "slimgate_certificate_expiry_timestamp_seconds") == {}
    ends[0] = 1.8e9
    assert samples(metrics, "slimgate_certificate_expiry_timestamp_seconds") == {("served",): 1.8e9}


def test_the_build(metrics):
    assert samples(metrics, "slimgate_build_info") == {("1.2.3",): 1}
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_the_process_is_told_of(metrics):
    assert samples(metrics, "process_resident_memory_bytes")[()] > 1 << 20


def test_each_is_a_registry_of_its_own(metrics):
    metrics.reviewed(REVIEWED)
    assert samples(Metrics("1"), "slimgate_reviews_total") == {}
