"""One manifest, three entrances, one answer: the webhook, ``review`` and ``check -f``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from tests.cluster.support.objects import pod
from tests.cluster.support.slimgate import LABEL, policy_name, slimgate, write_policies
from tests.cluster.support.web import request
from tests.support.registry import Registry
from tests.support.samples import SAMPLES, STORIES

EVERY = {**SAMPLES, **STORIES}
MISSING = "missing"
LABELS = {"kubernetes.io/metadata.name": "prod", LABEL: policy_name("prod")}
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "prod", "labels": LABELS},
}


@pytest.fixture(scope="module")
def registry():
    """Holds every sample."""
    with Registry({f"{name}:v1": sample.image for name, sample in EVERY.items()}) as one:
        yield one


@pytest.fixture(scope="module")
def common(tmp_path_factory, registry):
    """What all three are told: policies, namespaces, credentials, hosts without TLS."""
    folder = tmp_path_factory.mktemp("common")
    namespaces, authfile = folder / "namespaces.yaml", folder / "config.json"
    namespaces.write_text(yaml.safe_dump(NAMESPACE))
    authfile.write_text("{}")
    return {
        "policies": write_policies(folder / "policies"),
        "namespaces": namespaces,
        "authfile": authfile,
        "plain_http": [registry.host],
    }


@pytest.fixture(scope="module")
def gate(common, tmp_path_factory):
    """The webhook."""
    with slimgate(tmp_path_factory.mktemp("gate") / "one", **common) as one:
        yield one


def by_webhook(review, gate):
    """The response of the running webhook."""
    headers = {"Content-Type": "application/json"}
    answer = request("POST", f"{gate.url}?timeout=30s", review, headers=headers, trust=gate.trust)
    assert answer.status == 200
    return answer.json["response"]


def by_review(review, common):
    """The response of ``slimgate review``."""
    words = ["--policy", common["policies"], "--namespaces", common["namespaces"]]
    return json.loads(command("review", *words, common=common, stdin=review).stdout)["response"]


def by_check(manifest, common):
    """The decisions of ``slimgate check -f``, and its exit code."""
    words = ["-f", "-", "-o", "json", "--policy", common["policies"]]
    labels = [
        word for key, value in LABELS.items() for word in ("--namespace-label", f"{key}={value}")
    ]
    done = command("check", *words, *labels, common=common, stdin=manifest)
    return json.loads(done.stdout)["decisions"], done.returncode


def command(*words, common, stdin):
    """Run slimgate."""
    hosts = [word for host in common["plain_http"] for word in ("--plain-http", host)]
    line = [sys.executable, "-m", "webhook", *words, "--authfile", common["authfile"], *hosts]
    done = subprocess.run(line, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.stdout, done.stderr.decode()
    return done


def told(decisions, result):
    """Findings as the audit annotations tell them: each once, with the checks it answers."""
    checks = {}
    for one in decisions:
        for finding in one["findings"]:
            if finding["result"] == result:
                unknown = f" could not be found out ({finding['reason']}):" * (result == "unknown")
                text = f"{unknown} {finding['detail'].rstrip('.')}"
                checks.setdefault((one["policy"], one["container"], text), []).append(
                    finding["check"]
                )
    return "; ".join(
        f"{policy}: container {container}: {', '.join(dict.fromkeys(asked))}:{text}"
        for (policy, container, text), asked in checks.items()
    )


@pytest.mark.parametrize("name", [*EVERY, MISSING])
def test_three_entrances_one_answer(name, registry, common, gate):
    """The same findings in the same words, and the same verdict."""
    manifest = pod(name, f"{registry.host}/{name}:v1", **(EVERY[name].pod if name in EVERY else {}))
    manifest["metadata"]["namespace"] = "prod"
    review = json.dumps(admission_review(manifest)).encode()

    response = by_webhook(review, gate)
    assert by_webhook(review, gate) == response  # all is known now, and nothing waited for
    assert by_review(review, common) == response
    decisions, status = by_check(json.dumps(manifest).encode(), common)
    annotations = response["auditAnnotations"]
    assert told(decisions, "fail") == annotations.get("violations", "")
    assert told(decisions, "unknown") == annotations.get("unknown", "")
    assert all(one["allowed"] for one in decisions) == response["allowed"]
    assert status == {"allow": 0, "deny": 2 if name == MISSING else 1}[annotations["decision"]]


def admission_review(manifest):
    """The review of a CREATE, as the API server sends it."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "3f2c8f0e-0f2a-4f0e-9a55-6a9f1f1f7b3d",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": manifest["metadata"]["name"],
            "namespace": "prod",
            "operation": "CREATE",
            "userInfo": {"username": "developer"},
            "object": manifest,
            "dryRun": False,
        },
    }
