"""slimgate as it is run: a process with policies from files, registered as a webhook."""

from __future__ import annotations

import base64
import signal
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.cluster.support.processes import eventually, free_port, running
from tests.cluster.support.web import answers
from tests.support.served import can_read

SHIPPED = Path(__file__).parents[3] / "policies"
LABEL = "slimgate.dev/policy"
ACTIONS = {"prod": "Enforce", "staging": "Warn", "dev": "Audit"}
"""Namespace to the action of its policy."""
SIZES = {"compressed": "2Mi", "unpacked": "16Mi"}
"""Below the samples that are too big: nobody wants to push 150 MiB in a test."""

TEMPLATES = {
    "": ["replicationcontrollers", "podtemplates"],
    "apps": ["daemonsets", "deployments", "replicasets", "statefulsets"],
    "batch": ["cronjobs", "jobs"],
}


@dataclass(frozen=True)
class Gate:
    """A slimgate that answers."""

    port: int
    authority: bytes
    """The PEM certificate of the CA that vouches for it."""

    @property
    def url(self) -> str:
        """Where reviews go."""
        return f"https://127.0.0.1:{self.port}/validate"

    @property
    def trust(self) -> ssl.SSLContext:
        """For clients of the tests' own."""
        return ssl.create_default_context(cadata=self.authority.decode())


def policy_name(namespace: str) -> str:
    """Of the policy that judges the namespace; its ``LABEL`` says so."""
    return f"distroless-nonroot-{namespace}"


def write_policies(folder: Path) -> Path:
    """The shipped ``distroless-nonroot`` three times, once with each action."""
    folder.mkdir()
    for namespace, action in ACTIONS.items():
        policy = yaml.safe_load((SHIPPED / "distroless-nonroot.yaml").read_text())
        policy["metadata"]["name"] = policy_name(namespace)
        spec = policy["spec"]
        spec["namespaceSelector"] = {"matchLabels": {LABEL: policy_name(namespace)}}
        spec["action"] = action
        spec["checks"]["size"] = SIZES
        for name in ("onUnknown", "workloads"):  # as they are by default for the action
            spec.pop(name, None)
        (folder / f"{namespace}.yaml").write_text(yaml.safe_dump(policy))
    return folder


@contextmanager
def slimgate(
    folder: Path,
    *,
    policies: Path,
    namespaces: Path,
    authfile: Path,
    plain_http: Sequence[str],
    options: Sequence[str] = (),
) -> Iterator[Gate]:
    """Run ``slimgate serve``, its log and certificate in ``folder``, from when it reads layers."""
    folder.mkdir()
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    cert, key = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    gate = Gate(free_port(), authority.cert_pem.bytes())
    command = [
        *(sys.executable, "-m", "webhook", "serve"),
        *("--policies", policies, "--namespaces", namespaces, "--authfile", authfile),
        *("--listen", f"127.0.0.1:{gate.port}", "--cert", cert, "--key", key),
        *("--metrics", f"127.0.0.1:{free_port()}"),
        "--allow-loopback",
        *(word for host in plain_http for word in ("--plain-http", host)),
        *options,
    ]
    ready = partial(answers, f"https://127.0.0.1:{gate.port}/readyz", trust=gate.trust)
    at_once = signal.SIGINT  # SIGTERM would have it answer on for a while
    with running(command, log=folder / "log", ready=ready, end=at_once) as process:
        assert eventually(lambda: can_read(process.pid))
        yield gate


def registration(
    name: str, gate: Gate, *, namespaces: Mapping[str, Any], audit_only: bool = False
) -> dict[str, Any]:
    """Two webhooks, much as the chart registers them: pods may be refused, templates are advised.

    They may take longer than there: a machine that stands still for some seconds is no answer.

    ``namespaces`` is a requirement on ``kubernetes.io/metadata.name``.
    """
    place = {"url": gate.url, "caBundle": base64.b64encode(gate.authority).decode()}
    requirement = {"key": "kubernetes.io/metadata.name", **namespaces}
    common = {
        "clientConfig": place,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 30,
        "namespaceSelector": {"matchExpressions": [requirement]},
    }
    pods = [_rule("", ["pods", "pods/ephemeralcontainers"])]
    templates = [_rule(group, resources) for group, resources in TEMPLATES.items()]
    enforced = "Ignore" if audit_only else "Fail"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {"name": f"pods.{name}", "failurePolicy": enforced, "rules": pods, **common},
            {"name": f"templates.{name}", "failurePolicy": "Ignore", "rules": templates, **common},
        ],
    }


def _rule(group: str, resources: list[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": resources,
        "scope": "Namespaced",
    }
