"""A policy: what is asked of which images where, and what is done about the answers.

Made from an ``ImagePolicy`` document (``judge/load.py`` reads files). Knows no clock: the day
that decides about exceptions is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from webhook.checks import ALL
from webhook.checks.check import Check, Options
from webhook.image.globs import Glob
from webhook.image.reference import Reference
from webhook.judge.decision import Action, OnUnknown
from webhook.judge.document import Exemption, ImagePolicy, Images, Workloads
from webhook.judge.rules import Rule
from webhook.judge.selector import LabelSelector
from webhook.pod import Container, ContainerKind, Workload

LIFTED_FOR_DEBUGGING = frozenset(
    {"noShell", "noPackageManager", "noBuildTools", "noInterpreter", "size", "base"}
)
"""What ``ephemeralContainers.allow`` lifts: a debug image needs tools, but never root."""

BREAK_GLASS = "slimgate.dev/break-glass"
"""The label by which a namespace's enforcement is switched off in an emergency: ``true``."""

_ACTIONS = (Action.AUDIT, Action.WARN, Action.ENFORCE)
_UNKNOWN = (OnUnknown.ALLOW, OnUnknown.WARN, OnUnknown.DENY)
"""From lenient to strict, step by step alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Where a workload is to run."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    """The Namespace object where it was read; empty where only the name is known."""

    @property
    def object(self) -> Mapping[str, Any]:
        """The Namespace object, or as much of it as is known."""
        return self.document or {"metadata": {"name": self.name, "labels": dict(self.labels)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One ImagePolicy, ready to be asked."""

    name: str
    action: Action
    on_unknown: OnUnknown
    """Never stricter than ``action``."""
    workloads: Workloads = Workloads.WARN
    selector: LabelSelector | None = None
    images: Images = field(default_factory=Images)
    checks: tuple[tuple[Check, Options], ...] = ()
    rules: tuple[Rule, ...] = ()
    debug_images: tuple[Glob, ...] = ()
    """``ephemeralContainers.allow``."""
    exceptions: tuple[Exemption, ...] = ()
    broken: tuple[str, ...] = ()
    """Why it cannot be read, and so can only answer that; empty: it can."""

    @classmethod
    def unreadable(
        cls,
        name: str,
        problems: tuple[str, ...],
        *,
        action: Action,
        selector: LabelSelector | None,
    ) -> Policy:
        """A policy of which no version can be read: all it selects is unknown."""
        on_unknown = _no_stricter(OnUnknown.DENY, action)
        return cls(
            name=name, action=action, on_unknown=on_unknown, selector=selector, broken=problems
        )

    @classmethod
    def of(cls, document: ImagePolicy) -> Policy:
        """The policy a document describes."""
        spec = document.spec
        ephemeral = spec.ephemeral_containers
        return cls(
            name=document.metadata.name,
            action=spec.action,
            on_unknown=_no_stricter(spec.on_unknown or OnUnknown.DENY, spec.action),
            workloads=spec.workloads,
            selector=spec.namespace_selector,
            images=spec.images,
            checks=tuple(
                (check, options)
                for check in ALL
                if (options := getattr(spec.checks, check.name)) is not None
            ),
            rules=tuple(
                Rule(name=rule.name, expression=rule.expression, message=rule.message)
                for rule in spec.rules
            ),
            debug_images=ephemeral.allow if ephemeral else (),
            exceptions=spec.exceptions,
        )

    def selects(self, namespace: Namespace) -> bool:
        """Whether the policy applies to a namespace; without a selector, to every one."""
        return self.selector is None or self.selector.matches(namespace.labels)

    def judges(self, reference: Reference) -> bool:
        """Whether the policy applies to an image, by its name."""
        return _any(self.images.include, reference) and not _any(self.images.exclude, reference)

    def response(self, workload: Workload) -> tuple[Action, OnUnknown] | None:
        """What is done about failures and about what is unknown; None: not asked at all.

        A template of pods gets no more than ``workloads``: its pods are judged again, after
        mutating webhooks had their say.
        """
        if not workload.template:
            return self.action, self.on_unknown
        if self.workloads is Workloads.IGNORE:
            return None
        action = min(self.action, Action(self.workloads), key=_ACTIONS.index)
        return action, _no_stricter(self.on_unknown, action)

    def lifts(self, container: Container) -> bool:
        """Whether any check may be lifted for this container."""
        return bool(self.exceptions) or container.kind is ContainerKind.EPHEMERAL

    def lifted(
        self,
        check: str,
        container: Container,
        reference: Reference,
        namespace: Namespace,
        today: date,
    ) -> str | None:
        """Why a check is not asked of this container; None when it is."""
        for exception in self.exceptions:
            if _covers(exception, check, reference, namespace, today):
                return f"{exception.reason} (until {exception.expires})"
        if (
            container.kind is ContainerKind.EPHEMERAL
            and check in LIFTED_FOR_DEBUGGING
            and _any(self.debug_images, reference)
        ):
            return "an image that ephemeralContainers.allow names"
        return None


def breaks_glass(labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels is exempt from all enforcement."""
    return labels.get(BREAK_GLASS) == "true"


def _covers(
    exception: Exemption, check: str, reference: Reference, namespace: Namespace, today: date
) -> bool:
    return (
        check in exception.checks
        and today <= exception.expires
        and (exception.namespaces is None or namespace.name in exception.namespaces)
        and _any(exception.images, reference)
    )


def _any(globs: tuple[Glob, ...], reference: Reference) -> bool:
    return any(glob.matches(reference.name) for glob in globs)


def _no_stricter(on_unknown: OnUnknown, action: Action) -> OnUnknown:
    """``on_unknown``, but no more than the action."""
    return _UNKNOWN[min(_UNKNOWN.index(on_unknown), _ACTIONS.index(action))]
