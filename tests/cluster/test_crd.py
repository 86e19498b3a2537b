"""The CRD in real API servers, the newest and the oldest: it refuses what files are refused for.

Every document here is given to ``load_policies`` and to both API servers, with the guard (the
ValidatingAdmissionPolicy beside the CRD) and without.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

import pytest

from scripts import docs
from tests.cluster import build
from tests.cluster.support.apiserver import Cluster
from tests.cluster.support.processes import eventually
from tests.judge.documents import text
from webhook.errors import PolicyError
from webhook.judge.crd import custom_resource_definition, guard
from webhook.judge.load import BUILTIN, builtin, load_policies
from webhook.judge.nodes import read
from webhook.judge.state import observed

POLICIES = "/apis/slimgate.dev/v1alpha1/imagepolicies"
ON = "action: Enforce\nchecks: {noShell: {}}\n"
EXCEPTION = "{images: [a.test/*], checks: [noShell], reason: OPS-1, expires: 2027-01-31}"
LONG = "x" * 513
MANY = ", ".join(f"a.test/{number}" for number in range(65))


def exception(*change):
    return f"{ON}exceptions: [{EXCEPTION.replace(*change)}]"


def selector(value):
    return f"{ON}namespaceSelector: {value}"


def rule(**change):
    fields = {"name": "r", "expression": "'true'", "message": "m", **change}
    body = ", ".join(f"{key}: {value}" for key, value in fields.items() if value is not None)
    return f"{ON}rules: [{{{body}}}]"


GOOD = {
    "one check": ON,
    "several checks": "action: Warn\nchecks: {nonRoot: {}, runnable: {}, noSetuid: {}}",
    "a rule alone": "action: Audit\nrules: [{name: r, expression: 'true', message: m}]",
    "more than the action": "action: Audit\nonUnknown: Deny\nworkloads: Enforce\n"
    "checks: {noShell: {}}",
    "sizes": "action: Enforce\nchecks: {size: {compressed: 150Mi, unpacked: 1048576, "
    "layer: '1.5G', layers: 4}}",
    "sizes in other words": "action: Enforce\nchecks: {size: {compressed: '1e9', layer: '.5Mi', "
    "unpacked: '+1Gi'}}",
    "age": "action: Enforce\nchecks: {age: {maxDays: 90, undated: Fail}}",
    "reference": "action: Enforce\nchecks: {reference: {digest: true, tags: {deny: [latest, "
    "'v*']}, registries: ['*.test/*', 'localhost:5000/a']}}",
    "base": "action: Enforce\nchecks: {base: {allow: [scratch, 'alpine:3.20.3']}}",
    "exception": exception("", ""),
    "exception of a namespace": exception("reason", "namespaces: [billing], reason"),
    "selector": selector("{matchLabels: {a.test/b: C-1, c: ''}}"),
    "selector with expressions": selector(
        "{matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}"
    ),
    "empty selector": selector("{}"),
    "images": f"{ON}images: {{include: ['*'], exclude: ['docker.io/library/*', '[::1]:5000/a']}}",
    "ephemeral": f"{ON}ephemeralContainers: {{allow: ['a.test/debug/*']}}",
    "a message in Greek": rule(message="'καλημέρα, κόσμε'"),
}

SCHEMA = {
    "no action": "checks: {noShell: {}}",
    "action in lower case": "action: enforce\nchecks: {noShell: {}}",
    "action a number": "action: 7\nchecks: {noShell: {}}",
    "no onUnknown": f"{ON}onUnknown: Refuse",
    "no workloads": f"{ON}workloads: Deny",
    "asks nothing": "action: Enforce",
    "no checks": "action: Enforce\nchecks: {}",
    "no rules": "action: Enforce\nrules: []",
    "an unknown check alone": "action: Enforce\nchecks: {noShel: {}}",
    "a null check alone": "action: Enforce\nchecks: {noShell: null}",
    "check no object": "action: Enforce\nchecks: {noShell: true}",
    "checks a list": "action: Enforce\nchecks: [noShell]",
    "size of nothing": "action: Enforce\nchecks: {size: {}}",
    "size with a space": "action: Enforce\nchecks: {size: {layer: 150 Mi}}",
    "size negative": "action: Enforce\nchecks: {size: {layer: '-1Mi'}}",
    "size negative number": "action: Enforce\nchecks: {size: {layer: -1}}",
    "size in milli": "action: Enforce\nchecks: {size: {layer: 150m}}",
    "size a boolean": "action: Enforce\nchecks: {size: {layer: true}}",
    "no layers": "action: Enforce\nchecks: {size: {layers: 0}}",
    "layers a string": "action: Enforce\nchecks: {size: {layers: '4'}}",
    "too many layers": "action: Enforce\nchecks: {size: {layers: 2147483648}}",
    "age of nothing": "action: Enforce\nchecks: {age: {}}",
    "undated": "action: Enforce\nchecks: {age: {maxDays: 9, undated: Maybe}}",
    "reference of nothing": "action: Enforce\nchecks: {reference: {digest: false}}",
    "no registries": "action: Enforce\nchecks: {reference: {registries: []}}",
    "no tags": "action: Enforce\nchecks: {reference: {tags: {deny: []}}}",
    "tag": "action: Enforce\nchecks: {reference: {tags: {deny: ['a b']}}}",
    "no bases": "action: Enforce\nchecks: {base: {allow: []}}",
    "base in upper case": "action: Enforce\nchecks: {base: {allow: [Alpine]}}",
    "include empty": f"{ON}images: {{include: []}}",
    "include no list": f"{ON}images: {{include: nginx}}",
    "glob without registry": f"{ON}images: {{include: [nginx]}}",
    "glob with a user": f"{ON}images: {{include: [library/nginx]}}",
    "glob with a tag": f"{ON}images: {{include: ['a.test/b:1']}}",
    "glob in upper case": f"{ON}images: {{include: ['a.test/B']}}",
    "glob in the host": f"{ON}images: {{include: ['a*.test/b']}}",
    "glob of Docker Hub": f"{ON}images: {{include: [docker.io/nginx]}}",
    "glob of the index": f"{ON}images: {{include: [index.docker.io/library/nginx]}}",
    "glob too long": f"{ON}images: {{include: [a.test/{LONG}]}}",
    "too many globs": f"{ON}images: {{include: [{MANY}]}}",
    "rule without name": rule(name=None),
    "rule's name": rule(name="A"),
    "rule without message": rule(message=None),
    "rule with an empty message": rule(message="' '"),
    "rule with two lines": rule(message='"a\\nb"'),
    "rule without expression": rule(expression="' '"),
    "rule too long": rule(expression="x" * 4097),
    "two rules of a name": ON + "rules:\n" + "- {name: r, expression: 'true', message: m}\n" * 2,
    "exception without reason": exception("reason: OPS-1, ", ""),
    "exception with no reason": exception("OPS-1", "''"),
    "exception for ever": exception(", expires: 2027-01-31", ""),
    "exception until no day": exception("01-31", "02-30"),
    "exception until a number": exception("2027-01-31", "20270131"),
    "exception until a time": exception("2027-01-31", "'2027-01-31T00:00:00Z'"),
    "exception of a check": exception("noShell", "noshell"),
    "exception of no images": exception("[a.test/*]", "[]"),
    "exception of no checks": exception("[noShell]", "[]"),
    "exception of no namespaces": exception("reason", "namespaces: [], reason"),
    "exception of a namespace's name": exception("reason", "namespaces: [A_B], reason"),
    "label a number": selector("{matchLabels: {a: 1}}"),
    "label key": selector("{matchLabels: {'a b': c}}"),
    "label value": selector("{matchLabels: {a: 'b c'}}"),
    "In without values": selector("{matchExpressions: [{key: a, operator: In}]}"),
    "Exists with values": selector("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
    "operator": selector("{matchExpressions: [{key: a, operator: Gt, values: ['1']}]}"),
    "requirement's key": selector("{matchExpressions: [{key: 'a b', operator: Exists}]}"),
    "requirement without key": selector("{matchExpressions: [{operator: Exists}]}"),
    "ephemeral without images": f"{ON}ephemeralContainers: {{}}",
}

GUARD = {
    "unknown field": f"{ON}onunknown: Deny",
    "unknown check": "action: Enforce\nchecks: {noShel: {}, nonRoot: {}}",
    "null check": "action: Enforce\nchecks: {noShell: null, nonRoot: {}}",
    "unknown option": "action: Enforce\nchecks: {noShell: {strict: true}}",
    "unknown limit": "action: Enforce\nchecks: {size: {compresed: 1Mi, layers: 4}}",
    "unknown option below": "action: Enforce\nchecks: {reference: {tags: {deny: [a], alow: [b]}}}",
    "unknown in images": f"{ON}images: {{includes: ['a.test/*']}}",
    "unknown in a rule": rule(severity="high"),
    "unknown in an exception": exception("reason", "namespace: billing, reason"),
    "unknown in the selector": selector("{matchLabel: {a: b}}"),
    "unknown in a requirement": selector("{matchExpressions: [{key: a, operator: Exists, x: 1}]}"),
    "unknown beside allow": f"{ON}ephemeralContainers: {{allow: [a.test/*], deny: []}}",
}
"""What only the ValidatingAdmissionPolicy sees: the CRD keeps it, and slimgate reports it."""

STATUS = {
    "rule that does not compile": (
        rule(expression="'image.x =='"),
        "the API server does not know the rule's variables",
    ),
    "rule of another type": (rule(expression="1 + 1"), "the same"),
    "size over 8Ei": (
        "action: Enforce\nchecks: {size: {layer: 9Ei}}",
        "the regular expression knows no amounts",
    ),
    "host that ends in a dash": (
        f"{ON}images: {{include: ['a.test-/b']}}",
        "the whole expression would be over the API server's CEL budget",
    ),
}
"""What only slimgate sees, and why: written, and then told in the status."""

BROKEN = {**SCHEMA, **GUARD, **{name: spec for name, (spec, _) in STATUS.items()}}

assert len(GOOD) + len(BROKEN) == sum(map(len, (GOOD, SCHEMA, GUARD, STATUS)))
assert not GOOD.keys() & BROKEN.keys()


def document(spec):
    """As kubectl reads it."""
    (node,) = read(text(spec), "f")
    return node.plain()


@dataclass(frozen=True)
class Served:
    """An API server that has the CRD, and what it answered to every document."""

    cluster: Cluster
    unguarded: dict[str, tuple[int, str]]
    guarded: dict[str, tuple[int, str]]


def _dry(one, sent):
    return one.post(f"{POLICIES}?dryRun=All", sent)


def _answers(one):
    said = {}
    for name, spec in {**GOOD, **BROKEN}.items():
        answer = _dry(one, document(spec))
        said[name] = (answer.status, answer.json.get("message", ""))
    return said


@pytest.fixture(
    scope="module",
    params=[build.KUBE_APISERVER, build.OLDEST_APISERVER],
    ids=lambda program: program.version,
)
def served(request, start, tmp_path_factory):
    """The CRD applied, then everything asked; the guard applied, then everything asked again."""
    with start(tmp_path_factory.mktemp("crd"), request.param) as one:
        apply = ("apply", "--server-side", "-f", "-")
        one.must(*apply, stdin=json.dumps(custom_resource_definition()))
        one.must("wait", "--for=condition=Established", "crd/imagepolicies.slimgate.dev")
        good = document(ON)
        assert eventually(lambda: _dry(one, good).status == 201)
        unguarded = _answers(one)
        for part in guard():
            one.must(*apply, stdin=json.dumps(part))
        null = document(GUARD["null check"])
        assert eventually(lambda: _dry(one, null).status == 422)
        yield Served(one, unguarded, _answers(one))


def test_the_crd_is_structural(served):
    """The API server has no complaint: its schema is structural, its names are accepted."""
    said = served.cluster.must("get", "crd", "imagepolicies.slimgate.dev", "-o", "json")
    conditions = {one["type"]: one["status"] for one in json.loads(said)["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_both_take_what_is_good(served):
    """No policy that a file may hold is refused by the API server."""
    for name, spec in GOOD.items():
        assert served.unguarded[name] == (201, ""), name
        assert served.guarded[name] == (201, ""), name
        assert observed(document(spec), None).problems == (), name


@pytest.mark.parametrize("name", BROKEN)
def test_slimgate_refuses_it(name, tmp_path):
    """As a file, and as an object."""
    (tmp_path / "f.yaml").write_text(text(BROKEN[name]))
    with pytest.raises(PolicyError):
        load_policies(tmp_path / "f.yaml")
    assert observed(document(BROKEN[name]), None).problems != ()


def test_the_schema_refuses_it(served):
    """Where types and CEL can say it, nothing more is needed."""
    let_in = [name for name in SCHEMA if served.unguarded[name][0] != 422]
    assert let_in == []


def test_the_guard_refuses_it(served):
    """Misspelt and null: let in by the CRD alone, which keeps it for slimgate to see."""
    assert {name: served.unguarded[name][0] for name in GUARD} == dict.fromkeys(GUARD, 201)
    for name in GUARD:
        status, message = served.guarded[name]
        assert (status, "unknown field" in message or "is null" in message) == (422, True), name


def test_what_is_left_is_for_the_status(served):
    """The explicit list; a document that the API server learns to refuse leaves it."""
    assert {name: served.guarded[name][0] for name in STATUS} == dict.fromkeys(STATUS, 201)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("asks nothing", "asks nothing: name at least one check or rule"),
        ("include empty", "include is empty: no image would be judged"),
        ("glob without registry", "names no registry: globs match whole names"),
        ("glob with a tag", "without tag and digest"),
        ("In without values", "In and NotIn need values"),
        ("size with a space", "is no size in bytes: 150Mi"),
        ("exception of no checks", "checks is empty: it would except nothing"),
    ],
)
def test_refusals_say_what_to_do(served, name, message):
    """The field and a way out, as slimgate's own."""
    status, said = served.unguarded[name]
    assert status == 422
    assert "spec" in said
    assert message in said


def test_what_is_kept_reaches_slimgate(served):
    """Without the guard a typo and a null survive the API server's pruning."""
    binding = "validatingadmissionpolicybinding/imagepolicies.slimgate.dev"
    saved = served.cluster.must("get", binding, "-o", "json")
    served.cluster.must("delete", binding)
    specs = ("null check", "unknown limit", "unknown in an exception", "unknown field")
    try:
        for name in specs:
            sent = document(GUARD[name])
            assert eventually(lambda sent=sent: _dry(served.cluster, sent).status == 201)
            stored = _dry(served.cluster, sent).json
            assert stored["spec"] == sent["spec"], name
            assert observed(stored, None).problems == observed(sent, None).problems != ()
    finally:
        kept = json.loads(saved)
        kept["metadata"] = {"name": kept["metadata"]["name"]}
        served.cluster.must("create", "-f", "-", stdin=json.dumps(kept))


@pytest.mark.parametrize("name", BUILTIN)
def test_the_shipped_policies_survive_the_round_trip(served, name):
    """Server-side apply takes them, and nothing is pruned, added or changed."""
    served.cluster.must("apply", "--server-side", "-f", str(builtin(name)))
    stored = json.loads(served.cluster.must("get", "imgpol", name, "-o", "json"))
    (node,) = read(builtin(name).read_text(), "f")
    assert stored["spec"] == node.plain()["spec"]
    assert observed(stored, None).problems == ()


def test_status_is_a_subresource(served):
    """Whoever writes it cannot change the policy, and the columns show it."""
    one = served.cluster
    one.must("apply", "--server-side", "-f", str(builtin("nonroot")))
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Broken",
        "message": "spec.rules[0].expression: 1:1: Syntax error",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-24T12:00:00Z",
    }
    patch = {
        "spec": {"action": "Audit"},
        "status": {"observedGeneration": 1, "conditions": [condition]},
    }
    words = ("patch", "imgpol", "nonroot", "--subresource=status", "--type=merge")
    one.must(*words, "-p", json.dumps(patch))
    stored = json.loads(one.must("get", "imgpol", "nonroot", "-o", "json"))
    assert stored["spec"]["action"] == "Enforce"
    assert stored["status"] == patch["status"]
    heads, row = one.must("get", "imgpol", "nonroot").splitlines()
    assert heads.split() == ["NAME", "ACTION", "READY", "REASON", "AGE"]
    assert row.split()[:4] == ["nonroot", "Enforce", "False", "Broken"]


@pytest.mark.parametrize(
    ("path", "taught"),
    [
        ("imagepolicy", "What the policy asks of which images"),
        ("imagepolicy.spec.action", "Enforce refuses the pod"),
        ("imgpol.spec.checks.size", "All layers as the registry stores them (150Mi)"),
        ("imgpol.spec.checks.noShell", "No shell can be started in the container"),
        ("imgpol.spec.checks.reference.tags.deny", "tag"),
        ("imgpol.spec.exceptions.expires", "The last valid day, UTC"),
        ("imgpol.spec.rules.expression", "True passes, false fails"),
        ("imgpol.status.conditions", "Ready says whether the newest version"),
    ],
)
def test_kubectl_explain_teaches(served, path, taught):
    """From the words that stand beside the types."""
    assert taught in " ".join(served.cluster.must("explain", path).split())


def _undescribed(schema, path):
    for name, one in schema.get("properties", {}).items():
        if "description" not in one and f"{path}.{name}" != ".metadata":
            yield f"{path}.{name}"
        yield from _undescribed(one, f"{path}.{name}")
    if "items" in schema:
        yield from _undescribed(schema["items"], f"{path}[]")


def test_every_field_is_described():
    """A field without words would be an empty line in kubectl explain."""
    version = custom_resource_definition()["spec"]["versions"][0]
    assert list(_undescribed(version["schema"]["openAPIV3Schema"], "")) == []


HOOK = """\
{{- $crd := .Files.Get "crds/imagepolicies.slimgate.dev.yaml" | fromYaml }}
{{- $_ := set $crd.metadata "annotations" (dict "helm.sh/hook" "pre-upgrade") }}
{{- toYaml $crd }}
"""
HELPERS = """\
{{- define "slimgate.clusterName" }}gate{{ end }}
{{- define "slimgate.labels" }}
a: b
{{- end }}
"""


@pytest.fixture
def release(served, provide, tmp_path):
    """Helm with a chart that holds what ours has of the types, the upgrade hook and a policy."""
    program = provide(build.HELM)
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: only-crd, version: 0.1.0}")
    (tmp_path / "values.yaml").write_text("guards: {policies: true}")
    for path, content in docs.chart_files().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "templates" / "crd.yaml").write_text(HOOK)
    (tmp_path / "templates" / "_helpers.tpl").write_text(HELPERS)
    mine = builtin("nonroot").read_text().replace("name: nonroot", "name: from-the-chart")
    (tmp_path / "templates" / "policy.yaml").write_text(mine)
    env = {"HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path)}
    kubeconfig = ("--kubeconfig", served.cluster.folder / "kubeconfig", "--namespace", "default")

    def run(*words):
        done = subprocess.run(
            [program, *kubeconfig, *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, **env},
        )
        assert done.returncode == 0, done.stderr

    for kind in (*guard(), custom_resource_definition()):
        served.cluster.must("delete", "--wait", "-f", "-", stdin=json.dumps(kind))
    return run, tmp_path


def _left(one, *kinds):
    return one.must("get", ",".join(kinds), "-o", "name").split()


def test_helm_installs_and_upgrades_it(served, release):
    """A policy in the very release that brings its CRD; a CRD that is upgraded; what is left.

    Runs last: it takes the CRD away.
    """
    run, chart = release
    one = served.cluster
    run("install", "gate", chart)
    uid = one.must("get", "imgpol", "from-the-chart", "-o", "jsonpath={.metadata.uid}")
    typo = document(GUARD["unknown check"])
    assert eventually(lambda: _dry(one, typo).status == 422)

    crd = chart / "crds" / "imagepolicies.slimgate.dev.yaml"
    crd.write_text(crd.read_text().replace("- imgpol\n", "- imgpol\n    - imgp\n"))
    run("upgrade", "gate", chart)
    assert uid == one.must("get", "imgpol", "from-the-chart", "-o", "jsonpath={.metadata.uid}")
    names = "jsonpath={.spec.names.shortNames}"
    assert json.loads(one.must("get", "crd", "imagepolicies.slimgate.dev", "-o", names)) == [
        "imgpol",
        "imgp",
    ]

    run("uninstall", "gate")
    assert eventually(lambda: _left(one, "imgpol") == [])
    ours = ("crd", "validatingadmissionpolicies", "validatingadmissionpolicybindings")
    assert [name.partition("/")[2] for name in _left(one, *ours)] == ["imagepolicies.slimgate.dev"]
    run("install", "gate", chart)  # over the definition that was left
    assert _left(one, "imgpol") == ["imagepolicy.slimgate.dev/from-the-chart"]
