"""Files of Kubernetes objects: manifests, namespaces and policies, as kubectl takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webhook.errors import PolicyError, UsageError
from webhook.judge.load import BUILTIN, builtin, load_policies
from webhook.judge.nodes import Bounds, Node, read
from webhook.judge.policy import Namespace, Policy

NAME_LABEL = "kubernetes.io/metadata.name"
"""What the API server labels every namespace with."""

Namespaces = Callable[[str], Namespace]
"""A namespace by its name."""

_TYPE = ("apiVersion", "kind")
_BOUNDS = Bounds(bytes=64 << 20, depth=128, nodes=1_000_000)
"""A whole cluster's manifests in one file, CustomResourceDefinitions and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesObject:
    """A Kubernetes object as a file holds it."""

    document: Mapping[str, Any]
    file: str
    line: int

    @property
    def kind(self) -> str:
        """``Pod``; empty where the object does not say."""
        return str(self.document.get("kind") or "")

    @property
    def name(self) -> str:
        """``metadata.name``; empty where the object does not say."""
        return self._metadata("name")

    @property
    def namespace(self) -> str:
        """``metadata.namespace``; empty where the object does not say."""
        return self._metadata("namespace")

    def _metadata(self, key: str) -> str:
        metadata = self.document.get("metadata")
        return str(metadata.get(key) or "") if isinstance(metadata, dict) else ""


def read_objects(path: Path) -> Iterator[KubernetesObject]:
    """The objects of a file, those within a List one by one; ``-`` is standard input.

    Raises:
        UsageError: it cannot be read.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        data = _bytes(path)
        nodes = read(data.decode("utf-8"), name, _BOUNDS)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is no UTF-8") from error
    except PolicyError as error:
        raise UsageError(str(error)) from error
    for node in nodes:
        yield from _objects(node, name)


def _bytes(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(_BOUNDS.bytes + 1)
    with path.open("rb") as stream:
        return stream.read(_BOUNDS.bytes + 1)


def _objects(
    node: Node, file: str, within: Mapping[str, str] = MappingProxyType({})
) -> Iterator[KubernetesObject]:
    """``within``: what the list around it says of its items."""
    if not isinstance(node.value, dict):
        raise UsageError(f"{file}:{node.line}: is no Kubernetes object")
    own = {key: str(node.value[key].value) for key in _TYPE if _says(node.value.get(key))}
    kind, items = own.get("kind", ""), node.value.get("items")
    if kind.endswith("List") and items is not None:
        # Of a DeploymentList the API server leaves out what kind its items are; source:
        # decodeToList of apimachinery's unstructured scheme.
        said = {**own, "kind": kind.removesuffix("List")} if kind != "List" else {}
        for item in items.value if isinstance(items.value, list) else ():
            yield from _objects(item, file, said)
        return
    document = {**node.plain(), **within, **own}
    if not document.get("kind"):  # taken for something that creates no pods, it would pass
        raise UsageError(f"{file}:{node.line}: kind is missing")
    yield KubernetesObject(document=document, file=file, line=node.line)


def _says(node: Node | None) -> bool:
    return node is not None and bool(node.value)


def read_namespaces(path: Path | None) -> Namespaces:
    """Namespaces of a file, as ``kubectl get namespaces -o yaml`` prints them.

    One that is not in it, or any without a file, has but the label that every namespace has.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    known = {} if path is None else {one.name: one for one in map(_namespace, read_objects(path))}

    def namespace(name: str) -> Namespace:
        return known.get(name) or Namespace(name=name, labels={NAME_LABEL: name})

    return namespace


def _namespace(found: KubernetesObject) -> Namespace:
    where = f"{found.file}:{found.line}"
    if found.kind != "Namespace" or not found.name:
        raise UsageError(f"{where}: is no Namespace with a name")
    labels = found.document["metadata"].get("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
        raise UsageError(f"{where}: metadata.labels: every label is a string")
    return Namespace(
        name=found.name, labels={**labels, NAME_LABEL: found.name}, document=found.document
    )


def read_policies(names: Sequence[str], *, select: bool) -> tuple[Policy, ...]:
    """Policies by file, folder or shipped name.

    Args:
        names: a shipped name goes before a file of that name; write ``./nonroot`` for the file.
        select: whether their ``namespaceSelector`` counts; without it they are for every
            namespace.

    Raises:
        PolicyError: with every fault of every file.
    """
    found: dict[str, Policy] = {}
    faults: list[str] = []
    for name in names:
        try:
            policies = load_policies(_policy_path(name))
        except PolicyError as error:
            faults.extend(error.problems)
            continue
        faults.extend(
            f"{name}: there is a policy {p.name} already" for p in policies if p.name in found
        )
        found.update({policy.name: policy for policy in policies})
    if faults:
        raise PolicyError(tuple(faults))
    return tuple(policy if select else replace(policy, selector=None) for policy in found.values())


def _policy_path(name: str) -> Path:
    path = Path(name)
    return path if name not in BUILTIN and path.exists() else builtin(name)
