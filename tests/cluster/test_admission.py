"""Every sample through kubectl and the real API server, in each kind of namespace.

Enforce refuses with a message of the sample's own, Warn warns of the same, Audit only records
it, and a slimgate in audit-only mode refuses nothing whatever the policy says.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.conftest import REHEARSAL
from tests.cluster.support.objects import pod
from tests.cluster.support.slimgate import policy_name
from tests.support import forge
from tests.support.push import push
from tests.support.samples import SAMPLES, distroless

pytestmark = pytest.mark.cluster

# Name → what must be said of it.
FAILS = {name: (one.fails, one.says) for name, one in SAMPLES.items() if one.fails}
UNKNOWN = {
    "missing": ("notFound", "answers 404"),
    "unreachable": ("unreachable", "refuses connections"),
    "wrong-credentials": ("unauthorized", "answers 401"),
}
WRONG = {**FAILS, **UNKNOWN}
FINE = [*(name for name, one in SAMPLES.items() if not one.fails), "right-credentials"]


def sample_pod(name, images):
    """The pod that runs the sample, named after it."""
    spec = SAMPLES[name].pod if name in SAMPLES else {}
    return pod(name, images[name], **spec)


def annotations(event, webhook="pods.slimgate.dev"):
    """What slimgate left in the audit log."""
    found = event["annotations"].items()
    return {key.partition("/")[2]: text for key, text in found if key.startswith(f"{webhook}/")}


@pytest.mark.parametrize("name", WRONG)
def test_enforce_refuses_and_says_why(name, governed, images):
    """kubectl fails with 403, the reason, and what to do about it; nothing is stored."""
    said = governed.create(sample_pod(name, images), "--namespace", "prod")
    assert said.status != 0
    assert "Error from server (Forbidden)" in said.err
    assert 'admission webhook "pods.slimgate.dev" denied the request: policy' in said.err
    for text in (policy_name("prod"), f"Pod/{name}", "container app", "fix: ", *WRONG[name]):
        assert text in said.err
    event = governed.audited("prod", name)
    assert event["responseStatus"]["code"] == 403
    assert annotations(event)["decision"] == "deny"
    assert governed.kubectl("get", "pod", name, "--namespace", "prod").status != 0


@pytest.mark.parametrize("name", [name for name in FAILS if name.startswith(("shell", "package"))])
def test_a_refusal_names_the_layer_and_its_build_step(name, governed, images):
    """What to look for in the Dockerfile, beside the path."""
    said = governed.create(sample_pod(name, images), "--namespace", "prod")
    last = SAMPLES[name].image.layers[-1]
    assert f" in layer {last[:19]}, made by: " in said.err


def test_a_real_busybox_is_found_under_another_name(governed, registries):
    """The sample's BusyBox is a few strings of it; this one is Debian's."""
    real = shutil.which("busybox")
    if real is None:
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    renamed = forge.file("app/agent", Path(real).read_bytes(), mode=0o755)
    image = push(registries.open.host, "samples/renamed", distroless(renamed))
    said = governed.create(pod("renamed", image), "--namespace", "prod")
    assert "noShell: /app/agent is busybox by its content" in said.err


@pytest.mark.parametrize("name", WRONG)
def test_warn_lets_in_with_a_warning(name, governed, images):
    """kubectl prints a warning that says the same, and creates the pod."""
    said = governed.create(sample_pod(name, images), "--namespace", "staging")
    assert said.status == 0, said.err
    assert said.warnings
    for text in (policy_name("staging"), *WRONG[name]):
        assert text in " ".join(said.warnings)
    assert annotations(governed.audited("staging", name))["decision"] == "warn"


@pytest.mark.parametrize("name", WRONG)
def test_audit_lets_in_and_records(name, governed, images):
    """kubectl says nothing; the API server's audit log says what was found."""
    said = governed.create(sample_pod(name, images), "--namespace", "dev")
    assert (said.status, said.err) == (0, "")
    found = annotations(governed.audited("dev", name))
    recorded = found["unknown" if name in UNKNOWN else "violations"]
    assert all(text in recorded for text in WRONG[name])
    assert found["decision"] == "audit"
    assert found["policies"] == policy_name("dev")


@pytest.mark.parametrize("name", WRONG)
def test_audit_only_never_refuses(name, governed, images):
    """prod's own policy refuses nothing in audit-only mode, and what it would have is recorded."""
    said = governed.create(sample_pod(name, images), "--namespace", REHEARSAL)
    assert said.status == 0, said.err
    found = annotations(governed.audited(REHEARSAL, name), "pods.rehearsal.slimgate.dev")
    assert found["decision"] == "would-deny"
    assert found["would-deny"] == policy_name("prod")


@pytest.mark.parametrize("namespace", ["prod", "staging", "dev", REHEARSAL])
@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_is_let_in(name, namespace, governed, images):
    """Without a warning, under every policy; the audit log has the digest that was judged."""
    said = governed.create(sample_pod(name, images), "--namespace", namespace)
    assert (said.status, said.err) == (0, "")
    webhook = "pods.rehearsal.slimgate.dev" if namespace == REHEARSAL else "pods.slimgate.dev"
    found = annotations(governed.audited(namespace, name), webhook)
    assert found["decision"] == "allow"
    assert images[name].partition("@")[2] in found["images"]
