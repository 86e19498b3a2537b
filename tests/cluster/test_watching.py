"""The controller and ``slimgate serve --state`` at a real API server, which comes and goes."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid

import pytest
import yaml

from tests.cluster.support.apiserver import TOKEN, write_kubeconfig
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually
from tests.cluster.support.proxy import proxy
from tests.cluster.support.watched import NAMESPACE, policy, watched
from tests.cluster.support.web import request
from webhook.cluster import namespaces, state
from webhook.cluster.api import configured, connect
from webhook.cluster.watch import Watch
from webhook.judge.crd import custom_resource_definition

pytestmark = pytest.mark.cluster

ROOT = {"securityContext": {"runAsUser": 0}}
"""Refused by nonRoot without any image being read."""
IMAGE = "registry.example/app:1"
SOON = 10
"""Seconds in which a change is seen, on a machine that stands still for some of them. What is not
seen before a watch ends takes up to 30."""


@pytest.fixture(scope="module")
def gate(alone, tmp_path_factory):
    """Both processes, registered, with a policy that enforces nonRoot where the label says so."""
    with watched(alone, tmp_path_factory.mktemp("watched")) as one:
        one.start("serve", ready=False)
        one.start("controller")
        age = "slimgate_snapshot_age_seconds"
        assert eventually(lambda: one.metric(one.probes, age) < float("inf"))
        one.register()
        alone.must("apply", "-f", "-", stdin=policy("strict"))
        assert eventually(lambda: "strict" in [each.name for each in snapshot(one).policies])
        yield one


@pytest.fixture
def space(gate, request):
    """A new namespace, under the policy."""
    number = abs(hash(request.node.nodeid)) % 1_000_000
    name = f"space-{number}"
    make(gate, name, "strict")
    yield name
    gate.cluster.must("delete", "namespace", name, "--wait=false")


def snapshot(gate):
    """What the process that answers judges by."""
    return state.read(gate.state)


def make(gate, name, label):
    """A namespace with its label, and the account that every pod has."""
    labels = {"slimgate.dev/policy": label} if label else {}
    meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    account["metadata"] = {"name": "default", "namespace": name}
    gate.cluster.must("create", "-f", "-", stdin=yaml.safe_dump_all([meta, account]))


def ask(gate, namespace, **spec):
    """What is said to a pod that runs as root."""
    document = pod("probe-", IMAGE, **ROOT, **spec)
    words = ("--namespace", namespace, "--dry-run=server")
    return gate.cluster.create(document, *words)


def denied(gate, namespace):
    """Whether such a pod is denied, by slimgate."""
    return 'admission webhook "pods.slimgate.dev" denied' in ask(gate, namespace).err


def test_a_pod_in_a_namespace_made_just_now_is_judged_by_its_labels(gate):
    """Whether or not the watch has brought it: it is read live."""
    for number in range(5):
        make(gate, f"fresh-{number}", "strict")
        assert denied(gate, f"fresh-{number}")


def test_a_change_of_a_label_is_seen_within_seconds(gate, space):
    """By the watch."""
    assert denied(gate, space)
    gate.cluster.must("label", "namespace", space, "slimgate.dev/policy-")
    assert eventually(lambda: ask(gate, space).status == 0, seconds=SOON)
    gate.cluster.must("label", "namespace", space, "slimgate.dev/policy=strict")
    assert eventually(lambda: denied(gate, space), seconds=SOON)


def test_a_change_of_a_policy_is_seen_within_seconds(gate):
    """Made, changed, deleted."""
    make(gate, "changing", "changing")
    assert ask(gate, "changing").status == 0
    gate.cluster.must("apply", "-f", "-", stdin=policy("changing"))
    assert eventually(lambda: denied(gate, "changing"), seconds=SOON)
    gate.cluster.must("apply", "-f", "-", stdin=policy("changing", action="Warn"))
    assert eventually(lambda: ask(gate, "changing").warnings != [], seconds=SOON)
    gate.cluster.must("delete", "imagepolicy", "changing")
    assert eventually(lambda: ask(gate, "changing").err == "", seconds=SOON)


def test_a_policy_says_how_it_stands(gate):
    """``kubectl get`` and ``kubectl describe`` tell, and ``kubectl wait`` can wait for it."""
    gate.cluster.must("wait", "--for=condition=Ready", "imgpol/strict", "--timeout=100s")
    said = gate.cluster.must("get", "imgpol", "strict")
    assert "Enforce" in said
    assert "Compiled" in said


BROKEN = [{"name": "maintained", "expression": "image.labels.", "message": "no"}]
"""What the API server cannot see: this is no CEL."""


def test_a_broken_policy_is_judged_by_its_last_good_version_and_says_so(gate):
    """In status, by an event and in the metrics, until it is mended."""
    cluster = gate.cluster
    cluster.must("apply", "-f", "-", stdin=policy("mending"))
    make(gate, "mending", "mending")
    assert eventually(lambda: denied(gate, "mending"))
    cluster.must("apply", "-f", "-", stdin=policy("mending", rules=BROKEN))
    cluster.must("wait", "--for=condition=Ready=false", "imgpol/mending", "--timeout=100s")
    told = cluster.must("describe", "imgpol", "mending")
    assert "its last good version goes on judging" in told
    assert "spec.rules[0].expression" in told
    assert eventually(lambda: "PolicyBroken" in cluster.must("describe", "imgpol", "mending"))
    broken = 'slimgate_policy_broken{policy="mending"}'  # counted by another thread than tells it
    assert eventually(lambda: gate.metric(gate.controller, broken) == 1)
    assert gate.metric(gate.controller, 'slimgate_policies{state="last-good"}') == 1
    assert denied(gate, "mending")
    cluster.must("apply", "-f", "-", stdin=policy("mending"))
    cluster.must("wait", "--for=condition=Ready", "imgpol/mending", "--timeout=100s")
    assert eventually(lambda: gate.metric(gate.controller, broken) == 0)


def test_a_policy_that_was_never_good_is_unknown_not_absent(gate):
    """What it selects is refused by an Enforce policy, and the reason names the policy."""
    gate.cluster.must("apply", "-f", "-", stdin=policy("newly-broken", rules=BROKEN))
    make(gate, "newly-broken", "newly-broken")
    assert eventually(lambda: denied(gate, "newly-broken"))
    said = ask(gate, "newly-broken").err
    assert "could not be found out (broken): the policy cannot be read" in said
    assert "kubectl describe imagepolicy newly-broken" in said
    gate.cluster.must("delete", "imagepolicy", "newly-broken")


def test_the_last_good_version_outlives_the_controller(gate):
    """It is in the snapshot, and a controller that begins anew takes it from there."""
    cluster = gate.cluster
    cluster.must("apply", "-f", "-", stdin=policy("outliving"))
    make(gate, "outliving", "outliving")
    assert eventually(lambda: denied(gate, "outliving"))
    cluster.must("apply", "-f", "-", stdin=policy("outliving", rules=BROKEN))
    cluster.must("wait", "--for=condition=Ready=false", "imgpol/outliving", "--timeout=100s")
    gate.stop("controller", signal.SIGKILL)
    assert denied(gate, "outliving")
    gate.start("controller")
    said = ask(gate, "outliving").err
    assert "nonRoot" in said
    assert "could not be found out" not in said
    cluster.must("delete", "imagepolicy", "outliving")


def test_broken_glass_lets_everything_in_and_is_told_of(gate, space):
    """A warning to the user, an event, two metrics; until the label is gone."""
    cluster = gate.cluster
    cluster.must("label", "namespace", space, "slimgate.dev/break-glass=true")
    assert eventually(lambda: ask(gate, space).status == 0)
    (warning,) = ask(gate, space).warnings
    assert warning == f"slimgate break-glass is on for namespace {space}: nothing is enforced"
    events = ("get", "events", "--namespace", "default", "--field-selector", "reason=BreakGlass")
    # The Lease of a controller that was killed has to lapse first.
    assert eventually(lambda: f"namespace/{space}" in cluster.must(*events))
    count = "slimgate_break_glass_namespaces"
    assert eventually(lambda: gate.metric(gate.controller, count) == 1)
    assert gate.metric(gate.probes, 'slimgate_break_glass_reviews_total{by="namespace"}') > 0
    cluster.must("label", "namespace", space, "slimgate.dev/break-glass-")
    assert eventually(lambda: denied(gate, space))


def test_glass_broken_for_the_whole_release_is_told_of(gate):
    """By an event on slimgate's own namespace, and a metric, until the value is taken back."""
    assert gate.metric(gate.controller, "slimgate_break_glass_release") == 0
    gate.stop("controller")
    gate.duties = ("--break-glass",)
    gate.start("controller")
    events = ("get", "events", "--namespace", "default", "--field-selector", "reason=BreakGlass")
    assert eventually(lambda: f"namespace/{NAMESPACE}" in gate.cluster.must(*events))
    assert gate.metric(gate.controller, "slimgate_break_glass_release") == 1
    gate.stop("controller")
    gate.duties = ()
    gate.start("controller")


def test_what_is_known_is_enough_while_the_controller_is_away(gate, space):
    """Killed, it takes nothing with it but what is new; a namespace it never told of is unknown."""
    assert eventually(lambda: space in [each.name for each in snapshot(gate).namespaces])
    gate.stop("controller", signal.SIGKILL)
    assert denied(gate, space)
    make(gate, "unheard-of", "strict")
    said = ask(gate, "unheard-of").err
    assert "Internal error" in said or "InternalError" in said
    assert "the controller cannot be asked" in said
    gate.start("controller")
    assert eventually(lambda: denied(gate, "unheard-of"))


def test_the_controller_ends_in_good_order(gate):
    """On SIGTERM, at once; the next one leads without waiting for a lease to lapse."""
    gate.cluster.must("apply", "-f", "-", stdin=policy("before"))
    gate.cluster.must(
        "wait", "--for=condition=Ready", "imgpol/before", "--timeout=100s"
    )  # it leads
    gate.cluster.must("delete", "imgpol", "before")
    assert gate.stop("controller") == 0
    gate.start("controller")
    gate.cluster.must("apply", "-f", "-", stdin=policy("after"))
    gate.cluster.must("wait", "--for=condition=Ready", "imgpol/after", "--timeout=10s")
    gate.cluster.must("delete", "imgpol", "after")


# --- the API server goes, and comes again -------------------------------------------------------


def review(gate, namespace, document=None):
    """What the answering process itself says: nobody else is there to ask."""
    document = document or pod("probe", IMAGE, **ROOT)
    group, kind = ("", "Pod") if document["kind"] == "Pod" else ("apps", document["kind"])
    body = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "somebody"},
            "object": {**document, "metadata": {"name": "probe", "namespace": namespace}},
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    }
    headers = {"Content-Type": "application/json"}
    body = json.dumps(body).encode()
    said = request("POST", gate.gate.url, body, headers=headers, trust=gate.gate.trust)
    return said.json["response"]


def refused(gate, namespace):
    """Whether it refuses a pod that runs as root, by the check."""
    said = review(gate, namespace)
    return not said["allowed"] and "nonRoot" in said["status"]["message"]


def deployment():
    """A template of such pods."""
    spec = pod("x", IMAGE, **ROOT)["spec"]
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def probe(port, path="readyz"):
    """What a probe says."""
    return request("GET", f"http://127.0.0.1:{port}/{path}")


def kill(server):
    """End it without a word to anybody: it would take its time."""
    server.process.kill()
    server.process.wait()


def stirred(server, space):
    """Whether something happened to each kind that is watched; a node comes, too.

    Where nothing happens, each kind is heard of every 30 s, and never all at once: too seldom for
    those who are ``impatient``.
    """
    label = ("--overwrite", f"stirred={uuid.uuid4().hex[:8]}")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n-{uuid.uuid4().hex[:8]}"}}
    return not any(
        (
            server.create(node).status,
            server.kubectl("label", "imgpol", "strict", *label).status,
            server.kubectl("label", "namespace", space, *label).status,
        )
    )


@pytest.fixture
def impatient(gate, tmp_path):
    """Two more processes, which judge by nothing that is older than six seconds."""
    duties = ("--name", "impatient")
    with watched(gate.cluster, tmp_path, options=("--max-stale", "6s"), duties=duties) as one:
        yield one


def test_nothing_is_ready_before_everything_was_listed_once(impatient):
    """And both say why."""
    impatient.start("serve", ready=False)
    assert eventually(lambda: b"the cluster is not known yet" in probe(impatient.probes).body)
    assert probe(impatient.probes).status == 503
    answer = review(impatient, "default")
    assert not answer["allowed"]
    assert "the cluster is not known yet" in answer["status"]["message"]
    impatient.start("controller")
    assert eventually(lambda: probe(impatient.probes).status == 200)
    one = impatient.cluster
    assert eventually(lambda: stirred(one, "default") and review(impatient, "default")["allowed"])


def test_while_the_server_is_away_reviews_are_judged_by_what_was_known(gate, impatient, space):
    """Up to --max-stale; later not at all. When it is back, all goes on, with what changed."""
    impatient.start("serve", ready=False)
    impatient.start("controller")
    assert eventually(lambda: stirred(gate.cluster, space) and refused(impatient, space))
    kill(gate.cluster.server)
    try:
        time.sleep(2.5)  # until what was heard last is in both snapshots
        age = "slimgate_snapshot_age_seconds"
        assert eventually(lambda: gate.metric(impatient.probes, age) > 6.5, seconds=60)
        first = gate.metric(gate.probes, age)
        assert eventually(lambda: gate.metric(gate.probes, age) > first + 1)
        assert refused(gate, space)
        for port in (gate.controller, impatient.controller):
            assert probe(port, "healthz").status == 200  # to begin anew would help nobody
        said = review(impatient, space)
        assert not said["allowed"]
        assert "slimgate has not heard of the API server for" in said["status"]["message"]
        advised = review(impatient, space, deployment())
        assert advised["allowed"]
        assert "error" in " ".join(advised["auditAnnotations"])
        assert probe(impatient.probes).status == 200  # it is as ready as any other replica
    finally:
        gate.cluster.server.start()
    assert eventually(
        lambda: stirred(gate.cluster, space) and refused(impatient, space), seconds=120
    )
    gate.cluster.must("label", "namespace", space, "slimgate.dev/policy-")
    assert eventually(lambda: review(gate, space)["allowed"], seconds=120)


def test_a_line_that_is_dead_is_noticed_and_what_is_forgotten_listed_anew(gate, tmp_path):
    """Open at both ends, and nothing comes, as firewalls leave it; then a server that knows no
    more what was before it began: 410.
    """
    with proxy(gate.cluster.port) as line:
        url, authority = f"https://127.0.0.1:{line.port}", gate.cluster.folder / "ca.crt"
        api = connect(configured(write_kubeconfig(tmp_path / "config", url, authority, TOKEN)))
        said, relists, stop = [], [], threading.Event()
        watch = Watch(
            api,
            namespaces.PATH,
            keep=namespaces.keep,
            changed=lambda: None,
            relisted=relists.append,
            report=lambda word, _text: said.append(word),
            window=3,
            slack=1,
        )
        thread = threading.Thread(target=watch.run, args=(stop,))
        thread.start()
        try:
            assert eventually(lambda: watch.items is not None)
            assert eventually(lambda: line.freeze() > 0)
            gate.cluster.must("create", "namespace", "unnoticed")
            assert "unnoticed" not in watch.items
            line.mend()
            assert eventually(lambda: "unnoticed" in watch.items)
            assert said[0] == "watch-error"
            assert relists == ["start"]
            line.freeze()
            gate.cluster.must("create", "namespace", "forgotten")
            gate.cluster.must("label", "namespace", "forgotten", "a=b")
            kill(gate.cluster.server)
            gate.cluster.server.start()
            line.mend()
            assert eventually(lambda: "forgotten" in watch.items, seconds=120)
            assert eventually(lambda: relists == ["start", "gone"])
        finally:
            stop.set()
            thread.join(60)
            api.client.rest_client.pool_manager.clear()


def test_a_kind_that_is_not_there_is_waited_for_and_named(gate, impatient):
    """The CRD is deleted, and comes again; the last test here, as policies go with it."""
    gate.cluster.must("delete", "crd", "imagepolicies.slimgate.dev")
    impatient.start("controller", ready=False)
    assert eventually(lambda: b"imagepolicies: 404" in probe(impatient.controller).body)
    assert probe(impatient.controller).status == 503
    assert probe(impatient.controller, "healthz").status == 200
    assert not (impatient.state / "snapshot.json").exists()
    crd = yaml.safe_dump(custom_resource_definition())
    gate.cluster.must("apply", "-f", "-", stdin=crd)
    assert eventually(lambda: probe(impatient.controller).status == 200)
