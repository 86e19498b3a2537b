"""What Helm says after an install, and the alerts: what a user has to be told."""

from __future__ import annotations

import re

import pytest

from tests.chart.conftest import CHART, NEEDED, ROOT, merged

QUIET = {
    "auditOnly": False,
    "networkPolicy": {"enabled": True, "apiServers": ["10.0.0.0/28"]},
    "registries": {"denyAddresses": ["10.96.0.0/12"]},
    "monitoring": {"prometheusRule": {"enabled": True}},
}


@pytest.fixture(scope="session")
def notes(helm):
    """The notes of an install."""

    def render(**more):
        values = merged(NEEDED, QUIET, more)
        return helm.must("install", "slimgate", CHART, "--dry-run=client", values=values)

    return render


def test_nothing_is_risky_in_a_good_installation(notes):
    """A warning that is always there is read by nobody."""
    assert "WARNING" not in notes()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"breakGlass": True}, "breakGlass is on"),
        ({"replicas": 1}, "one replica"),
        ({"webhook": {"failurePolicy": "Ignore"}}, "failurePolicy Ignore"),
        ({"webhook": {"failurePolicy": "Fail"}}, "failurePolicy Fail from the start"),
        (
            {"webhook": {"matchConditions": [{"name": "x", "expression": "true"}]}},
            "webhook.matchConditions",
        ),
        ({"pullSecrets": {"read": "cluster"}}, "every Secret of the cluster"),
        ({"guards": {"namespaces": False}}, "guards.namespaces is off"),
        ({"guards": {"webhook": False}}, "guards.webhook is off"),
        ({"networkPolicy": {"enabled": False}}, "no NetworkPolicy"),
        ({"networkPolicy": {"apiServers": []}}, "networkPolicy.apiServers is empty"),
        ({"registries": {"denyAddresses": []}}, "registries.denyAddresses is empty"),
        ({"registries": {"plainHttp": ["r:5000"]}}, "nothing is authentic"),
        ({"monitoring": {"prometheusRule": {"enabled": False}}}, "no alerts"),
        ({"priorityClassName": ""}, "no priorityClassName"),
    ],
)
def test_notes_warn_of_what_is_risky(notes, values, text):
    """One line for each risk taken."""
    assert [line for line in notes(**values).splitlines() if text in line and "WARNING" in line]


def test_notes_say_what_is_enforced_and_the_way_out(notes):
    """Audit-only or enforcing, the excluded namespaces, and the emergency exit."""
    enforcing, audit_only = notes(), notes(auditOnly=True)
    assert "Enforcing:" in enforcing
    assert "Audit-only: nothing is denied" in audit_only
    for text in (enforcing, audit_only):
        assert "kubectl delete validatingwebhookconfiguration slimgate.gate" in text
        assert "Not judged at all: kube-system, gate." in text


def test_every_alert_has_a_runbook(rendered):
    """Under its own name, which is where its link leads."""
    rule = {"enabled": True, "runbookUrl": "https://x.example/#"}
    objects = rendered(monitoring={"prometheusRule": rule})
    (group,) = objects["PrometheusRule", "slimgate"]["spec"]["groups"]
    text = (ROOT / "docs" / "operations.md").read_text()
    headings = {one.lower(): one for one in re.findall(r"^### (Slimgate\w+)$", text, re.MULTILINE)}
    alerts = {one["alert"]: one for one in group["rules"]}
    assert set(headings.values()) == set(alerts)
    for name, one in alerts.items():
        assert one["annotations"]["runbook_url"] == f"https://x.example/#{name.lower()}"
        assert one["annotations"]["summary"]
        assert one["labels"]["severity"] in {"warning", "critical"}


def test_every_metric_of_an_alert_is_exposed(rendered):
    """An alert on a name that nobody exposes never fires."""
    objects = rendered(monitoring={"prometheusRule": {"enabled": True}})
    (group,) = objects["PrometheusRule", "slimgate"]["spec"]["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r"slimgate_\w+", rule["expr"])}
    assert {re.sub("_(total|bucket)$", "", name) for name in named} <= exposed()


def test_every_metric_is_explained():
    """In the page that says what to do when one is not as it should be."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("## Metrics")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(slimgate_\w+)`", table))
    assert {name.removesuffix("_total") for name in told} == exposed()


def exposed():
    """The names of all metrics, as the sources have them."""
    sources = "".join(path.read_text() for path in (ROOT / "webhook").rglob("*.py"))
    return set(re.findall(r'"(slimgate_\w+)"', sources))


@pytest.mark.parametrize(
    ("certificates", "hours"),
    [({}, 72), ({"self": {"leafDays": 7}}, 28), ({"self": {"caDays": 2}}, 8)],
    ids=["default", "leaf", "ca"],
)
def test_no_alert_of_a_certificate_whose_time_has_not_come(rendered, certificates, hours):
    """One is replaced when a third of its life is left: no alarm before half of that is gone."""
    objects = rendered(certificates=certificates, monitoring={"prometheusRule": {"enabled": True}})
    (group,) = objects["PrometheusRule", "slimgate"]["spec"]["groups"]
    (alert,) = [r for r in group["rules"] if r["alert"] == "SlimgateCertificateExpires"]
    assert alert["expr"].endswith(f"- time() < {hours} * 3600")
    assert f"less than {hours} hours" in alert["annotations"]["summary"]
