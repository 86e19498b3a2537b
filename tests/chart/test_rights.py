"""What the chart's ServiceAccount may do: every rule by name, and all of them used at a real API
server.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial

import pytest

from tests.chart.conftest import CHART, NEEDED, merged
from tests.cluster.support.apiserver import write_kubeconfig
from tests.cluster.support.processes import eventually, free_port, running
from tests.cluster.support.web import answers
from webhook.cluster.link import Question, ask

ACCOUNT = "system:serviceaccount:gate:slimgate"
CLUSTER, OWN = "ClusterRole slimgate.gate", "Role slimgate in gate"
EVENTS, PROBE = "Role slimgate.gate-events in default", "Role slimgate.gate-probe in default"
RULES = {
    # The policies that pods are judged by.
    (CLUSTER, "slimgate.dev", "imagepolicies", "", "list watch"),
    # Whether each is understood, in its status.
    (CLUSTER, "slimgate.dev", "imagepolicies/status", "", "patch"),
    # Labels choose policies; a namespace made just now is read by its name.
    (CLUSTER, "", "namespaces", "", "get list watch"),
    # Platforms choose images of an index.
    (CLUSTER, "", "nodes", "", "list watch"),
    # The CA and failurePolicy of its own registration, and no other.
    (
        *(CLUSTER, "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        *("slimgate.gate", "get patch"),
    ),
    # Broken policies and broken glass are told in events, which lie in that namespace.
    (EVENTS, "", "events", "", "create"),
    # One replica at a time writes.
    (OWN, "coordination.k8s.io", "leases", "slimgate", "get update"),
    # The certificates it makes.
    (OWN, "", "secrets", "slimgate-ca slimgate-tls", "get update"),
    # Dry runs that prove the API server asks; the kind runs nothing.
    (PROBE, "", "podtemplates", "", "create"),
}
"""Where, API group, resource, names, verbs; above each the reason."""


def rules(objects):
    """Every right that a set of objects gives, one resource a line."""
    return {
        (place(one), group, resource, " ".join(rule.get("resourceNames", [])), verbs(rule))
        for one in objects
        if one["kind"] in {"Role", "ClusterRole"} and "test" not in one["metadata"]["name"]
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def place(one):
    """Which role it is, and where."""
    namespace = one["metadata"].get("namespace")
    return f"{one['kind']} {one['metadata']['name']}" + (f" in {namespace}" if namespace else "")


def verbs(rule):
    """In one order."""
    return " ".join(sorted(rule["verbs"]))


def test_each_right_has_its_reason(template):
    """By default there are these and no others."""
    assert rules(template()) == RULES


def test_no_secret_of_others_by_default(template):
    """Only its own, by name, in its own namespace; no wildcard anywhere."""
    for where, group, resource, names, _ in rules(template()):
        assert "*" not in (group, resource)
        if resource in {"secrets", "serviceaccounts"}:
            assert (where, names) == (OWN, "slimgate-ca slimgate-tls")


@pytest.mark.parametrize("mode", ["certManager", "existing"])
def test_no_secret_at_all_where_it_makes_no_certificates(template, mode):
    """They are mounted by the kubelet then."""
    existing = {"secretName": "tls", "caBundle": "Q0E="}
    found = rules(template(certificates={"mode": mode, "existing": existing}))
    assert not [one for one in found if one[2] == "secrets"]


def test_pull_secrets_by_namespace(template):
    """A Role in each namespace that was named; get only, so that none can be listed."""
    found = rules(template(pullSecrets={"read": "namespaces", "namespaces": ["shop", "billing"]}))
    assert found - RULES == {
        (f"Role slimgate.gate-pullsecrets in {namespace}", "", resource, "", "get")
        for namespace in ("shop", "billing")
        for resource in ("secrets", "serviceaccounts")
    }


def test_pull_secrets_of_the_cluster(template):
    """Only where it is asked for in so many words."""
    found = rules(template(pullSecrets={"read": "cluster"}))
    assert found - RULES == {
        ("ClusterRole slimgate.gate-pullsecrets", "", resource, "", "get")
        for resource in ("secrets", "serviceaccounts")
    }


def test_each_role_is_bound_once_and_to_the_one_account(template):
    """And no role of somebody else's is."""
    objects = template(pullSecrets={"read": "namespaces", "namespaces": ["shop", "billing"]})
    objects += template(pullSecrets={"read": "cluster"})
    roles, bound = set(), set()
    for one in objects:
        if "test" in one["metadata"]["name"]:
            continue
        where = one["metadata"].get("namespace")
        if one["kind"] in {"Role", "ClusterRole"}:
            roles.add((one["kind"], one["metadata"]["name"], where))
        if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            bound.add((one["roleRef"]["kind"], one["roleRef"]["name"], where))
            assert one["subjects"] == [
                {"kind": "ServiceAccount", "name": "slimgate", "namespace": "gate"}
            ]
    assert roles == bound


@pytest.fixture
def release(api, helm):
    """Installed, and asking nobody for long."""
    live = replace(helm, kubeconfig=api.folder / "kubeconfig")
    values = {
        "auditOnly": False,
        "pullSecrets": {"read": "namespaces", "namespaces": ["default"]},
        "webhook": {"deadlineSeconds": 1},
    }
    live.must("install", "slimgate", CHART, "--wait=hookOnly", values=merged(NEEDED, values))
    for words in (  # the API server learns of roles a moment later: one of each kind and place
        ("get", "secrets", "-n", "default"),
        ("create", "podtemplates", "-n", "default"),
        ("update", "leases/slimgate", "-n", "gate"),
        ("list", "imagepolicies.slimgate.dev"),
    ):
        asked = ("auth", "can-i", *words, "--as", ACCOUNT)
        assert eventually(lambda asked=asked: api.kubectl(*asked).out.strip() == "yes")
    yield api
    live.must("uninstall", "slimgate", "--wait=hookOnly")
    api.must("delete", "customresourcedefinition", "imagepolicies.slimgate.dev")


@pytest.mark.cluster
def test_api_server_grants_no_more(release):
    """As it answers for the account."""
    for verb, resource, allowed in [
        ("create", "leases -n gate", False),
        ("update", "leases/slimgate -n gate", True),
        ("list", "secrets -n gate", False),
        ("create", "secrets -n gate", False),
        ("delete", "secrets/slimgate-tls -n gate", False),
        ("get", "secrets/slimgate-tls -n gate", True),
        ("get", "secrets/sh.helm.release.v1.slimgate.v1 -n gate", False),
        ("get", "secrets/anything -n default", True),
        ("list", "secrets -n default", False),
        ("get", "secrets/anything -n kube-system", False),
        ("create", "events -n kube-system", False),
        ("delete", "validatingwebhookconfigurations/slimgate.gate", False),
        ("update", "validatingwebhookconfigurations/other", False),
        ("update", "imagepolicies.slimgate.dev", False),
        ("update", "namespaces", False),
        ("create", "pods -n default", False),
    ]:
        said = release.kubectl("auth", "can-i", verb, *resource.split(), "--as", ACCOUNT)
        assert (said.out.strip() == "yes") is allowed, (verb, resource)


@pytest.mark.cluster
def test_controller_uses_every_right_and_lacks_none(release, tmp_path):
    """The command itself, as that account; the API server's audit log says what it did."""
    state, port, log = tmp_path / "state", free_port(), release.folder / "audit.log"
    state.mkdir()
    token = release.must("create", "token", "slimgate", "-n", "gate").strip()
    config = write_kubeconfig(
        tmp_path / "kubeconfig", release.url, release.folder / "ca.crt", token
    )
    command = [
        *(sys.executable, "-m", "webhook", "controller", "--state", state, "--namespace", "gate"),
        *("--kubeconfig", config, "--metrics", f"127.0.0.1:{port}"),
    ]
    before = len(log.read_text().splitlines())

    def done():
        """Where, group, resource and verb of each request, with the code of its answer."""
        lines = log.read_text().split("\n")[before:-1]
        events = [one for one in map(json.loads, lines) if one["user"]["username"] == ACCOUNT]
        return {(*asked(one), one["responseStatus"]["code"]) for one in events}

    wanted = {
        (where.partition(" in ")[2], group, resource, verb)
        for where, group, resource, _, several in RULES
        for verb in several.split()
    }
    release.must("label", "namespace", "gate", "slimgate.dev/break-glass=true")  # makes an event
    ready = partial(answers, f"http://127.0.0.1:{port}/readyz")
    try:
        with running(command, log=tmp_path / "log", ready=ready):
            assert ask(state, Question(namespace="gate"), 60).namespace is not None
            assert eventually(lambda: wanted <= {one[:-1] for one in done()}, seconds=120)
    finally:
        release.must("label", "namespace", "gate", "slimgate.dev/break-glass-")
    assert {one[:-1] for one in done()} == wanted
    assert not [one for one in done() if one[-1] == 403]


def asked(event):
    """What an event of the audit log is about; a namespace lies in none."""
    of = event["objectRef"]
    resource = "/".join(of[key] for key in ("resource", "subresource") if key in of)
    where = "" if resource == "namespaces" else of.get("namespace", "")
    return where, of.get("apiGroup", ""), resource, event["verb"]
