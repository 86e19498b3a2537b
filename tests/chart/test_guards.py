"""The chart's admission policies, in real API servers: who may change what, and who may not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from tests.chart.conftest import CHART, NEEDED, merged
from tests.cluster.support.processes import eventually

pytestmark = pytest.mark.cluster
TENANT = ("--as", "tenant")
OPERATOR = ("--as", "operator")
CONTROLLER = ("--as", "system:serviceaccount:gate:slimgate")
REGISTRATION = ("validatingwebhookconfiguration", "slimgate.gate")
COLLECTION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RIGHTS = """\
# What a tenant may have: everything in the namespace, and to edit and make namespaces.
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {slimgate.dev/policy: nonroot, stage: prod}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: User, name: tenant}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit-namespaces}
rules:
  - apiGroups: [""]
    resources: [namespaces, namespaces/status, namespaces/finalize]
    verbs: [get, create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edit-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit-namespaces}
subjects: [{kind: User, name: tenant}]
---
# What operators often have: every webhook configuration.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit-webhooks}
rules:
  - apiGroups: [admissionregistration.k8s.io]
    resources: [validatingwebhookconfigurations]
    verbs: [get, list, create, update, patch, delete, deletecollection]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edit-webhooks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit-webhooks}
subjects: [{kind: User, name: operator}]
"""  # noqa: E501


@pytest.fixture(scope="module")
def guarded(api, helm):
    """The release with its guards in force, a tenant and an operator."""
    api.must("apply", "-f", "-", stdin=RIGHTS)
    values = merged(NEEDED, {"guards": {"labels": ["stage"]}})
    live = replace(helm, kubeconfig=api.folder / "kubeconfig")
    live.must("install", "slimgate", CHART, "--wait=hookOnly", values=values)
    # Refused by the guards, that is: without rights, as in the first moment, it would be anyway.
    probe = ("label", "namespace", "shop", "slimgate.dev/probe=x", "--dry-run=server", *TENANT)
    assert eventually(lambda: "may update imagepolicies" in api.kubectl(*probe).err)
    registration = ("delete", *REGISTRATION, "--dry-run=server", *OPERATOR)
    assert eventually(lambda: "slimgate's registration" in api.kubectl(*registration).err)
    yield api
    live.must("uninstall", "slimgate", "--wait=hookOnly")
    api.must("delete", "-f", "-", "--wait=false", stdin=RIGHTS)
    api.must("delete", "customresourcedefinition", "imagepolicies.slimgate.dev")


def labelled(name, **metadata):
    """A Namespace to create."""
    return json.dumps(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}
    )


def strip(*, subresource=None):
    """A patch that takes the policy's label away."""
    where = ["--subresource", subresource] if subresource else []
    patch = '{"metadata": {"labels": {"slimgate.dev/policy": null}}}'
    return ["patch", "namespace", "shop", "--type=merge", "-p", patch, *where]


ALL_LABELS = '[{"op": "remove", "path": "/metadata/labels"}]'
FORBIDDEN = [
    pytest.param(["label", "namespace", "shop", "slimgate.dev/break-glass=true"], id="add"),
    pytest.param(
        ["label", "namespace", "shop", "slimgate.dev/policy=debuggable", "--overwrite"], id="change"
    ),
    pytest.param(["label", "namespace", "shop", "slimgate.dev/policy-"], id="remove"),
    pytest.param(strip(subresource="status"), id="remove through the status"),
    pytest.param(
        ["patch", "namespace", "shop", "--type=json", "-p", ALL_LABELS], id="remove all labels"
    ),
    pytest.param(["annotate", "namespace", "shop", "slimgate.dev/note=x"], id="annotate"),
    pytest.param(["label", "namespace", "shop", "stage-"], id="a further label of the values"),
]


@pytest.mark.parametrize("words", FORBIDDEN)
def test_tenant_cannot_change_what_chooses_policies(guarded, words):
    """Though they may edit the namespace; the message names the label."""
    said = guarded.kubectl(*words, *TENANT)
    assert said.status != 0
    assert "only those who may update imagepolicies.slimgate.dev" in said.err
    assert "slimgate.dev/" in said.err or "namespace: stage" in said.err


def test_tenant_cannot_finalize_it_away(guarded):
    """PUT to the finalize subresource writes labels, too."""
    shop = json.loads(guarded.must("get", "namespace", "shop", "-o", "json"))
    shop["metadata"]["labels"].pop("slimgate.dev/policy")
    path = "/api/v1/namespaces/shop/finalize"
    said = guarded.kubectl("replace", "--raw", path, "-f", "-", *TENANT, stdin=json.dumps(shop))
    assert said.status != 0
    assert "imagepolicies" in said.err


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {"slimgate.dev/policy": "debuggable"}}, id="label"),
        pytest.param({"labels": {"stage": "dev"}}, id="further label"),
        pytest.param({"annotations": {"slimgate.dev/x": "y"}}, id="annotation"),
    ],
)
def test_tenant_cannot_create_a_namespace_that_has_chosen(guarded, metadata):
    """A namespace born with a label would have it for good."""
    said = guarded.kubectl("create", "-f", "-", *TENANT, stdin=labelled("mine", **metadata))
    assert said.status != 0
    assert "imagepolicies" in said.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["label", "namespace", "shop", "team=a", "--overwrite"], id="other label"),
        pytest.param(
            ["label", "namespace", "shop", "slimgate.dev/policy=nonroot", "--overwrite", "team=b"],
            id="the same again",
        ),
        pytest.param(["annotate", "namespace", "shop", "note=x", "--overwrite"], id="annotation"),
        pytest.param(["create", "namespace", "plain"], id="create without"),
    ],
)
def test_tenant_can_do_everything_else(guarded, words):
    """The guard is about its own labels only."""
    said = guarded.kubectl(*words, "--dry-run=server", *TENANT)
    assert said.status == 0, said.err


def test_administrator_can(guarded):
    """Whoever may update policies may choose among them, and break the glass."""
    guarded.must("label", "namespace", "shop", "slimgate.dev/break-glass=true")
    guarded.must("label", "namespace", "shop", "slimgate.dev/break-glass-")


def test_right_to_update_policies_is_enough(guarded):
    """No list of users to keep: RBAC says it."""
    words = ("label", "namespace", "shop", "slimgate.dev/x=y", "--dry-run=server", *TENANT)
    guarded.must(
        "create",
        "clusterrole",
        "security",
        "--verb=update",
        "--resource=imagepolicies.slimgate.dev",
    )
    guarded.must(
        "create", "clusterrolebinding", "security", "--clusterrole=security", "--user=tenant"
    )
    try:
        assert eventually(lambda: guarded.kubectl(*words).status == 0)
    finally:
        guarded.must("delete", "clusterrolebinding/security", "clusterrole/security")
    assert eventually(lambda: guarded.kubectl(*words).status != 0)


FAIL = '[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]'


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["delete", *REGISTRATION], id="delete"),
        pytest.param(["delete", "--raw", COLLECTION], id="delete the whole collection"),
        pytest.param(["patch", *REGISTRATION, "--type=json", "-p", FAIL], id="patch"),
    ],
)
def test_operator_cannot_touch_the_registration(guarded, words):
    """Though they may change every other one."""
    said = guarded.kubectl(*words, *OPERATOR)
    assert said.status != 0
    assert "slimgate's registration is changed only by slimgate" in said.err
    assert guarded.kubectl("get", *REGISTRATION).status == 0


def test_operator_can_change_others(guarded):
    """It is no guard of other people's webhooks."""
    document = yaml.safe_dump(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "theirs"},
        }
    )
    guarded.must("create", "-f", "-", *OPERATOR, stdin=document)
    guarded.must("label", "validatingwebhookconfiguration", "theirs", "a=b", *OPERATOR)
    guarded.must("delete", "validatingwebhookconfiguration", "theirs", *OPERATOR)


def test_controller_can_change_it(guarded):
    """It writes the CA and failurePolicy."""
    words = ("patch", *REGISTRATION, "--type=json", "-p", FAIL, "--dry-run=server")
    said = guarded.kubectl(*words, *CONTROLLER)
    assert said.status == 0, said.err


def test_emergency_exit(guarded):
    """The one command of the notes, by a cluster administrator."""
    guarded.must("delete", *REGISTRATION, "--dry-run=server")


def test_no_other_api_object_guards_the_guards(guarded):
    """Admission policies are exempt from admission policies: whoever may delete them, can.

    docs/operations.md says so, and shows the static guard of newer clusters.
    """
    name = "slimgate.gate-webhook"
    guarded.must("delete", "validatingadmissionpolicy", name, "--dry-run=server")


def test_policies_are_understood(guarded):
    """No expression has a type error by the API server's own check."""
    for name in ("slimgate.gate-namespaces", "slimgate.gate-policies", "slimgate.gate-webhook"):
        text = guarded.must("get", "validatingadmissionpolicy", name, "-o", "json")
        assert "expressionWarnings" not in text


def test_guards_can_be_left_out(rendered):
    """By the values, one by one."""
    kinds = {
        kind
        for kind, _ in rendered(guards={"namespaces": False, "policies": False, "webhook": False})
    }
    assert "ValidatingAdmissionPolicy" not in kinds
    assert "ValidatingAdmissionPolicyBinding" not in kinds
