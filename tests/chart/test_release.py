"""Installed, upgraded, rolled back and removed by Helm, in real API servers of two ages.

No pod ever starts here: what the controller would write, the tests write in its name.
"""

from __future__ import annotations

import base64
import json
import re

import pytest
import yaml

from tests.chart.conftest import CHART, NEEDED, ROOT, merged
from tests.cluster.support.processes import eventually

pytestmark = pytest.mark.cluster
CONTROLLER = ("--as", "system:serviceaccount:gate:slimgate", "--field-manager", "slimgate")
KINDS = (
    "all,secrets,configmaps,leases,roles,rolebindings,serviceaccounts,networkpolicies,"
    "poddisruptionbudgets,resourcequotas,clusterroles,clusterrolebindings,namespaces,"
    "validatingwebhookconfigurations,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings,customresourcedefinitions"
)
NOW = "--wait=hookOnly"
"""Nothing becomes ready where no pods start."""
ENFORCING = merged(NEEDED, {"auditOnly": False})


def everything(api):
    """Each object of the cluster by kind and name, of what a release may leave behind."""
    found = api.must("get", KINDS, "--all-namespaces", "-o", "name", "--ignore-not-found")
    return set(found.split())


def webhooks(api):
    """The two webhooks by name, as they are."""
    text = api.must("get", "validatingwebhookconfiguration", "slimgate.gate", "-o", "json")
    return {one["name"]: one for one in json.loads(text)["webhooks"]}


def secret(api, name):
    """The data of a Secret."""
    return json.loads(api.must("get", "secret", name, "-n", "gate", "-o", "json")).get("data", {})


@pytest.fixture
def release(api, live):
    """A fresh release, enforcing; whatever is left of it goes."""
    live.must("install", "slimgate", CHART, NOW, values=ENFORCING)
    yield live
    live.run("uninstall", "slimgate", NOW, "--ignore-not-found")
    api.must("delete", "customresourcedefinition", "imagepolicies.slimgate.dev")


def controller_writes(api):
    """Certificates, the CA bundle and failurePolicy, and then it lets go of them."""
    for name, data in {
        "slimgate-tls": {"tls.crt": "YQ==", "tls.key": "Yg=="},
        "slimgate-ca": {"ca.key": "Yw=="},
    }.items():
        whole = json.loads(api.must("get", "secret", name, "-n", "gate", "-o", "json"))
        text = json.dumps({**whole, "data": data})
        api.must("replace", "-f", "-", *CONTROLLER, stdin=text)
    bundle = base64.b64encode((api.folder / "ca.crt").read_bytes()).decode()
    operations = [
        {"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": bundle}
        for number in (0, 1)
    ]
    operations.append({"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"})
    _patch_webhook(api, operations)
    text = api.must(
        *("get", "validatingwebhookconfiguration", "slimgate.gate"),
        *("--show-managed-fields", "-o", "json"),
    )
    managed = json.loads(text)["metadata"]["managedFields"]
    kept = [one for one in managed if one["manager"] != "slimgate"]
    assert len(kept) == len(managed) - 1
    _patch_webhook(api, [{"op": "replace", "path": "/metadata/managedFields", "value": kept}])
    return bundle


def _patch_webhook(api, operations):
    api.must(
        *("patch", "validatingwebhookconfiguration", "slimgate.gate", "--type=json"),
        *("-p", json.dumps(operations), *CONTROLLER),
    )


def written(api, bundle):
    """Whether everything that the controller wrote is still there."""
    found = webhooks(api)
    return (
        {one["clientConfig"].get("caBundle") for one in found.values()} == {bundle}
        and secret(api, "slimgate-tls") == {"tls.crt": "YQ==", "tls.key": "Yg=="}
        and secret(api, "slimgate-ca") == {"ca.key": "Yw=="}
    )


def test_definition_and_policies_install_in_one_go(api, release):
    """The shipped policies are objects; nothing has to be installed before or twice."""
    items = json.loads(api.must("get", "imagepolicies", "-o", "json"))["items"]
    shipped = {
        path.stem: yaml.safe_load(path.read_text())["spec"]
        for path in (ROOT / "policies").glob("*.yaml")
    }
    assert {one["metadata"]["name"]: one["spec"] for one in items} == shipped


def test_begins_with_ignore(api, release):
    """Whatever is installed, nothing stands in the way before it has proved that it answers."""
    assert webhooks(api)["pods.slimgate.dev"]["failurePolicy"] == "Ignore"


def test_upgrade_keeps_what_the_controller_wrote(api, release):
    """failurePolicy, the CA bundle, the keys: no conflict, and nothing put back."""
    bundle = controller_writes(api)
    release.must("upgrade", "slimgate", CHART, NOW, values=merged(ENFORCING, {"replicas": 2}))
    assert written(api, bundle)
    assert webhooks(api)["pods.slimgate.dev"]["failurePolicy"] == "Fail"


def test_audit_only_opens_at_once(api, release):
    """Ignore and 5 s, though Fail was proved."""
    bundle = controller_writes(api)
    release.must("upgrade", "slimgate", CHART, NOW, values=merged(ENFORCING, {"auditOnly": True}))
    found = webhooks(api).values()
    assert {(one["failurePolicy"], one["timeoutSeconds"]) for one in found} == {("Ignore", 5)}
    assert written(api, bundle)


def test_rollback_begins_with_ignore_again(api, release):
    """A rollback applies what was rendered then: no conflict, keys kept, proved anew."""
    bundle = controller_writes(api)
    release.must("upgrade", "slimgate", CHART, NOW, values=merged(ENFORCING, {"replicas": 2}))
    release.must("rollback", "slimgate", "1", NOW)
    assert written(api, bundle)
    assert webhooks(api)["pods.slimgate.dev"]["failurePolicy"] == "Ignore"
    release.must("rollback", "slimgate", "2", NOW)
    assert written(api, bundle)


def test_edited_policy_is_not_overwritten(api, release):
    """The upgrade stops and names the field; by --force-conflicts the chart's comes back."""
    api.must("patch", "imagepolicy", "nonroot", "--type=merge", "-p", '{"spec":{"action":"Audit"}}')

    def action():
        return api.must("get", "imagepolicy", "nonroot", "-o", "jsonpath={.spec.action}")

    said = release.run("upgrade", "slimgate", CHART, NOW, values=ENFORCING)
    assert said.status != 0
    assert re.search(r"/nonroot .*conflict.*\.spec\.action", said.err)
    assert action() == "Audit"
    release.must("upgrade", "slimgate", CHART, NOW, "--force-conflicts", values=ENFORCING)
    assert action() == "Enforce"


def test_upgrade_brings_the_definition_up_to_date(api, release):
    """A policy survives it; Helm never deletes a definition, hook or not."""
    path = "imagepolicies.slimgate.dev"
    old = "{.spec.versions[0].schema.openAPIV3Schema.description}"
    api.must("create", "-f", "-", stdin=json.dumps(own_policy("mine")))
    api.must(
        *("apply", "--server-side", "--field-manager=helm", "-f", "-"),
        stdin=json.dumps(with_description("of an older chart")),
    )
    assert api.must("get", "crd", path, "-o", f"jsonpath={old}") == "of an older chart"
    born = api.must("get", "crd", path, "-o", "jsonpath={.metadata.uid}")
    release.must("upgrade", "slimgate", CHART, NOW, values=ENFORCING)
    assert api.must("get", "crd", path, "-o", f"jsonpath={old}") != "of an older chart"
    assert api.must("get", "crd", path, "-o", "jsonpath={.metadata.uid}") == born
    assert api.kubectl("get", "imagepolicy", "mine").status == 0


def test_upgrade_leaves_the_definition_where_told(api, release):
    """crds.upgrade=false: something else manages it."""
    api.must(
        *("apply", "--server-side", "--field-manager=helm", "-f", "-"),
        stdin=json.dumps(with_description("somebody else's")),
    )
    values = merged(ENFORCING, {"crds": {"upgrade": False}})
    release.must("upgrade", "slimgate", CHART, NOW, values=values)
    where = "jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}"
    assert api.must("get", "crd", "imagepolicies.slimgate.dev", "-o", where) == "somebody else's"


def own_policy(name):
    """A policy that a user wrote."""
    return {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": name},
        "spec": {"action": "Warn", "checks": {"nonRoot": {}}},
    }


def with_description(text):
    """The definition, told apart by its description."""
    definition = yaml.safe_load((CHART / "crds" / "imagepolicies.slimgate.dev.yaml").read_text())
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = text
    return definition


def test_uninstall_leaves_only_the_definition(api, live):
    """And policies that Helm does not own; every other object is gone."""
    before = everything(api)
    values = merged(
        ENFORCING,
        {
            "priorityQuota": True,
            "networkPolicy": {"enabled": True},
            "registries": {"mirrors": {"docker.io": "x = 1"}},
            "pullSecrets": {"read": "namespaces", "namespaces": ["default"]},
        },
    )
    live.must("install", "slimgate", CHART, NOW, values=values)
    controller_writes(api)
    api.must("create", "-f", "-", stdin=json.dumps(own_policy("mine")))
    while_there = everything(api) - before
    live.must("uninstall", "slimgate", NOW)
    left = everything(api) - before
    definition = "customresourcedefinition.apiextensions.k8s.io/imagepolicies.slimgate.dev"
    assert left == {definition}
    assert {"deployment.apps/slimgate", "configmap/slimgate-mirrors", definition} <= while_there
    policies = api.must("get", "imagepolicies", "-o", "name").split()
    api.must("delete", definition)
    assert policies == ["imagepolicy.slimgate.dev/mine"]


def test_webhook_comes_last_and_goes_first(api, live):
    """No moment with a registration and nobody to answer: seen in the audit log.

    It is written after the answers, and not always in the order of the requests.
    """

    def told(*verbs):
        lines = (api.folder / "audit.log").read_text().split("\n")[before:-1]
        events = sorted(map(json.loads, lines), key=lambda one: one["requestReceivedTimestamp"])
        return [one["objectRef"]["resource"] for one in events if one["verb"] in verbs]

    registration = "validatingwebhookconfigurations"
    needed = {"services", "deployments", "secrets", "clusterrolebindings", "rolebindings"}
    before = len((api.folder / "audit.log").read_text().splitlines())
    live.must("install", "slimgate", CHART, NOW, values=ENFORCING)
    assert eventually(lambda: {registration, *needed} <= set(told("patch", "create")))
    made = told("patch", "create")
    live.must("uninstall", "slimgate", NOW)
    assert eventually(lambda: {registration, *needed} <= set(told("delete")))
    gone = told("delete")
    api.must("delete", "customresourcedefinition", "imagepolicies.slimgate.dev")
    for one in needed:
        assert made.index(registration) > made.index(one)
    assert gone[0] == registration
