"""Kubernetes objects, friendly and hostile, become workloads or a named error."""

from __future__ import annotations

import contextlib
import copy
import functools
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.judges import places
from webhook.errors import ReviewError
from webhook.pod import ContainerKind, Hook, Workload
from webhook.review.workload import MAX_IMAGES, workload_of


def pod(**spec):
    """The smallest pod, with some of its spec."""
    spec = {"containers": [{"name": "app", "image": "app:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


def one(**container):
    """The workload's only container, with some of its fields."""
    document = pod(containers=[{"name": "app", "image": "app:1", **container}])
    return workload_of(document, namespace="prod").containers[0]


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "app:1"}]}}


@pytest.mark.parametrize(
    ("version", "kind", "body"),
    [
        pytest.param("v1", "PodTemplate", {"template": TEMPLATE}, id="PodTemplate"),
        *(
            pytest.param(version, kind, {"spec": {"template": TEMPLATE}}, id=kind)
            for version, kind in [
                ("v1", "ReplicationController"),
                ("apps/v1", "ReplicaSet"),
                ("apps/v1", "Deployment"),
                ("apps/v1", "StatefulSet"),
                ("apps/v1", "DaemonSet"),
                ("batch/v1", "Job"),
            ]
        ),
        pytest.param(
            "batch/v1",
            "CronJob",
            {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}},
            id="CronJob",
        ),
    ],
)
def test_templates_are_judged_as_the_pods_they_create(version, kind, body):
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, **body}
    workload = workload_of(document, namespace="prod")
    assert workload.title == f"{kind}/web"
    assert workload.template
    assert [c.image for c in workload.containers] == ["app:1"]
    assert workload.document == TEMPLATE


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"apiVersion": "v1", "kind": "ConfigMap"}, id="no pod in it"),
        pytest.param({"apiVersion": "batch.volcano.sh/v1", "kind": "Job"}, id="another group's"),
        pytest.param({}, id="nothing"),
    ],
)
def test_other_kinds_are_none(document):
    assert workload_of(document, namespace="prod") is None


def test_every_image_of_a_pod():
    document = pod(
        initContainers=[
            {"name": "setup", "image": "i"},
            {"name": "mesh", "image": "s", "restartPolicy": "Always"},
        ],
        ephemeralContainers=[{"name": "debug", "image": "e"}],
        volumes=[
            {"name": "model", "image": {"reference": "v"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    )
    found = workload_of(document, namespace="prod").containers
    assert [(c.kind, c.name, c.image) for c in found] == [
        (ContainerKind.INIT, "setup", "i"),
        (ContainerKind.SIDECAR, "mesh", "s"),
        (ContainerKind.CONTAINER, "app", "app:1"),
        (ContainerKind.EPHEMERAL, "debug", "e"),
        (ContainerKind.VOLUME, "model", "v"),
    ]


@pytest.mark.parametrize(
    ("of_pod", "own", "user", "group", "non_root"),
    [
        pytest.param(None, None, None, None, None, id="silent"),
        pytest.param({"runAsUser": 7, "runAsGroup": 8}, None, 7, 8, None, id="the pod's"),
        pytest.param({"runAsUser": 7}, {"runAsUser": 0}, 0, None, None, id="own zero wins"),
        pytest.param(
            {"runAsNonRoot": True}, {"runAsNonRoot": False}, None, None, False, id="own false wins"
        ),
        pytest.param({"runAsUser": 7}, {"runAsUser": None}, 7, None, None, id="null is absent"),
    ],
)
def test_security_context_of_the_container_over_the_pods(of_pod, own, user, group, non_root):
    document = pod(
        securityContext=of_pod, containers=[{"name": "a", "image": "a", "securityContext": own}]
    )
    container = workload_of(document, namespace="prod").containers[0]
    assert (container.run_as_user, container.run_as_group) == (user, group)
    assert container.run_as_non_root is non_root


def test_windows_user_of_the_container_over_the_pods():
    windows = {"windowsOptions": {"runAsUserName": "ContainerUser"}}
    assert one(securityContext=windows).run_as_user_name == "ContainerUser"
    document = pod(securityContext=windows, os={"name": "windows"})
    workload = workload_of(document, namespace="prod")
    assert workload.os == "windows"
    assert workload.containers[0].run_as_user_name == "ContainerUser"


def test_how_a_container_is_started():
    container = one(
        command=["/app"],
        args=["-v"],
        workingDir="/srv",
        env=[
            {"name": "PATH", "value": "/old"},
            {"name": "PATH", "value": "/bin"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "EMPTY"},
        ],
        livenessProbe={"exec": {"command": ["sh", "-c", "true"]}},
        readinessProbe={"httpGet": {"port": 80}},
        lifecycle={"preStop": {"exec": {"command": ["sleep", "5"]}}},
    )
    assert (container.command, container.args, container.working_dir) == (
        ("/app",),
        ("-v",),
        "/srv",
    )
    assert container.env == {"PATH": "/bin", "EMPTY": ""}
    assert container.hooks == (
        Hook(where="livenessProbe", command=("sh", "-c", "true")),
        Hook(where="preStop", command=("sleep", "5")),
    )


def test_an_empty_command_is_none():
    assert one(command=[], args=[]).command is None


def _affinity(*terms):
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _expressions(*triples):
    return {"matchExpressions": [{"key": k, "operator": o, "values": v} for k, o, v in triples]}


ARCH = "kubernetes.io/arch"
AMD, ARM = (ARCH, "In", ["amd64"]), (ARCH, "In", ["arm64"])


def test_what_a_pod_says_of_its_node_is_bounded():
    """It is part of a key that is kept for minutes, and as long as a pod can be."""
    many = _affinity(_expressions((ARCH, "In", [f"a{n}" for n in range(1_000)])))
    assert workload_of(pod(affinity=many), namespace="prod").architectures is None
    long = pod(nodeSelector={ARCH: "a" * 2_000, "kubernetes.io/os": "a" * 2_000})
    found = workload_of(long, namespace="prod")
    assert (found.architectures, found.os) == (None, None)


def test_whose_pull_secrets_count_is_bounded():
    names = ["", "a", "a", "b" * 10_000, *(f"s{n}" for n in range(10_000))]
    document = pod(
        serviceAccountName="c" * 10_000, imagePullSecrets=[{"name": name} for name in names]
    )
    account = workload_of(document, namespace="prod").account
    assert account.pull_secrets[:3] == ("a", "b" * 254, "s0")
    assert len(account.pull_secrets) == 17
    assert len(account.service_account) == 254


@pytest.mark.parametrize(
    ("selector", "terms", "architectures"),
    [
        pytest.param(None, (), None, id="says nothing"),
        pytest.param("arm64", (), {"arm64"}, id="selector"),
        pytest.param(None, (_expressions(AMD),), {"amd64"}, id="affinity"),
        pytest.param(
            None, (_expressions(AMD), _expressions(ARM)), {"amd64", "arm64"}, id="terms are or"
        ),
        pytest.param(
            None,
            (_expressions((ARCH, "In", ["amd64", "arm64"]), ARM),),
            {"arm64"},
            id="expressions are and",
        ),
        pytest.param(None, (_expressions(AMD), {}), None, id="a term that does not say"),
        pytest.param(
            None, (_expressions((ARCH, "NotIn", ["amd64"])),), None, id="NotIn names none"
        ),
        pytest.param("arm64", (_expressions(AMD),), None, id="nothing left: everything"),
        pytest.param("arm64", (_expressions(AMD), _expressions(ARM)), {"arm64"}, id="both narrow"),
    ],
)
def test_architectures_it_could_land_on(selector, terms, architectures):
    document = pod(nodeSelector={ARCH: selector} if selector else None, affinity=_affinity(*terms))
    assert workload_of(document, namespace="prod").architectures == architectures


OS = "kubernetes.io/os"


@pytest.mark.parametrize(
    ("spec", "os"),
    [
        pytest.param({}, None, id="says nothing"),
        pytest.param({"nodeSelector": {OS: "windows"}}, "windows", id="selector"),
        pytest.param(
            {"affinity": _affinity(_expressions((OS, "In", ["windows"])))}, "windows", id="affinity"
        ),
        pytest.param(
            {"affinity": _affinity(_expressions((OS, "In", ["windows"])), _expressions(AMD))},
            None,
            id="a term that does not say",
        ),
        pytest.param(
            {"affinity": _affinity(_expressions((OS, "In", ["linux", "windows"])))},
            None,
            id="either",
        ),
        pytest.param(
            {"os": {"name": "linux"}, "nodeSelector": {OS: "windows"}}, "linux", id="spec.os"
        ),
    ],
)
def test_the_operating_system(spec, os):
    assert workload_of(pod(**spec), namespace="prod").os == os


def test_the_rest_of_a_pod():
    document = pod(
        hostUsers=False,
        nodeSelector={"kubernetes.io/os": "linux"},
        serviceAccount="old",
        imagePullSecrets=[{"name": "a"}, {"name": "b"}],
    )
    document["metadata"] = {"generateName": "web-", "namespace": "elsewhere"}
    workload = workload_of(document, namespace="prod")
    assert workload.namespace == "prod"
    assert workload.title == "Pod/web-*"
    assert not workload.host_users
    assert workload.os == "linux"
    assert workload.service_account == "old"
    assert workload.pull_secrets == ("a", "b")
    assert "kind" not in workload.document


USER = "spec.securityContext.runAsUser"


@pytest.mark.parametrize(
    ("spec", "path", "problem"),
    [
        ({"containers": {}}, "spec.containers", "must be a list, not an object"),
        ({"containers": ["a"]}, "spec.containers[0]", "must be an object, not a string"),
        ({"containers": [None]}, "spec.containers[0]", "must be an object, not null"),
        ({"containers": [{"image": 1}]}, "spec.containers[0].image", "must be a string"),
        (
            {"containers": [{"command": ["a", 1]}]},
            "spec.containers[0].command[1]",
            "not an integer",
        ),
        ({"securityContext": {"runAsUser": True}}, USER, "must be an integer, not a boolean"),
        ({"securityContext": {"runAsUser": 1.0}}, USER, "must be an integer, not a number"),
        ({"securityContext": {"runAsUser": 1 << 63}}, USER, "does not fit in 64 bits"),
        ({"hostUsers": 0}, "spec.hostUsers", "must be a boolean, not an integer"),
        ({"nodeSelector": {ARCH: []}}, f"spec.nodeSelector.{ARCH}", "must be a string"),
        ({"volumes": [{"image": "a"}]}, "spec.volumes[0].image", "must be an object"),
        ({"containers": [{}] * (MAX_IMAGES + 1)}, "spec", "names more than 1000 images"),
    ],
)
def test_wrong_types_name_the_field(spec, path, problem):
    with pytest.raises(ReviewError) as raised:
        workload_of(pod(**spec), namespace="prod")
    assert str(raised.value).startswith(f"{path}: ")
    assert problem in str(raised.value)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "depth", [pytest.param(64, id="at the bound"), pytest.param(65, id="past")]
)
def test_depth_is_bounded(depth):
    nested: object = "leaf"
    for _ in range(depth - 2):  # the document and its metadata are two levels
        nested = [nested]
    document = {**pod(), "metadata": {"annotations": nested}}
    if depth == 64:
        assert workload_of(document, namespace="prod") is not None
    else:
        with pytest.raises(ReviewError, match="nested deeper than 64"):
            workload_of(document, namespace="prod")


def test_aliases_do_not_multiply_the_work():
    bomb: object = ["x"]
    for _ in range(50):
        bomb = [bomb] * 10
    assert workload_of({**pod(), "metadata": {"x": bomb}}, namespace="prod") is not None


FULL = pod(
    os={"name": "linux"},
    hostUsers=True,
    nodeSelector={ARCH: "amd64"},
    affinity=_affinity(_expressions(AMD)),
    securityContext={"runAsUser": 1, "windowsOptions": {"runAsUserName": "a"}},
    imagePullSecrets=[{"name": "a"}],
    volumes=[{"name": "v", "image": {"reference": "v"}}],
    initContainers=[{"name": "i", "image": "i", "restartPolicy": "Always"}],
    containers=[
        {
            "name": "a",
            "image": "a",
            "command": ["/a"],
            "env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {}}],
            "securityContext": {"runAsNonRoot": True},
            "livenessProbe": {"exec": {"command": ["sh"]}},
            "lifecycle": {"preStop": {"exec": {"command": ["sh"]}}},
        }
    ],
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(place=st.sampled_from([path for path in places(FULL) if path]), value=ANYTHING)
def test_whatever_stands_anywhere_is_read_or_refused(place, value):
    document = copy.deepcopy(FULL)
    *parents, last = place
    functools.reduce(operator.getitem, parents, document)[last] = value
    with contextlib.suppress(ReviewError):
        assert isinstance(workload_of(document, namespace="prod"), Workload | None)
