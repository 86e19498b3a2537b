"""The guard in docs/operations.md for API servers that read admission policies from files."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.chart.conftest import ROOT
from tests.cluster import build
from tests.cluster.support.apiserver import cluster
from tests.cluster.support.processes import eventually

pytestmark = pytest.mark.cluster
EXAMPLE = ROOT / "docs" / "examples" / "static-guard.yaml"
GUARD = "validatingadmissionpolicy/slimgate.slimgate-webhook"
OPERATOR = ("--as", "operator")


def configuration(folder):
    """As docs/operations.md has it, with another folder."""
    text = (ROOT / "docs" / "operations.md").read_text()
    start = text.index("    apiVersion: apiserver.config.k8s.io/v1")
    lines = text[start:].split("\n\n")[0].splitlines()
    document = yaml.safe_load("\n".join(line.removeprefix("    ") for line in lines))
    document["plugins"][0]["configuration"]["staticManifestsDir"] = str(folder)
    return yaml.safe_dump(document)


@pytest.fixture(scope="module")
def guarded(provide, tmp_path_factory):
    """An API server with the example, and somebody who may change every admission policy."""
    folder = tmp_path_factory.mktemp("static")
    policies = folder / "policies"
    policies.mkdir()
    shutil.copy(EXAMPLE, policies)
    (folder / "admission.yaml").write_text(configuration(policies))
    server = folder / "kube-apiserver"
    server.write_text(
        f'#!/bin/sh\nexec "{provide(build.KUBE_APISERVER)}" "$@" '
        f'--admission-control-config-file="{folder}/admission.yaml"\n'
    )
    server.chmod(0o755)
    with cluster(
        etcd=provide(build.ETCD),
        kube_apiserver=server,
        kubectl=provide(build.KUBECTL),
        folder=folder,
    ) as one:
        words = ("--verb=*", "--resource=validatingadmissionpolicies.admissionregistration.k8s.io")
        one.must("create", "clusterrole", "edit-guards", *words)
        one.must(
            "create",
            "clusterrolebinding",
            "operator",
            "--clusterrole=edit-guards",
            "--user=operator",
        )
        for name in ("slimgate.slimgate-webhook", "theirs"):
            one.must("create", "-f", "-", stdin=json.dumps(policy(name)))
        assert eventually(lambda: one.kubectl("get", GUARD, *OPERATOR).status == 0)
        yield one


def policy(name):
    """An admission policy that does nothing."""
    rule = {
        "operations": ["DELETE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["pods/none"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "true"}],
        },
    }


@pytest.mark.parametrize("words", [["delete"], ["label", "a=b"]], ids=["delete", "change"])
def test_operator_cannot_touch_the_guards(guarded, words):
    """Through no right to admission policies."""
    said = guarded.kubectl(words[0], GUARD, *words[1:], *OPERATOR)
    assert said.status != 0
    assert "slimgate's guards are changed only by" in said.err


def test_operator_can_change_others(guarded):
    """It guards slimgate's only."""
    guarded.must("delete", "validatingadmissionpolicy/theirs", *OPERATOR)


def test_administrator_can(guarded):
    """And so can Helm."""
    guarded.must("delete", GUARD, "--dry-run=server")
