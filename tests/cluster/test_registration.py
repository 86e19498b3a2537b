"""failurePolicy after a proven round trip, and Helm's server-side apply that it must not hinder."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from kubernetes.client import ApiClient
from kubernetes.config import load_kube_config
from kubernetes.dynamic import DynamicClient

from tests.cluster import build
from tests.cluster.support.processes import eventually
from tests.cluster.test_certificates import (
    NAME,
    NS,
    Replica,
    bundles,
    configuration,
    guard,
    installed,
    live,
    policy,
    serving,
)
from webhook.cluster.registration import MANAGED, MANAGER, Enforcement, Registration

pytestmark = pytest.mark.cluster
__all__ = ["guard"]


def test_nothing_fails_closed_before_it_is_proved(guard, tmp_path):
    """Nobody serves at first: the dry run comes back without the nonce."""
    one, port = guard
    with Replica(one, tmp_path / "a", "a", port=port, auto=True).running() as a:
        assert eventually(lambda: installed(a)), a.said
        assert not eventually(lambda: policy(one) == "Fail", seconds=1.5)
        with serving(port, a.folder):
            assert eventually(lambda: policy(one) == "Fail"), a.said
        assert live(one)["webhooks"][1]["failurePolicy"] == "Ignore"
    assert [word for word, _ in a.said].count("fails-closed") == 1


def test_set_by_hand_it_stays(guard, tmp_path):
    one, port = guard
    with (
        Replica(one, tmp_path / "a", "a", port=port, auto=False).running() as a,
    ):
        assert eventually(lambda: installed(a)), a.said
        with serving(port, a.folder):
            assert not eventually(lambda: policy(one) == "Fail", seconds=1.5)


def test_what_it_owns_still_it_lets_go_of(guard, tmp_path):
    """As where the request after a write failed: Helm would meet a conflict for ever."""
    one, port = guard
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: installed(a)), a.said  # from here on, it has nothing to write
        own(one, "timeoutSeconds", 6)
        assert eventually(lambda: MANAGER not in managers(one)), a.said
    assert live(one)["webhooks"][0]["timeoutSeconds"] == 6


def test_what_is_written_is_let_go_of_at_once(guard):
    """Not only at the next look: Helm may come before that."""
    one, _ = guard
    registration = Registration(client(one), NAME, report=lambda *_: None)
    registration.fail_closed(registration.read())
    assert flipped(one)


def test_who_only_flips_the_policy_lets_go_at_its_next_look(guard):
    """As with certificates of somebody else's."""
    one, _ = guard
    own(one, "failurePolicy", "Fail")
    assert not flipped(one)
    api, report = client(one), lambda *_: None
    registration = Registration(api, NAME, report=report)
    enforcement = Enforcement(api, registration, namespace="default", report=report)
    assert not enforcement.step(registration.read())
    assert flipped(one)


def test_what_is_not_ours_to_manage_is_not_let_go_of(guard, tmp_path):
    one, port = guard
    one.must("annotate", "validatingwebhookconfiguration", NAME, f"{MANAGED}=false")
    own(one, "timeoutSeconds", 6)
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: a.leader.leading), a.said
        assert not eventually(lambda: MANAGER not in managers(one), seconds=1.5)


def chart(folder, port):
    """A chart of the configuration alone; ``failurePolicy`` is a value."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("failurePolicy: Ignore\ntimeout: 5\n")
    document = configuration(port)
    document["webhooks"][0] |= {"failurePolicy": "POLICY", "timeoutSeconds": "SECONDS"}
    text = yaml.safe_dump(document)
    text = text.replace("POLICY", "{{ .Values.failurePolicy }}")
    (folder / "templates/vwc.yaml").write_text(text.replace("SECONDS", "{{ .Values.timeout }}"))
    return folder


def client(one):
    """As the controller has it."""
    load_kube_config(str(one.folder / "kubeconfig"))
    return DynamicClient(ApiClient())


def own(one, field, value):
    """Have the controller own a field of the first webhook, as if it had just written it."""
    change = json.dumps([{"op": "replace", "path": f"/webhooks/0/{field}", "value": value}])
    words = ("patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", change)
    one.must(*words, "--field-manager", MANAGER)


def flipped(one):
    """Whether a failure denies, and whoever wrote that has let go of it: a second request."""
    return policy(one) == "Fail" and MANAGER not in managers(one)


def managers(one):
    """Who owns fields of the configuration."""
    words = ("get", "validatingwebhookconfiguration", NAME, "--show-managed-fields", "-o", "json")
    return {field["manager"] for field in json.loads(one.must(*words))["metadata"]["managedFields"]}


def test_helm_goes_on_after_the_flip(guard, provide, tmp_path):
    """Install, flip, upgrade to another value, flip, roll back: no conflict, and Fail again."""
    one, port = guard
    one.must("delete", "validatingwebhookconfiguration", NAME)
    program = provide(build.HELM)

    def helm(*words):
        done = subprocess.run(
            [program, "--kubeconfig", one.folder / "kubeconfig", "-n", NS, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    tiny = chart(tmp_path / "tiny", port)
    helm("install", "tiny", tiny)
    try:
        with Replica(one, tmp_path / "a", "a", port=port, auto=True).running() as a:
            assert eventually(lambda: installed(a)), a.said
            good = bundles(one)
            with serving(port, a.folder):
                assert eventually(lambda: flipped(one)), a.said
                helm("upgrade", "tiny", tiny, "--set", "timeout=7,failurePolicy=Fail")
                assert live(one)["webhooks"][0]["timeoutSeconds"] == 7
                helm("upgrade", "tiny", tiny, "--set", "timeout=8,failurePolicy=Ignore")
                assert eventually(lambda: flipped(one)), a.said
                helm("rollback", "tiny", "1")
                assert live(one)["webhooks"][0]["timeoutSeconds"] == 5
                assert eventually(lambda: flipped(one)), a.said
                assert bundles(one) == good
    finally:
        helm("uninstall", "tiny")
