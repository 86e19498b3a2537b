"""Policies as they stand in a cluster, where the newest version may be a broken one.

A bad policy never disappears and never becomes a weaker one: it is judged by its last good
version, and where none is known (after a restart), everything it selects is unknown. What it
selects, and under which action, is taken from the newest version as far as that can be read.

Knows objects as the API server sends them, as plain values, and no client of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from webhook.errors import PolicyError
from webhook.judge.decision import Action
from webhook.judge.decode import decode
from webhook.judge.document import ImagePolicy
from webhook.judge.nodes import node_of
from webhook.judge.policy import Policy
from webhook.judge.selector import LabelSelector


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """One ImagePolicy of a cluster: by what it is judged, and what is wrong with its newest."""

    name: str
    document: dict[str, Any] | None = None
    """The last good ImagePolicy, without status and bookkeeping; None: none is known."""
    generation: int = 0
    """Of the newest version."""
    problems: tuple[str, ...] = ()
    """Of the newest version, each as ``path: what is wrong``; empty: it is the good one."""
    selector: dict[str, Any] | None = None
    """The newest version's ``namespaceSelector``; None: every namespace, or not readable."""
    action: str | None = None
    """The newest version's ``action``; None: not readable."""


def observed(obj: Mapping[str, Any], previous: PolicyState | None) -> PolicyState:
    """The state that an object of the API server leads to.

    Args:
        obj: the newest ImagePolicy.
        previous: the state of that policy until now; None: it is seen for the first time.
    """
    metadata = _mapping(obj.get("metadata"))
    spec = _mapping(obj.get("spec"))
    name = str(metadata.get("name", ""))
    document = {
        **{key: obj[key] for key in ("apiVersion", "kind") if key in obj},
        "metadata": {"name": name},
        **{key: value for key, value in obj.items() if key not in _BOOKKEEPING},
    }
    problems = _problems(document)
    generation = metadata.get("generation")
    return PolicyState(
        name=name,
        document=_last_good(previous) if problems else document,
        generation=generation if isinstance(generation, int) else 0,
        problems=problems,
        selector=_selector(spec.get("namespaceSelector")),
        action=action if (action := spec.get("action")) in list(Action) else None,
    )


def policy_of(state: PolicyState) -> Policy:
    """What judges: the last good version, or a policy that can only say that it is broken.

    An action that cannot be read is taken for Enforce, and a selector that cannot be read for
    every namespace: the policy may have been there to refuse, and unknown is never a pass. The
    CRD's schema lets neither be written.
    """
    problems = state.problems
    if state.document is not None:
        try:
            return Policy.of(decode(node_of(state.document), ImagePolicy, ""))
        except PolicyError as error:  # kept by a version of slimgate that took it
            problems = problems or error.problems
    return Policy.unreadable(
        state.name,
        problems or ("no version of it could be read",),
        action=Action(state.action) if state.action in list(Action) else Action.ENFORCE,
        selector=_readable(state.selector),
    )


_BOOKKEEPING = frozenset({"apiVersion", "kind", "metadata", "status"})


def _last_good(previous: PolicyState | None) -> dict[str, Any] | None:
    return None if previous is None else previous.document


def _problems(document: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        decode(node_of(document), ImagePolicy, "")
    except PolicyError as error:
        return error.problems
    return ()


def _selector(value: object) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) and _readable(value) is not None else None


def _readable(value: object) -> LabelSelector | None:
    if value is None:
        return None
    try:
        return decode(node_of(value), LabelSelector, "")
    except PolicyError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
