"""The chart: rendered by Helm, judged by what slimgate and the API server understand."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import trustme
import yaml

from tests.cluster import build
from webhook.cli import serve
from webhook.judge.load import load_policies
from webhook.wiring import read_namespaces

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "slimgate"
NEEDED = {
    "image": {"repository": "registry.example/slimgate"},
    "tls": {"existingSecret": "slimgate-tls", "caBundle": "Q0E="},
}


@pytest.fixture(scope="session")
def helm(provide, tmp_path_factory):
    """Run Helm with values; what it printed, and its status."""
    program = provide(build.HELM)
    home = tmp_path_factory.mktemp("helm")

    def run(*words, values):
        (home / "values.json").write_text(json.dumps(values))
        return subprocess.run(
            [program, *words, CHART, "--namespace", "gate", "--values", home / "values.json"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, "HELM_CACHE_HOME": str(home), "HELM_CONFIG_HOME": str(home)},
        )

    return run


@pytest.fixture(scope="session")
def rendered(helm):
    """Objects by kind and name, rendered with the needed values and some more."""

    def render(**more):
        done = helm("template", "slimgate", values={**NEEDED, **more})
        assert done.returncode == 0, done.stderr
        found = [one for one in yaml.safe_load_all(done.stdout) if one]
        return {(one["kind"], one["metadata"]["name"]): one for one in found}

    return render


def container(objects):
    """The one container of the Deployment."""
    return objects["Deployment", "slimgate"]["spec"]["template"]["spec"]["containers"][0]


def webhooks(objects):
    """The two webhooks by name."""
    found = objects["ValidatingWebhookConfiguration", "slimgate.gate"]["webhooks"]
    return {one["name"]: one for one in found}


def test_lint(helm):
    """Helm itself finds nothing."""
    done = helm("lint", "--strict", values=NEEDED)
    assert done.returncode == 0, done.stdout


def test_says_everything_that_is_missing_at_once(helm):
    """Without an image, a certificate and a CA it refuses, and says how to get them."""
    done = helm("template", "slimgate", values={})
    assert done.returncode != 0
    for text in ("image.repository", "docker build -t", "tls.existingSecret", "tls.caBundle"):
        assert text in done.stderr


def test_refuses_to_run_without_policies(helm):
    """slimgate would not start, and pods would wait for it."""
    done = helm("template", "slimgate", values={**NEEDED, "policies": {"builtin": []}})
    assert done.returncode != 0
    assert "policies.builtin or policies.extra" in done.stderr


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"auditonly": False}, id="unknown key"),
        pytest.param({"webhook": {"failurepolicy": "Fail"}}, id="unknown key inside"),
        pytest.param({"replicas": 0}, id="no replicas"),
        pytest.param({"webhook": {"timeoutSeconds": 31}}, id="timeout too long"),
        pytest.param({"policies": {"builtin": ["distroless"]}}, id="no such policy"),
        pytest.param({"image": {"repository": "r/s", "digest": "sha256:12"}}, id="bad digest"),
        pytest.param({"auditOnly": "false"}, id="a string for a boolean"),
    ],
)
def test_schema_refuses(helm, values):
    """A typing mistake never becomes a weaker installation."""
    done = helm("template", "slimgate", values={**NEEDED, **values})
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_refuses_two_policies_in_one_file(helm):
    """One of them would disappear silently."""
    values = {**NEEDED, "policies": {"extra": {"nonroot.yaml": "kind: ImagePolicy"}}}
    done = helm("template", "slimgate", values=values)
    assert "nonroot.yaml is a shipped policy's file" in done.stderr


def test_serve_understands_its_arguments(rendered):
    """Each option that the Deployment gives is one that ``slimgate serve`` has."""
    registries = {
        "authSecret": "a",
        "caConfigMap": "c",
        "plainHttp": ["r:5000"],
        "allowAddresses": ["10.0.0.0/8"],
        "denyAddresses": ["10.96.0.0/12"],
    }
    command, *options = container(rendered(registries=registries, auditOnly=True))["args"]
    known = {name for one in serve.command.params for name in one.opts}
    assert command == "serve"
    assert len(options) == 12
    assert {one.partition("=")[0] for one in options} <= known


def test_files_are_where_the_arguments_say(rendered):
    """Every path among the arguments lies below a mount that is there."""
    registries = {"authSecret": "a", "caConfigMap": "c"}
    one = container(rendered(registries=registries))
    mounts = [Path(mount["mountPath"]) for mount in one["volumeMounts"]]
    paths = [Path(arg.partition("=")[2]) for arg in one["args"] if "=/" in arg]
    assert len(paths) == 6
    assert all(any(path.is_relative_to(mount) for mount in mounts) for path in paths)


def test_policies_are_the_shipped_ones(rendered):
    """The ConfigMap has the documents of policies/, and those of the values."""
    extra = {"mine.yaml": "kind: ImagePolicy\n"}
    data = rendered(policies={"extra": extra})["ConfigMap", "slimgate-policies"]["data"]
    shipped = {path.name: path.read_text() for path in (ROOT / "policies").glob("*.yaml")}
    assert {name: yaml.safe_load(text) for name, text in data.items()} == {
        name: yaml.safe_load(text) for name, text in {**shipped, **extra}.items()
    }


def mounted(objects, name, folder):
    """The folder that the kubelet makes of a ConfigMap: links to files in a hidden folder."""
    hidden = folder / "..2026_11_01"
    hidden.mkdir()
    (folder / "..data").symlink_to(hidden.name)
    for file, text in objects["ConfigMap", name]["data"].items():
        (hidden / file).write_text(text)
        (folder / file).symlink_to(f"..data/{file}")
    return folder


def test_slimgate_reads_the_mounted_policies(rendered, tmp_path):
    """As they lie in the pod: no file is taken twice, none is missed."""
    policies = load_policies(mounted(rendered(), "slimgate-policies", tmp_path))
    shipped = {path.stem for path in (ROOT / "policies").glob("*.yaml")}
    assert len(policies) == len(shipped)
    assert {policy.name for policy in policies} == shipped


@pytest.mark.parametrize(
    ("listed", "labels"),
    [
        pytest.param(
            {"prod": {"slimgate.dev/policy": "distroless-nonroot"}},
            {"kubernetes.io/metadata.name": "prod", "slimgate.dev/policy": "distroless-nonroot"},
            id="listed",
        ),
        pytest.param({}, {"kubernetes.io/metadata.name": "prod"}, id="not listed"),
    ],
)
def test_slimgate_reads_the_mounted_namespaces(rendered, tmp_path, listed, labels):
    """Labels are those of the values; the name is always one."""
    folder = mounted(rendered(namespaces=listed), "slimgate-namespaces", tmp_path)
    namespace = read_namespaces(folder / "namespaces.yaml")("prod")
    assert namespace.labels == labels


@pytest.mark.parametrize(
    ("audit_only", "failure_policy", "seconds"),
    [
        pytest.param(True, "Ignore", 5, id="audit-only never stands in the way"),
        pytest.param(False, "Fail", 10, id="enforcing needs an answer"),
    ],
)
def test_registration(rendered, audit_only, failure_policy, seconds):
    """Pods count, templates advise; slimgate's own namespace and kube-system are left out."""
    objects = rendered(auditOnly=audit_only, webhook={"excludedNamespaces": ["storage"]})
    found = webhooks(objects)
    pods, templates = found["pods.slimgate.dev"], found["templates.slimgate.dev"]
    assert ("--audit-only" in container(objects)["args"]) is audit_only
    assert (pods["failurePolicy"], pods["timeoutSeconds"]) == (failure_policy, seconds)
    assert templates["failurePolicy"] == "Ignore"
    for one in (pods, templates):
        (requirement,) = one["namespaceSelector"]["matchExpressions"]
        assert requirement == {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "gate", "storage"],
        }
        assert one["clientConfig"]["service"] == {
            "name": "slimgate",
            "namespace": "gate",
            "path": "/validate",
            "port": 443,
        }


def test_injected_ca_is_left_to_the_injector(rendered):
    """With "injected" no bundle is rendered: Helm would put back what cert-manager replaced."""
    tls = {"existingSecret": "s", "caBundle": "injected"}
    assert all(
        "caBundle" not in one["clientConfig"] for one in webhooks(rendered(tls=tls)).values()
    )


def test_pod_is_restricted(rendered):
    """Pod Security's restricted level, a read-only root, and no token."""
    spec = rendered()["Deployment", "slimgate"]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_change_of_policies_starts_new_pods(rendered):
    """slimgate reads policies at start."""
    checksums = [
        rendered(policies={"builtin": names})["Deployment", "slimgate"]["spec"]["template"][
            "metadata"
        ]["annotations"]["slimgate.dev/policies"]
        for names in (["nonroot"], ["nonroot", "debuggable"])
    ]
    assert checksums[0] != checksums[1]


@pytest.mark.cluster
@pytest.mark.parametrize("audit_only", [True, False])
def test_api_server_accepts_every_object(bare_cluster, helm, audit_only):
    """By its own schemas and validation, and without a field that it does not know."""
    bundle = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    values = {**NEEDED, "auditOnly": audit_only, "tls": {"existingSecret": "s", "caBundle": bundle}}
    objects = helm("template", "slimgate", values=values).stdout
    if bare_cluster.kubectl("get", "namespace", "gate").status:
        bare_cluster.must("create", "namespace", "gate")
    said = bare_cluster.must(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=objects
    )
    assert said.count("created (server dry run)") == 7
    assert "warning" not in said.lower()


def leaves(values, prefix=""):
    """Every path to a value that is not an object with keys of its own."""
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in {"requests", "limits", "resources"}:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


VALUES = list(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


@pytest.mark.parametrize("path", VALUES)
def test_value_is_explained_declared_and_used(path):
    """No value without a comment above it, an entry in the schema, and a template that reads it."""
    name = path.rpartition(".")[2]
    assert re.search(rf"^ *# .*\n *{name}:", (CHART / "values.yaml").read_text(), re.MULTILINE)
    schema = json.loads((CHART / "values.schema.json").read_text())
    for key in path.split("."):
        schema = schema["properties"][key]
    templates = "\n".join(one.read_text() for one in (CHART / "templates").iterdir())
    assert re.search(rf"\.{name}\b", templates)
