"""nonRoot: the effective user, by pod, image and the image's /etc/passwd."""

from __future__ import annotations

import pytest

from tests.checks.subjects import found, image, subject
from webhook.checks.check import run
from webhook.checks.non_root import CHECK
from webhook.pod import ContainerKind

PASSWD = b"root:x:0:0::/:\ntoor:x:0:0::/:\nnonroot:x:65532:65532::/:\n"
REFUSED = "; with runAsNonRoot: true the kubelet will refuse to start it"


def reasons(facts, **container):
    answer = found(CHECK, subject(facts, **container))
    return answer if answer is None else [reason for reason, _ in answer]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param("", ["runsAsRoot"], id="none"),
        pytest.param("root", ["runsAsRoot"], id="root"),
        pytest.param("0", ["runsAsRoot"], id="0"),
        pytest.param("0:0", ["runsAsRoot"], id="0:0"),
        pytest.param("root:root", ["runsAsRoot"], id="root:root"),
        pytest.param("00", ["runsAsRoot"], id="00"),
        pytest.param("+0", ["runsAsRoot"], id="+0"),
        pytest.param(":1000", ["runsAsRoot"], id="only a group"),
        pytest.param("toor", ["runsAsRoot"], id="a name with uid 0"),
        pytest.param("nonroot", [], id="a name with uid 65532"),
        pytest.param("65532", [], id="a number"),
        pytest.param("65532:0", [], id="root's group is not root"),
        pytest.param("2147483648", ["runsAsRoot"], id="no uid: old containerd truncates it"),
        pytest.param("-1", ["runsAsRoot"], id="negative"),
        pytest.param("app", ["userMissing"], id="not in passwd"),
    ],
)
def test_image_user(user, expected):
    """The table of what others miss: peers.md 1B, column "we should"."""
    assert reasons(image(user=user, passwd=PASSWD)) == expected


@pytest.mark.parametrize(
    ("user", "known"),
    [
        pytest.param("65532", True, id="number"),
        pytest.param("0", True, id="zero"),
        pytest.param("", True, id="none"),
        pytest.param(":5", True, id="only a group"),
        pytest.param("nonroot", False, id="name"),
    ],
)
def test_without_layers(user, known):
    """Only a name needs the layers' /etc/passwd."""
    assert (reasons(image(user=user, read=False)) is not None) == known


def test_pod_decides_without_an_image():
    """A pod that names a user is judged before anything is fetched."""
    assert reasons(None, run_as_user=1000) == []
    assert reasons(None, run_as_user=0) == ["runsAsRoot"]
    assert reasons(None) is None


@pytest.mark.parametrize(
    ("user", "container", "expected"),
    [
        pytest.param("root", {"run_as_user": 1000}, [], id="the pod overrides root"),
        pytest.param(
            "65532",
            {"run_as_user": 0},
            [("runsAsRoot", "the pod sets runAsUser: 0")],
            id="the pod overrides to root",
        ),
        pytest.param(
            "65532",
            {"run_as_user": -1},
            [("invalidUser", "runAsUser: -1 is no uid (1 to 2147483647)")],
            id="no uid",
        ),
        pytest.param(
            "nonroot",
            {"run_as_non_root": True},
            [
                (
                    "kubeletRefuses",
                    (
                        "with runAsNonRoot: true the kubelet will refuse to start it: container "
                        "has runAsNonRoot and image has non-numeric user (nonroot), cannot "
                        "verify user is non-root"
                    ),
                )
            ],
            id="a name under runAsNonRoot",
        ),
        pytest.param(
            "nonroot", {"run_as_non_root": True, "run_as_user": 65532}, [], id="the way out"
        ),
        pytest.param("65532", {"run_as_non_root": True}, [], id="a number under runAsNonRoot"),
        pytest.param("", {"kind": ContainerKind.VOLUME}, [], id="a volume never starts"),
    ],
)
def test_effective_user(user, container, expected):
    """The container's securityContext is over the image's user."""
    assert found(CHECK, subject(image(user=user, passwd=PASSWD), **container)) == expected


def test_root_under_run_as_non_root():
    """It is said that such a pod would not even start."""
    ((reason, detail),) = found(CHECK, subject(image(user="0"), run_as_non_root=True))
    assert reason == "runsAsRoot"
    assert detail.endswith(REFUSED)


def test_remedy_names_the_uid():
    """The runAsUser that fixes a named user is the user's own uid."""
    asked = subject(image(user="nonroot", passwd=PASSWD), run_as_non_root=True)
    ((finding,), _) = run(CHECK, asked, CHECK.options())
    assert finding.remedy == "set runAsUser: 65532 in the pod, or put USER 65532 into the image"


def test_user_namespace():
    """Root of a user namespace is root in the container still."""
    asked = subject(None, run_as_user=0, pod={"host_users": False})
    assert found(CHECK, asked) == [
        (
            "runsAsRoot",
            (
                "the pod sets runAsUser: 0 (hostUsers: false keeps it from being root on the node; "
                "in the container it is)"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("user", "of_pod", "expected"),
    [
        pytest.param("ContainerUser", None, [], id="user"),
        pytest.param("containeradministrator", None, ["runsAsRoot"], id="administrator"),
        pytest.param("", None, ["runsAsRoot"], id="none is the administrator"),
        pytest.param("", "ContainerUser", [], id="pod over image"),
        pytest.param("ContainerUser", "ContainerAdministrator", ["runsAsRoot"], id="to root"),
        pytest.param(
            "User Manager\\ContainerAdministrator", None, ["runsAsRoot"], id="its whole name"
        ),
        pytest.param("", "NT AUTHORITY\\SYSTEM", ["runsAsRoot"], id="the system"),
        pytest.param("", "Administrators", ["runsAsRoot"], id="HostProcess by a group"),
        pytest.param("", "NT AUTHORITY\\Local service", [], id="HostProcess, a plain service"),
    ],
)
def test_windows(user, of_pod, expected):
    """Windows has names only; runAsUser means nothing there."""
    facts = image(os="windows", user=user, read=False)
    asked = {"run_as_user_name": of_pod, "run_as_user": 0}
    assert reasons(facts, pod={"os": "windows"}, **asked) == expected
