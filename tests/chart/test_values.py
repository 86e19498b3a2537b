"""Every value: explained, declared, and what it changes; and values that are refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import yaml

from tests.chart.conftest import CHART, NEEDED, ROOT, merged

OBJECTS_OF_THEIR_OWN = {
    *(
        "slimgate",
        "reader",
        "controller",
        "issuerRef",
        "labels",
        "annotations",
        "extra",
        "mirrors",
        "bases",
        "affinity",
    ),
    *("nodeSelector", "podLabels", "podAnnotations", "serviceAccountAnnotations"),
}


def leaves(values, prefix=""):
    """Every path to a value that is not an object with keys of the chart's own."""
    for key, value in values.items():
        if isinstance(value, dict) and key not in OBJECTS_OF_THEIR_OWN:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
VALUES = list(leaves(DEFAULTS))


def nested(path, value):
    """``a.b`` and a value, as values."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("path", VALUES)
def test_value_is_explained_declared_and_used(path):
    """No value without a comment above it, an entry in the schema, and a template that reads it."""
    name = path.rpartition(".")[2]
    text = (CHART / "values.yaml").read_text()
    assert re.search(rf"^ *# .*\n *{name}:", text, re.MULTILINE)
    found = json.loads((CHART / "values.schema.json").read_text())
    for key in path.split("."):
        found = found["properties"][key]
    templates = "\n".join(
        one.read_text() for one in (CHART / "templates").rglob("*") if one.is_file()
    )
    assert re.search(rf"\.{name}\b", templates)


@pytest.mark.parametrize(
    "page", [CHART / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_values_that_a_page_names_are_there(page):
    """In its code spans and commands; a part of one, or a key within one of the user's own."""
    start = "|".join(DEFAULTS)
    named = re.findall(rf"(?:`|--set '?)((?:{start})(?:\.[A-Za-z]+)+)", page.read_text())
    for name in named:
        own = [path for path in VALUES if f"{path}.".startswith(f"{name}.")]
        whole = [path for path in VALUES if name.startswith(f"{path}.")]
        assert own or whole, name


def test_schema_declares_nothing_else():
    """What the schema knows and values.yaml does not, nobody can know of."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def declared(found, prefix=""):
        for key, one in found.get("properties", {}).items():
            path = f"{prefix}{key}"
            if path in VALUES or "properties" not in one:
                yield path
            else:
                yield from declared(one, f"{path}.")

    assert set(declared(schema)) - {"global"} == set(VALUES)


EXISTING = {
    "certificates": {"mode": "existing", "existing": {"secretName": "s", "caBundle": "Q0E="}}
}
ENFORCING = {"auditOnly": False}
PROVIDERS = {"registries": {"credentialProviders": {"config": "kind: X", "hostFolder": "/opt/p"}}}
NETWORK = {"networkPolicy": {"enabled": True}}
SERVICE_MONITOR = {"monitoring": {"serviceMonitor": {"enabled": True}}}
RULE = {"monitoring": {"prometheusRule": {"enabled": True}}}
VALKEY = {"store": {"type": "valkey", "valkey": {"address": "v:6379", "secretName": "seal"}}}
CLIENT = {"certificates": {"client": {"caConfigMap": "api"}}}
NAMED = {"pullSecrets": {"read": "namespaces", "namespaces": ["shop"]}}
DIGEST = "sha256:" + "1" * 64

# Path, another value, text that then appears, and values it needs beside it.
CHANGES = [
    ("image.repository", "r.example/gate", 'image: "r.example/gate:', {}),
    ("image.tag", "v9", ':v9"', {}),
    ("image.digest", DIGEST, f'slimgate@{DIGEST}"', {}),
    ("image.pullPolicy", "Always", "imagePullPolicy: Always", {}),
    ("imagePullSecrets", [{"name": "login"}], "- name: login", {}),
    ("replicas", 5, "replicas: 5", {}),
    ("auditOnly", False, "timeoutSeconds: 10", {}),
    ("breakGlass", True, "- --break-glass", {}),
    ("certificates.mode", "certManager", "kind: Certificate", {}),
    ("certificates.self.caDays", 90, "- --ca-days=90", {}),
    ("certificates.self.leafDays", 7, "- --leaf-days=7", {}),
    ("certificates.self.overlap", "5m", "- --overlap=5m", {}),
    (
        *("certificates.certManager.issuerRef", {"name": "platform", "kind": "ClusterIssuer"}),
        *("kind: ClusterIssuer", {"certificates": {"mode": "certManager"}}),
    ),
    (
        *("certificates.certManager.injector", "system:serviceaccount:cm:injector"),
        *("'system:serviceaccount:cm:injector'", {"certificates": {"mode": "certManager"}}),
    ),
    ("certificates.existing.secretName", "mine", 'secretName: "mine"', EXISTING),
    ("certificates.existing.caBundle", "Q0Ey", "caBundle: Q0Ey", EXISTING),
    ("certificates.client.caConfigMap", "api", "- --client-ca=", {}),
    ("certificates.client.names", ["kube"], '"--client-name=kube"', CLIENT),
    ("policies.builtin", ["nonroot"], "", {}),
    (
        "policies.extra",
        {"a": {"kind": "ImagePolicy", "metadata": {"name": "mine"}, "spec": {}}},
        "name: mine",
        {},
    ),
    ("crds.upgrade", False, "", {}),
    ("pullSecrets.read", "cluster", "name: slimgate.gate-pullsecrets", {}),
    ("pullSecrets.namespaces", ["shop", "billing"], "namespace: billing", NAMED),
    ("registries.authSecret", "login", "- --authfile=", {}),
    ("registries.caConfigMap", "cas", "- --ca-file=", {}),
    ("registries.plainHttp", ["r:5000"], '"--plain-http=r:5000"', {}),
    ("registries.allowAddresses", ["10.0.0.0/8"], '"--allow-address=10.0.0.0/8"', {}),
    ("registries.denyAddresses", ["fd00::/8"], '"--deny-address=fd00::/8"', {}),
    ("registries.mirrors", {"docker.io": "x = 1"}, "- --hosts=", {}),
    ("registries.credentialProviders.config", "kind: Y", "kind: Y", PROVIDERS),
    ("registries.credentialProviders.hostFolder", "/opt/q", 'path: "/opt/q"', PROVIDERS),
    ("bases", {"mine": '{"bases": []}'}, "- --bases=/etc/slimgate/bases/mine.json", {}),
    ("webhook.deadlineSeconds", 19, "timeoutSeconds: 20", ENFORCING),
    ("webhook.failurePolicy", "Fail", "failurePolicy: Fail", ENFORCING),
    ("webhook.probeNamespace", "probes", "- --probe-namespace=probes", {}),
    ("webhook.excludedNamespaces", ["storage"], '["kube-system","gate","storage"]', {}),
    (
        *("webhook.matchConditions", [{"name": "some", "expression": "1 == 1"}]),
        *("expression: 1 == 1", {}),
    ),
    ("webhook.annotations", {"a.example/b": "c"}, "a.example/b: c", {}),
    ("maxStale", "10m", "- --max-stale=10m", {}),
    ("shutdown.lameDuckSeconds", 25, "terminationGracePeriodSeconds: 90", {}),
    ("shutdown.drainSeconds", 60, "terminationGracePeriodSeconds: 100", {}),
    ("guards.namespaces", False, "", {}),
    ("guards.labels", ["stage"], "stage", {}),
    ("guards.policies", False, "", {}),
    ("guards.webhook", False, "", {}),
    ("store.type", "memory", "- --store=memory", {}),
    ("store.sqlite.size", "3Gi", "emptyDir: {sizeLimit: 12Gi}", {}),
    ("store.valkey.address", "v.cache:1", "- --store-server=v.cache:1", VALKEY),
    ("store.valkey.secretName", "mine", 'secretName: "mine"', VALKEY),
    ("store.valkey.password", False, "", VALKEY),
    ("store.valkey.username", "gate", "- --store-username=gate", VALKEY),
    ("store.valkey.tls", True, "- --store-tls", VALKEY),
    (
        *("store.valkey.caConfigMap", "ca", "- --store-ca-file="),
        merged(VALKEY, {"store": {"valkey": {"tls": True}}}),
    ),
    ("store.valkey.timeout", "2s", "- --store-timeout=2s", VALKEY),
    ("reading.jobs", 2, "- --jobs=2", {}),
    ("reading.memory", "1Gi", "- --memory=1Gi", {}),
    ("resources.slimgate", {"requests": {"cpu": "3"}}, 'cpu: "3"', {}),
    ("resources.reader", {"limits": {"memory": "3Gi"}}, "memory: 3Gi", {}),
    ("resources.controller", {"limits": {"memory": "2Gi"}}, "memory: 2Gi", {}),
    ("priorityClassName", "high", "priorityClassName: high", {}),
    ("priorityQuota", True, "kind: ResourceQuota", {}),
    ("evictByAutoscaler", True, 'safe-to-evict: "true"', {}),
    ("nodeSelector", {"disk": "ssd"}, "disk: ssd", {}),
    ("tolerations", [{"operator": "Exists"}], "- operator: Exists", {}),
    ("affinity", {"nodeAffinity": {"x": {}}}, "nodeAffinity:", {}),
    ("podLabels", {"team": "a"}, "team: a", {}),
    ("podAnnotations", {"note": "a"}, "note: a", {}),
    ("serviceAccountAnnotations", {"role": "arn"}, "role: arn", {}),
    ("env", [{"name": "HTTPS_PROXY", "value": "http://p"}], "value: http://p", {}),
    ("networkPolicy.enabled", True, "kind: NetworkPolicy", {}),
    ("networkPolicy.apiServers", ["10.0.0.1/32"], 'cidr: "10.0.0.1/32"', NETWORK),
    ("networkPolicy.metricsFrom", [{"podSelector": {}}], "podSelector: {}", NETWORK),
    ("networkPolicy.exceptAddresses", ["10.9.0.0/16"], '["10.9.0.0/16"]', NETWORK),
    ("monitoring.serviceMonitor.enabled", True, "kind: ServiceMonitor", {}),
    ("monitoring.serviceMonitor.labels", {"release": "p"}, "release: p", SERVICE_MONITOR),
    ("monitoring.serviceMonitor.interval", "7s", "interval: 7s", SERVICE_MONITOR),
    ("monitoring.prometheusRule.enabled", True, "kind: PrometheusRule", {}),
    ("monitoring.prometheusRule.labels", {"release": "p"}, "release: p", RULE),
    (
        *("monitoring.prometheusRule.runbookUrl", "https://x.example/#"),
        *('runbook_url: "https://x.example/#slimgatedown"', RULE),
    ),
    ("test.goodImage", "r.example/good:1", "- --good=r.example/good:1", {}),
    ("test.badImage", "r.example/bad:1", "- --bad=r.example/bad:1", {}),
]


def test_every_value_is_in_the_table():
    """A new value has to show what it does."""
    assert [path for path, *_ in CHANGES] == VALUES


@pytest.mark.parametrize(
    ("path", "value", "text", "beside"), [pytest.param(*one, id=one[0]) for one in CHANGES]
)
def test_value_changes_what_it_says(helm, path, value, text, beside):
    """Rendered with it and without, the difference is there; where it adds, so is its text."""

    def lines(values):
        out = helm.must("template", "slimgate", CHART, values=merged(NEEDED, values))
        return Counter(line.strip() for line in out.splitlines())

    before, after = lines(beside), lines(merged(beside, nested(path, value)))
    assert before != after
    if text:
        assert any(text in line for line in after - before)
    else:
        assert before - after


BAD = [
    # Path that the message has to name, and the values.
    ("auditonly", {"auditonly": False}),
    ("/auditOnly", {"auditOnly": "false"}),
    ("/breakGlass", {"breakGlass": 1}),
    ("/replicas", {"replicas": 0}),
    ("/replicas", {"replicas": "3"}),
    ("/image/repository", {"image": {"repository": "slimgate"}}),
    ("/image/repository", {"image": {"repository": "https://r.example/slimgate"}}),
    ("/image/tag", {"image": {"tag": "v1 "}}),
    ("/image/digest", {"image": {"digest": "sha256:12"}}),
    ("/image/pullPolicy", {"image": {"pullPolicy": "always"}}),
    ("/imagePullSecrets/0", {"imagePullSecrets": ["login"]}),
    ("/certificates/mode", {"certificates": {"mode": "cert-manager"}}),
    ("/certificates/self/caDays", {"certificates": {"self": {"caDays": 1}}}),
    ("/certificates/self/overlap", {"certificates": {"self": {"overlap": "60"}}}),
    ("/certificates/self", {"certificates": {"self": {"cadays": 5}}}),
    (
        "/certificates/certManager/issuerRef",
        {"certificates": {"certManager": {"issuerRef": {"kind": "ClusterIssuer"}}}},
    ),
    (
        "/certificates/existing/caBundle",
        {"certificates": {"existing": {"caBundle": "-----BEGIN CERTIFICATE-----"}}},
    ),
    ("/policies/builtin/0", {"policies": {"builtin": ["distroless"]}}),
    ("/policies/builtin", {"policies": {"builtin": ["nonroot", "nonroot"]}}),
    ("/policies/extra/a", {"policies": {"extra": {"a": ["x"]}}}),
    ("/crds", {"crds": {"keep": True}}),
    ("/pullSecrets/read", {"pullSecrets": {"read": "all"}}),
    ("/pullSecrets/namespaces/0", {"pullSecrets": {"namespaces": ["Shop"]}}),
    ("/registries/plainHttp/0", {"registries": {"plainHttp": ["http://r:5000"]}}),
    ("/registries/denyAddresses/0", {"registries": {"denyAddresses": ["10.0.0.0"]}}),
    ("/registries/allowAddresses/0", {"registries": {"allowAddresses": ["10.0.0.0/33"]}}),
    (
        "/registries/credentialProviders/hostFolder",
        {"registries": {"credentialProviders": {"hostFolder": "bin"}}},
    ),
    ("'mine.json'", {"bases": {"mine.json": "{}"}}),
    ("/bases/mine", {"bases": {"mine": {"bases": []}}}),
    ("/webhook/deadlineSeconds", {"webhook": {"deadlineSeconds": 30}}),
    ("/webhook", {"webhook": {"timeoutSeconds": 10}}),
    ("/webhook/failurePolicy", {"webhook": {"failurePolicy": "fail"}}),
    ("/webhook", {"webhook": {"failurepolicy": "Fail"}}),
    ("/webhook/excludedNamespaces/0", {"webhook": {"excludedNamespaces": ["kube_system"]}}),
    ("/webhook/matchConditions/0", {"webhook": {"matchConditions": [{"name": "x"}]}}),
    ("/webhook/annotations", {"webhook": {"annotations": {"a": True}}}),
    ("/maxStale", {"maxStale": "5 minutes"}),
    ("/maxStale", {"maxStale": "59s"}),
    ("/shutdown/lameDuckSeconds", {"shutdown": {"lameDuckSeconds": -1}}),
    ("/shutdown/drainSeconds", {"shutdown": {"drainSeconds": "30s"}}),
    ("/guards/labels/0", {"guards": {"labels": ["a b"]}}),
    ("/store/type", {"store": {"type": "redis"}}),
    ("/store/sqlite/size", {"store": {"sqlite": {"size": "256M"}}}),
    ("/store/valkey/address", {"store": {"valkey": {"address": "valkey"}}}),
    ("/store/valkey/tls", {"store": {"valkey": {"tls": "yes"}}}),
    ("/reading/jobs", {"reading": {"jobs": 0}}),
    ("/reading/memory", {"reading": {"memory": "512M"}}),
    ("/resources", {"resources": {"limits": {"memory": "1Gi"}}}),
    (
        "/resources/slimgate/limits/memory",
        {"resources": {"slimgate": {"limits": {"memory": "1 GiB"}}}},
    ),
    ("/tolerations/0/effect", {"tolerations": [{"effect": "noSchedule"}]}),
    ("/affinity", {"affinity": {"podAntiaffinity": {}}}),
    ("/env/0", {"env": [{"value": "x"}]}),
    ("/networkPolicy/apiServers/0", {"networkPolicy": {"apiServers": ["kubernetes"]}}),
    ("/networkPolicy/exceptAddresses/0", {"networkPolicy": {"exceptAddresses": ["fe80::/10"]}}),
    (
        "/monitoring/prometheusRule/runbookUrl",
        {"monitoring": {"prometheusRule": {"runbookUrl": "docs"}}},
    ),
    ("/test/goodImage", {"test": {"goodImage": "a b"}}),
]


@pytest.mark.parametrize(("where", "values"), BAD)
def test_schema_refuses(refused, where, values):
    """A typing mistake never becomes a weaker installation; the message says where it is."""
    said = refused(**values)
    assert "values don't meet the specifications of the schema" in said
    assert where in said


TOGETHER = [
    ("certificates.existing.secretName", {"certificates": {"mode": "existing"}}),
    ("certificates.existing.caBundle", {"certificates": {"mode": "existing"}}),
    ("certificates.client.caConfigMap", {"certificates": {"client": {"names": ["kube"]}}}),
    ("pullSecrets.namespaces", {"pullSecrets": {"read": "namespaces"}}),
    ("say pullSecrets.read=namespaces", {"pullSecrets": {"namespaces": ["shop"]}}),
    ("both or neither", {"registries": {"credentialProviders": {"config": "kind: X"}}}),
    ("store.valkey.address", {"store": {"type": "valkey"}}),
    ("store.valkey.secretName", {"store": {"type": "valkey"}}),
    ("store.valkey.caConfigMap", merged(VALKEY, {"store": {"valkey": {"caConfigMap": "ca"}}})),
    ("webhook.probeNamespace", {"webhook": {"excludedNamespaces": ["default"]}}),
    ("webhook.probeNamespace", {"webhook": {"probeNamespace": "gate"}}),
    ("policies.extra.a: not one ImagePolicy", {"policies": {"extra": {"a": "kind: Pod"}}}),
    ("policies.extra.a: not one ImagePolicy", {"policies": {"extra": {"a": "x: [1"}}}),
    (
        "policies.extra.a: nonroot is a shipped policy's name",
        {"policies": {"extra": {"a": "{kind: ImagePolicy, metadata: {name: nonroot}}"}}},
    ),
]


@pytest.mark.parametrize(("text", "values"), TOGETHER)
def test_values_that_do_not_go_together_are_refused(refused, text, values):
    """What a schema cannot say; the message names the value and what to do."""
    assert text in refused(**values)


def test_everything_that_is_wrong_is_said_at_once(helm):
    """One run shows all of it."""
    values = {"certificates": {"mode": "existing"}, "pullSecrets": {"read": "namespaces"}}
    said = helm.run("template", "slimgate", CHART, values=values)
    for text in ("image.repository", "existing.secretName", "existing.caBundle", "pullSecrets"):
        assert text in said.err


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_needs_a_namespace_of_its_own(helm, namespace):
    """Pods in its namespace are not judged: in a shared one that would be a way out."""
    there = replace(helm, namespace=namespace)
    said = there.run("template", "slimgate", CHART, values=NEEDED)
    assert said.status != 0
    assert f"slimgate needs a namespace of its own, not {namespace}" in said.err
