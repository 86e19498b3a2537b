"""slimgate in a cluster, from `helm install` to `helm uninstall`, as a platform engineer lives it.

The tests are one story and run in their order: audit-only first, then enforced, then everything
that happens to a cluster while pods are created fifty times a second, and at last the way out.

``SLIMGATE_STORY_SECONDS`` is how long each of those happenings is watched; ``make story`` takes
two minutes each and prints the figures.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import build
from tests.cluster.support import image as own
from tests.cluster.support.installed import CHART, NAMESPACE, RELEASE, SELECTOR, WEBHOOK, Installed
from tests.cluster.support.load import load
from tests.cluster.support.objects import pod, template
from tests.cluster.support.processes import eventually
from tests.cluster.support.web import request
from tests.support import forge
from tests.support.push import push
from tests.support.samples import SAMPLES

pytestmark = pytest.mark.nodes

SECONDS = float(os.environ.get("SLIMGATE_STORY_SECONDS", "20"))
IN_PROD = ("--namespace", "prod")
SHORT = {"terminationGracePeriodSeconds": 1}
DENIED = 'admission webhook "pods.slimgate.dev" denied the request'


@pytest.fixture(scope="module")
def slimgate_image(real, request):
    """slimgate's own image, in the cluster's registry."""
    if reason := own.obstacle():
        if os.environ.get("SLIMGATE_REQUIRE_NODES"):
            pytest.fail(reason)
        pytest.skip(reason)
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line):
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return push(real.registry.host, "slimgate", own.own_image(say).image)


@pytest.fixture(scope="module")
def images(real):
    """References by the samples' names."""
    names = ("distroless", "shell-by-name", "root-zero", "shell-by-content", "scratch")
    host = real.registry.host
    return {name: push(host, f"samples/{name}", SAMPLES[name].image) for name in names}


@pytest.fixture(scope="module")
def gate(real, provide, slimgate_image, tmp_path_factory):
    """Installed as the README says, in audit-only mode."""
    repository, _, digest = slimgate_image.partition("@")
    installed = Installed(
        real,
        provide(build.HELM),
        tmp_path_factory.mktemp("helm"),
        {
            "image": {"repository": repository.rpartition(":")[0], "digest": digest},
            "registries": {"plainHttp": [real.registry.host]},
            "certificates": {"self": {"overlap": "10s"}},
            "shutdown": {"lameDuckSeconds": 10, "drainSeconds": 5},
        },
    )
    for name in ("prod", "scratchpad"):
        real.must("create", "namespace", name)
        real.must("wait", "--for=create", "serviceaccount/default", "--namespace", name)
    words = ("--create-namespace", "--wait", "--timeout=200s")
    said = installed.helm("install", RELEASE, str(CHART), *words)
    assert "Audit-only" in said
    return installed


def ask(gate, image, *, namespace="prod", **spec):
    """What is said to a pod of that image, by a dry run."""
    words = ("--namespace", namespace, "--dry-run=server")
    return gate.cluster.create(pod("asked-", image, **spec), *words)


def denied(gate, image, **more):
    """Whether such a pod is denied, by slimgate."""
    return DENIED in ask(gate, image, **more).err


def test_audit_only_lets_all_in_and_shows_what_would_be_denied(gate, images):
    """prod is labelled, and a pod with a shell still starts; the audit log says it would not."""
    real = gate.cluster
    real.must("label", "namespace", "prod", "slimgate.dev/policy=distroless-nonroot")
    gate.until(lambda: "would-deny" in json.dumps(seen(gate, images["shell-by-name"])))
    assert real.create(pod("early", images["shell-by-name"], **SHORT), *IN_PROD).status == 0
    real.must("wait", "--for=condition=Ready", "pod/early", *IN_PROD, "--timeout=100s")
    found = real.audited("prod", "early")["annotations"]
    assert found["pods.slimgate.dev/would-deny"] == "distroless-nonroot"
    assert "noShell: /bin/sh" in found["pods.slimgate.dev/violations"]
    assert not gate.enforcing()
    real.must("delete", "pod", "early", *IN_PROD)


def seen(gate, image):
    """The audit annotations of a pod that is asked for now."""
    name = f"asked-{time.monotonic_ns()}"
    gate.cluster.create(pod(name, image), *IN_PROD, "--dry-run=server")
    return gate.cluster.audited("prod", name).get("annotations", {})


def test_enforcing_begins_once_the_api_server_is_proved_to_reach_slimgate(gate, images):
    """failurePolicy was Ignore until then; nobody set it to Fail but slimgate itself."""
    gate.upgrade(auditOnly=False)
    gate.until(gate.enforcing)
    gate.until(lambda: denied(gate, images["shell-by-name"]))
    assert ask(gate, images["distroless"]).status == 0


def test_helm_test_passes(gate):
    """A good and a bad pod by dry run, from within the cluster."""
    gate.helm("test", RELEASE, "--timeout=100s")


def test_good_workloads_of_every_kind_run(gate, images):
    """Their pods are created by controllers, judged, and start."""
    real = gate.cluster
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    for kind in kinds:
        document = template(kind, f"good-{kind.lower()}", images["distroless"])
        said = real.create(document, *IN_PROD)
        assert (said.status, said.err) == (0, "")
    for kind in kinds[:3]:
        words = ("rollout", "status", f"{kind.lower()}/good-{kind.lower()}", *IN_PROD)
        real.must(*words, "--timeout=100s")
    real.must("create", "job", "by-hand", "--from=cronjob/good-cronjob", *IN_PROD)
    for name in ("good-job", "by-hand"):
        label = f"job-name={name}"
        assert eventually(lambda label=label: running(real, label), seconds=120), name


def test_what_is_known_of_images_is_kept_in_a_file_of_each_pod(gate):
    """Whoever read one kept it; nobody had trouble with the file."""
    gate.settled()
    told = "\n".join(
        request("GET", f"http://{one['status']['podIP']}:9090/metrics").body.decode()
        for one in gate.pods()
    )
    kept = re.findall(r'^slimgate_store_lookups_total{.*outcome="miss"} (\S+)', told, re.MULTILINE)
    troubles = re.findall(r"^slimgate_store_troubles_total{.*} (\S+)", told, re.MULTILINE)
    assert sum(map(float, kept)) >= 3, told  # an image, a layer, and what it leaves
    assert troubles
    assert not sum(map(float, troubles)), told


def running(real, label):
    """Whether a pod with that label runs."""
    found = real.objects("pods", *IN_PROD, "-l", label)
    return any(one["status"].get("phase") == "Running" for one in found)


def test_bad_workloads_are_advised_and_get_no_pods(gate, images):
    """The Deployment is created with a warning; its ReplicaSet is refused every pod, with why."""
    real = gate.cluster
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
        said = real.create(template(kind, f"bad-{kind.lower()}", images["shell-by-name"]), *IN_PROD)
        assert said.status == 0, said.err
        assert any("noShell" in line for line in said.warnings), kind
    words = ("get", "events", *IN_PROD, "--field-selector", "reason=FailedCreate", "-o", "json")

    def told():
        events = json.loads(real.must(*words))["items"]
        about = {one["involvedObject"]["kind"] for one in events if DENIED in one["message"]}
        return {"ReplicaSet", "StatefulSet", "DaemonSet", "Job"} <= about

    gate.until(told)
    names = [one["metadata"]["name"] for one in real.objects("pods", *IN_PROD)]
    assert not [name for name in names if name.startswith("bad-")]
    for kind in ("deployment", "statefulset", "daemonset", "job", "cronjob"):
        real.must("delete", kind, f"bad-{kind}", *IN_PROD)


def test_what_people_do_with_kubectl(gate, images):
    """``run``, ``debug``, ``scale`` and ``set image``: good ones pass, bad ones do not."""
    real = gate.cluster
    bad = real.kubectl("run", "shell", f"--image={images['shell-by-name']}", *IN_PROD)
    assert DENIED in bad.err
    real.must("run", "fine", f"--image={images['distroless']}", *IN_PROD)
    real.must("wait", "--for=condition=Ready", "pod/fine", *IN_PROD, "--timeout=100s")
    debug = ("debug", "fine", "--profile=general", *IN_PROD)
    shell = real.kubectl(*debug, f"--image={images['shell-by-content']}", "--container=peek")
    assert DENIED in shell.err
    real.must(*debug, f"--image={images['scratch']}", "--container=probe")
    real.must("scale", "deployment/good-deployment", "--replicas=2", *IN_PROD)
    real.must(*("rollout", "status", "deployment/good-deployment", *IN_PROD, "--timeout=100s"))
    change = f"app={images['root-zero']}"
    said = real.kubectl("set", "image", "deployment/good-deployment", change, *IN_PROD)
    assert said.status == 0
    assert any("nonRoot" in line for line in said.warnings)
    gate.until(lambda: replicas(real, "good-deployment") == (2, 2, 0))
    real.must("rollout", "undo", "deployment/good-deployment", *IN_PROD)
    pod_image = real.kubectl("set", "image", "pod/fine", f"fine={images['root-zero']}", *IN_PROD)
    assert DENIED in pod_image.err


def replicas(real, name):
    """Available, wanted, and of the newest template: bad ones never come, the good ones stay."""
    (one,) = real.objects("deployment", *IN_PROD, f"--field-selector=metadata.name={name}")
    status = one["status"]
    return (
        status.get("availableReplicas", 0),
        one["spec"]["replicas"],
        status.get("updatedReplicas", 0),
    )


def test_platforms_that_no_node_has_are_not_judged(gate):
    """The nodes are linux/amd64: a shell in the arm64 image of an index reaches none of them."""
    good, bad = SAMPLES["distroless"].image, SAMPLES["shell-by-name"].image
    for name, (amd64, arm64), refused in (
        ("shell-elsewhere", (good, bad), False),
        ("shell-here", (bad, good), True),
    ):
        entries = [(amd64, {"os": "linux", "architecture": "amd64"})]
        entries.append((arm64, {"os": "linux", "architecture": "arm64"}))
        index = push(gate.cluster.registry.host, f"samples/{name}", forge.index(entries))
        assert denied(gate, index) is refused, name


# What happens to a cluster while pods are created.


def rolling_restart(gate):
    """Every replica is replaced."""
    gate.cluster.must("rollout", "restart", f"deployment/{RELEASE}", "-n", NAMESPACE)
    gate.settled()


def helm_upgrade(gate):
    """A revision with other values, and so with new pods."""
    gate.upgrade(auditOnly=False, podAnnotations={"example.com/revision": str(time.time_ns())})
    gate.settled()


def helm_rollback(gate):
    """The revision before."""
    gate.helm("rollback", RELEASE, "--wait", "--timeout=200s")
    gate.settled()


def ca_rotation(gate):
    """A new CA: in the bundle first, then a leaf by it; forced by the annotation."""
    before = gate.secret(f"{RELEASE}-tls")["tls.crt"]
    authority = gate.secret(f"{RELEASE}-ca")["ca.crt"]
    rotate(gate, "ca")
    gate.until(lambda: gate.secret(f"{RELEASE}-ca")["ca.crt"] != authority, seconds=90)
    gate.until(lambda: gate.secret(f"{RELEASE}-tls")["tls.crt"] != before, seconds=90)


def leaf_rotation(gate):
    """A new leaf by the same CA."""
    before = gate.secret(f"{RELEASE}-tls")["tls.crt"]
    rotate(gate, "leaf")
    gate.until(lambda: gate.secret(f"{RELEASE}-tls")["tls.crt"] != before, seconds=60)


def rotate(gate, what):
    """As docs/certificates.md says."""
    words = ("annotate", "secret", f"{RELEASE}-ca", f"slimgate.dev/rotate={what}", "--overwrite")
    gate.cluster.must(*words, "-n", NAMESPACE)


def replica_killed(gate):
    """SIGKILL to the first process of a replica's container, as the kernel's OOM killer would."""
    one = gate.pods()[0]
    status = next(s for s in one["status"]["containerStatuses"] if s["name"] == "slimgate")
    container = status["containerID"].rpartition("/")[2]
    node = next(n for n in gate.cluster.nodes if n.name == one["spec"]["nodeName"])
    tasks = subprocess.run(
        ["ctr", "--address", node.containerd, "--namespace", "k8s.io", "tasks", "list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (pid,) = (int(line.split()[1]) for line in tasks.splitlines() if line.startswith(container))
    before = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    gate.until(lambda: not Path(f"/proc/{pid}").exists())  # and of all that it began
    after = time.monotonic()
    gate.until(lambda: restarts(gate, one["metadata"]["name"]) > 0)
    gate.settled()
    return before, after


def restarts(gate, name):
    """How often the container that answers was started anew."""
    (one,) = (p for p in gate.pods() if p["metadata"]["name"] == name)
    found = {s["name"]: s["restartCount"] for s in one["status"]["containerStatuses"]}
    return found["slimgate"]


def node_drained(gate):
    """One of two nodes is emptied, and comes back."""
    gate.cluster.drain("node2")
    gate.settled()
    gate.cluster.uncordon("node2")


HAPPENINGS = {
    happening.__name__: happening
    for happening in (
        rolling_restart,
        helm_upgrade,
        helm_rollback,
        ca_rotation,
        leaf_rotation,
        replica_killed,
        node_drained,
    )
}


@contextmanager
def watched(gate, images):
    """Pods asked for all the while, and for ``SECONDS`` at least."""
    gate.settled()
    gate.until(gate.enforcing)  # a rollback brings Ignore back, until it is proved anew
    for name in ("distroless", "shell-by-name"):  # read them first: this is about known images
        ask(gate, images[name])
    real = gate.cluster
    with load(
        real.url,
        token="the-tests-own",
        trust=real.trust,
        good=pod("load-", images["distroless"]),
        bad=pod("load-", images["shell-by-name"]),
        namespace="prod",
    ) as done:
        begun = time.monotonic()
        time.sleep(2)
        yield done
        time.sleep(max(3.0, SECONDS - (time.monotonic() - begun)))


@pytest.mark.parametrize("name", HAPPENINGS)
def test_no_pod_is_failed_or_judged_wrongly(name, gate, images, request):
    """Fifty a second, good and bad in turn: each gets its own right answer."""
    with watched(gate, images) as done:
        killed = HAPPENINGS[name](gate)
    tell(request, f"{name.replace('_', ' ')}: {done.summary()}")
    assert not done.wrong, done.faults()
    # The API server asks nobody else about what a killed process was being asked (client-go
    # tries only GETs again), so that much is lost with it, and no more.
    lost = [] if killed is None else done.cut_off(*killed)
    assert not [one for one in done.failed if one not in lost], done.faults() + gate.logs()
    assert done.late == 0
    assert gate.enforcing() or name == "helm_rollback"


def test_an_api_server_that_restarts_finds_slimgate_where_it_was(gate, images, request):
    """Its own absence aside, nothing fails and nothing is wrong; watches go on by themselves."""
    with watched(gate, images) as done:
        gone = time.monotonic()
        gate.cluster.restart_api_server()
        back = time.monotonic()
    tell(request, f"API server restart ({back - gone:.0f} s away): {done.summary()}")
    assert not done.wrong, done.faults()
    # It listens some moments before it says that it is ready: what it answers then is its own.
    since = [one for one in done.asked if done.started + one.at > back]
    assert len(since) > SECONDS
    assert not [one for one in since if not one.right], done.faults() + gate.logs()
    gate.cluster.must("label", "namespace", "scratchpad", "slimgate.dev/policy=distroless-nonroot")
    gate.until(lambda: denied(gate, images["shell-by-name"], namespace="scratchpad"))


def tell(request, line):
    """Print a figure where people read it."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n  {line}", flush=True)


def test_break_glass_in_one_namespace(gate, images):
    """A label lets everything in there, and nowhere else; taken away, it is over.

    Each replica learns of it for itself, and any of them may be asked.
    """
    real = gate.cluster
    real.must("label", "namespace", "prod", "slimgate.dev/break-glass=true")
    gate.until(lambda: ask(gate, images["shell-by-name"]).status == 0)
    gate.until(lambda: "break-glass is on" in " ".join(ask(gate, images["root-zero"]).warnings))
    assert denied(gate, images["shell-by-name"], namespace="scratchpad")
    mark = "pods.slimgate.dev/break-glass"
    gate.until(lambda: seen(gate, images["shell-by-name"]).get(mark) == "namespace")
    real.must("label", "namespace", "prod", "slimgate.dev/break-glass-")
    gate.until(lambda: denied(gate, images["shell-by-name"]))


def test_without_any_replica_the_system_still_starts_pods(gate, images):
    """prod refuses by design; kube-system and slimgate's own namespace are never asked about."""
    real = gate.cluster
    real.must("scale", f"deployment/{RELEASE}", "--replicas=0", "-n", NAMESPACE)
    gate.until(lambda: not gate.pods(), seconds=90)
    said = ask(gate, images["distroless"])
    assert said.status != 0
    assert 'failed calling webhook "pods.slimgate.dev"' in said.err
    for namespace in ("kube-system", NAMESPACE):
        assert ask(gate, images["shell-by-name"], namespace=namespace).status == 0
    # Recovery is nothing but its pods: they are let in, and then prod is.
    real.must("scale", f"deployment/{RELEASE}", "--replicas=3", "-n", NAMESPACE)
    gate.settled()
    gate.until(lambda: ask(gate, images["distroless"]).status == 0)
    assert denied(gate, images["shell-by-name"])


def test_after_a_power_cut_everything_starts_by_itself(gate, images):
    """Nodes, control plane and all containers end at once, and the nodes come last.

    kube-system has its pods before slimgate is back; prod waits for it, as it should.
    """
    real = gate.cluster
    real.cut_power()
    real.server.start()
    unanswered = 'failed calling webhook "pods.slimgate.dev"'
    gate.until(lambda: unanswered in ask(gate, images["distroless"]).err)
    for namespace in ("kube-system", NAMESPACE):
        assert ask(gate, images["shell-by-name"], namespace=namespace).status == 0
    for service in real.services.values():
        service.start()
    system = ("pod/first", "--namespace", "kube-system")
    real.must("run", "first", f"--image={images['distroless']}", *system[1:])
    real.must("wait", "--for=condition=Ready", *system, "--timeout=180s", seconds=200)
    real.must("delete", *system)
    gate.until(lambda: ask(gate, images["distroless"]).status == 0, seconds=180)
    # Another replica that is asked may still have the address of before.
    gate.until(lambda: denied(gate, images["shell-by-name"]))
    gate.settled()
    assert gate.enforcing()


def test_the_emergency_exit(gate, images):
    """One command lets everything in, slimgate does not undo it, and an upgrade brings it back."""
    real = gate.cluster
    real.must("scale", f"deployment/{RELEASE}", "--replicas=0", "-n", NAMESPACE)
    gate.until(lambda: not gate.pods(), seconds=90)
    real.must("delete", "validatingwebhookconfiguration", WEBHOOK)
    gate.until(lambda: ask(gate, images["distroless"]).status == 0)
    gate.upgrade(auditOnly=False)
    gate.until(gate.enforcing)
    gate.until(lambda: denied(gate, images["shell-by-name"]))


def test_uninstall_leaves_nothing_but_the_definition(gate, images):
    """The webhook goes first, so that no pod is refused meanwhile; then all the rest."""
    real = gate.cluster
    gate.helm("uninstall", RELEASE, "--wait", "--timeout=100s")
    assert ask(gate, images["shell-by-name"]).status == 0
    kinds = real.must("api-resources", "--verbs=list", "-o", "name").split()
    left = [kind for kind in kinds if not kind.startswith(("events", "pods", "componentstatuses"))]
    owned = ("get", ",".join(left), "-A", "-l", SELECTOR, "-o", "name")
    # What Helm's objects owned (ReplicaSets, EndpointSlices) is removed after them.
    gone = lambda: real.must(*owned).split() == []  # noqa: E731
    assert eventually(gone, seconds=120), real.must(*owned)
    assert gate.registered() is None
    assert "imagepolicies.slimgate.dev" in real.must("get", "crd", "-o", "name")
