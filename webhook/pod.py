"""A workload as the checks see it: its containers with the effective security context.

``webhook.review`` and the command line turn Kubernetes objects into these values with
``workload_of``; nothing here knows where an object came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ContainerKind(StrEnum):
    """Where in the pod an image is named."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with ``restartPolicy: Always``."""
    CONTAINER = "container"
    EPHEMERAL = "ephemeral"
    VOLUME = "volume"
    """An image volume (``volumes[].image``): mounted, never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command that the kubelet runs inside the container."""

    where: str
    """``livenessProbe``, ``readinessProbe``, ``startupProbe``, ``postStart`` or ``preStop``."""
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One image that a workload names, and how it is to be run.

    The security fields are effective: the container's own over the pod's.
    """

    name: str
    image: str
    """As written; empty when the pod does not say."""
    kind: ContainerKind = ContainerKind.CONTAINER
    command: tuple[str, ...] | None = None
    """The pod's ``command``, which replaces the image's entrypoint; None when absent."""
    args: tuple[str, ...] | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user_name: str | None = None
    """``windowsOptions.runAsUserName``: who a Windows container runs as."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Literal values only (``PATH`` decides where a bare command is looked up)."""
    working_dir: str | None = None
    hooks: tuple[Hook, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """As sent: ``container`` in CEL rules."""


MOST_PULL_SECRETS = 16
"""Of a pod, that are looked at."""
_MOST_NAME = 253
"""Characters of an object's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose credentials a pod's images are pulled with, where its node has none."""

    namespace: str
    service_account: str = "default"
    pull_secrets: tuple[str, ...] = ()
    """In the pod's order. The ServiceAccount's count only where the pod names none: so
    admission fills them in, and the kubelet looks no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A pod, or a template of pods."""

    kind: str
    name: str
    """May be empty: then ``generate_name`` has the stem."""
    namespace: str
    containers: tuple[Container, ...]
    generate_name: str = ""
    template: bool = False
    """True for Deployments and the like: judged as the pods they create, advisory."""
    os: str | None = None
    """``linux`` or ``windows`` where ``spec.os`` or the node selector says so."""
    architectures: frozenset[str] | None = None
    """What node selector and required affinity leave; None when they do not say."""
    nodes: frozenset[str] = frozenset()
    """Platforms of the cluster's nodes (``linux/amd64``); empty where they are not known."""
    host_users: bool = True
    service_account: str = "default"
    pull_secrets: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    """The pod as sent (metadata and spec; of a template, the pod's): ``pod`` in CEL rules."""

    @property
    def title(self) -> str:
        """``Pod/web``, ``Deployment/web``, or ``Pod/web-*`` where the server makes the name."""
        return f"{self.kind}/{self.name or self.generate_name + '*'}"

    @property
    def account(self) -> Account:
        """Whose credentials its images are pulled with.

        It is a key of all that is remembered for the account, so its size is bounded: of what is
        too much, and of a name that is too long, one more is kept, by which it is known.
        """
        named = tuple(dict.fromkeys(filter(None, self.pull_secrets)))
        return Account(
            namespace=self.namespace,
            service_account=self.service_account[: _MOST_NAME + 1],
            pull_secrets=tuple(name[: _MOST_NAME + 1] for name in named[: MOST_PULL_SECRETS + 1]),
        )
