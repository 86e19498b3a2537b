"""What is answered: one Judgement per container, policy and platform, one Decision in all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from webhook.checks.check import Finding


class Action(StrEnum):
    """What a policy does about a failure."""

    ENFORCE = "Enforce"
    WARN = "Warn"
    AUDIT = "Audit"


class OnUnknown(StrEnum):
    """What a policy does about what could not be found out."""

    DENY = "Deny"
    WARN = "Warn"
    ALLOW = "Allow"


BreakGlass = Literal["", "namespace", "release"]
"""Who switched enforcement off for a while: nobody, a label of the namespace, or the operator of
the whole release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One policy's answer for one container on one platform."""

    workload: str
    """``Workload.title``."""
    container: str
    image: str
    """As written in the pod."""
    digest: str | None
    """What the image resolved to; None when it was not resolved."""
    platform: str | None
    policy: str
    action: Action
    """The policy's action for this workload: of a template, at most ``workloads``."""
    allowed: bool
    findings: tuple[Finding, ...] = ()
    warned: tuple[Finding, ...] = ()
    """The findings the user is to be warned of (Warn, or unknown with onUnknown: Warn)."""
    excepted: tuple[str, ...] = ()
    """``check: reason (until date)`` for each exception that was used."""
    unasked: tuple[str, ...] = ()
    """Checks that were not needed any more: the answer was already no."""
    credentials: str | None = None
    """Whose the image was read with; None: nobody's, or nobody kept account of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is answered for one workload."""

    judgements: tuple[Judgement, ...]
    audit_only: bool = False
    """Global audit-only mode: nothing is denied, whatever the judgements say."""
    break_glass: BreakGlass = ""
    """The same for as long as an emergency lasts, and never in silence."""

    @property
    def denied(self) -> tuple[Judgement, ...]:
        """The judgements that deny, audit-only mode and break-glass aside."""
        return tuple(j for j in self.judgements if not j.allowed)

    @property
    def lenient(self) -> bool:
        """Whether nothing is enforced."""
        return self.audit_only or self.break_glass != ""

    @property
    def allowed(self) -> bool:
        """Whether the request goes through."""
        return self.lenient or not self.denied
