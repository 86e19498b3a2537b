"""What the chart's ServiceAccount may do: every rule by name, and by asking a real API server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.chart.conftest import CHART, NEEDED, merged

NAMED = "ClusterRole slimgate.gate", "Role slimgate in gate", "Role slimgate.gate-probe in default"
CLUSTER, OWN, PROBE = NAMED
RULES = {
    # The policies that pods are judged by.
    (CLUSTER, "slimgate.dev", "imagepolicies", "", "get list watch"),
    # Whether each is understood, in its status.
    (CLUSTER, "slimgate.dev", "imagepolicies/status", "", "patch update"),
    # Labels choose policies.
    (CLUSTER, "", "namespaces", "", "get list watch"),
    # Platforms choose images of an index.
    (CLUSTER, "", "nodes", "", "get list watch"),
    # The CA and failurePolicy of its own registration, and no other.
    (
        *(CLUSTER, "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        *("slimgate.gate", "get list patch update watch"),
    ),
    # Broken policies and broken glass are told in events.
    (CLUSTER, "", "events", "", "create patch"),
    (CLUSTER, "events.k8s.io", "events", "", "create patch"),
    # One replica at a time writes.
    (OWN, "coordination.k8s.io", "leases", "slimgate", "get patch update"),
    # The certificates it makes.
    (OWN, "", "secrets", "slimgate-ca slimgate-tls", "get list patch update watch"),
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


@pytest.mark.cluster
def test_api_server_grants_what_is_needed_and_no_more(api, helm):
    """As it is asked: list and watch by name work with the field selector the controller sends."""
    live = replace(helm, kubeconfig=api.folder / "kubeconfig")
    values = merged(NEEDED, {"pullSecrets": {"read": "namespaces", "namespaces": ["default"]}})
    live.must("install", "slimgate", CHART, "--wait=hookOnly", values=values)
    who = ("--as", "system:serviceaccount:gate:slimgate")
    secrets = ("get", "--raw", "/api/v1/namespaces/gate/secrets")
    try:
        by_name = f"{secrets[-1]}?fieldSelector=metadata.name%3Dslimgate-tls"
        found = json.loads(api.must(*secrets[:-1], by_name, *who))
        assert [one["metadata"]["name"] for one in found["items"]] == ["slimgate-tls"]
        assert api.kubectl(*secrets, *who).status != 0
        for verb, resource, allowed in [
            ("create", "leases -n gate", False),
            ("update", "leases/slimgate -n gate", True),
            ("create", "secrets -n gate", False),
            ("delete", "secrets/slimgate-tls -n gate", False),
            ("get", "secrets/sh.helm.release.v1.slimgate.v1 -n gate", False),
            ("get", "secrets/anything -n default", True),
            ("list", "secrets -n default", False),
            ("get", "secrets/anything -n kube-system", False),
            ("delete", "validatingwebhookconfigurations/slimgate.gate", False),
            ("update", "validatingwebhookconfigurations/other", False),
            ("update", "imagepolicies.slimgate.dev", False),
            ("update", "namespaces", False),
            ("create", "pods -n default", False),
        ]:
            said = api.kubectl("auth", "can-i", verb, *resource.split(), *who)
            assert (said.out.strip() == "yes") is allowed, (verb, resource)
    finally:
        live.must("uninstall", "slimgate", "--wait=hookOnly")
        api.must("delete", "customresourcedefinition", "imagepolicies.slimgate.dev")
