"""nonRoot: the container does not run as root.

What it asks
    As which user does the container start, once the pod, the image and the image's own
    /etc/passwd have had their say?

Why
    Root in a container is root on the node after one kernel or runtime bug, and it may write
    everywhere in the container before that.

What it flags
    runAsUser: 0, and, where the pod names no user, an image whose User is uid 0 however it is
    written: none at all, 0, 00, +0, 0:1000, root, root:x, a name that /etc/passwd gives uid 0
    (also by a malformed line), a number that some containerd turns into 0. The worst reading
    of the supported containerd versions counts.
    It also flags what would not start: a user that is not in /etc/passwd, and, with
    runAsNonRoot: true, an image user that is no number, which the kubelet refuses.
    Image volumes are never started and not asked. On Windows ContainerAdministrator is root.

Remedy
    USER 65532 in the Dockerfile (a number, so that the kubelet can check it), or a distroless
    image with the tag nonroot; or runAsUser: 65532 in the pod.

Options
    None: ``nonRoot: {}``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.check import Check, Finding, Options, Subject
from webhook.image.facts import User
from webhook.image.user import image_user, kubelet_refusal, resolve
from webhook.pod import ContainerKind

NAME = "nonRoot"
REMEDY = "put USER 65532 into the last build stage, or set runAsUser: 65532 in the pod"
_LARGEST_UID = (1 << 31) - 1
_WINDOWS_ROOTS = frozenset(
    ("", "containeradministrator", "system", "administrator", "administrators", "s-1-5-18")
)
"""In lower case, without the domain: ``User Manager\\ContainerAdministrator`` is the whole name
of the one that an image without a user runs as. Administrators is the group that a HostProcess
container may name."""


def _inspect(subject: Subject, _options: Options) -> Iterator[Finding]:
    container = subject.container
    if container.kind is ContainerKind.VOLUME:
        return
    if subject.windows:
        yield from _on_windows(subject)
    elif container.run_as_user is not None:
        yield from _by_pod(subject, container.run_as_user)
    else:
        yield from _by_image(subject, _user(subject))


def _by_pod(subject: Subject, uid: int) -> Iterator[Finding]:
    """The pod's word is the last: the image's user does not matter."""
    if uid == 0:
        yield _finding(
            "runsAsRoot",
            f"the pod sets runAsUser: 0{_mapped(subject)}",
            "set runAsUser to a uid other than 0, such as 65532",
        )
    elif not 0 < uid <= _LARGEST_UID:
        yield _finding(
            "invalidUser",
            f"runAsUser: {uid} is no uid (1 to {_LARGEST_UID})",
            "set runAsUser to a uid such as 65532",
        )


def _by_image(subject: Subject, user: User) -> Iterator[Finding]:
    demanded = subject.container.run_as_non_root is True
    if user.root is None:
        yield _finding("userMissing", user.reason, REMEDY)
    elif user.root:
        refused = "; with runAsNonRoot: true the kubelet will refuse to start it"
        yield _finding(
            "runsAsRoot", f"{user.reason}{_mapped(subject)}{refused if demanded else ''}", REMEDY
        )
    elif demanded and (refusal := kubelet_refusal(user.declared)) is not None:
        yield _finding(
            "kubeletRefuses",
            f"with runAsNonRoot: true the kubelet will refuse to start it: {refusal}",
            f"set runAsUser: {user.uid} in the pod, or put USER {user.uid} into the image",
        )


def _user(subject: Subject) -> User:
    """The image's user; only a name has to be looked up in the layers' ``/etc/passwd``.

    A number's look-up decides nothing but whether it can be done: a ``passwd`` that containerd
    cannot read keeps the container from starting. It is told where the layers were read anyway.
    """
    declared = subject.image.config.user
    uid, name = image_user(declared)
    if (uid is None and name) or subject.image.contents is not None:
        return subject.image.files.user
    return resolve(declared, None)


def _mapped(subject: Subject) -> str:
    """What a user namespace changes."""
    if subject.workload.host_users:
        return ""
    return " (hostUsers: false keeps it from being root on the node; in the container it is)"


def _on_windows(subject: Subject) -> Iterator[Finding]:
    """Windows knows users by name only; securityContext.runAsUser does not exist there."""
    name = subject.container.run_as_user_name or subject.image.config.user
    if name.rpartition("\\")[2].lower() in _WINDOWS_ROOTS:
        yield _finding(
            "runsAsRoot",
            f"it runs as {name or 'ContainerAdministrator'}, the administrator on Windows",
            "set securityContext.windowsOptions.runAsUserName: ContainerUser",
        )


def _finding(reason: str, detail: str, remedy: str) -> Finding:
    return Finding(check=NAME, result="fail", reason=reason, detail=detail, remedy=remedy)


CHECK = Check(name=NAME, title="not root", options=Options, inspect=_inspect)
