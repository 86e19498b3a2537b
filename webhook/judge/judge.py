"""From findings to an answer: what a policy says about one container on one platform."""

from __future__ import annotations

from webhook.checks.check import Finding
from webhook.judge.decision import Action, Judgement, OnUnknown
from webhook.judge.policy import Policy
from webhook.pod import Container, Workload


def denies(finding: Finding, action: Action, on_unknown: OnUnknown) -> bool:
    """Whether a finding alone is enough to deny; never under Warn or Audit."""
    if action is not Action.ENFORCE:
        return False
    return finding.result == "fail" or on_unknown is OnUnknown.DENY


def warns(finding: Finding, action: Action, on_unknown: OnUnknown) -> bool:
    """Whether the user is to be warned of a finding that does not deny."""
    if finding.result == "fail":
        return action is Action.WARN
    return action is not Action.AUDIT and on_unknown is OnUnknown.WARN


def judge(
    policy: Policy,
    workload: Workload,
    container: Container,
    *,
    action: Action,
    on_unknown: OnUnknown,
    digest: str | None,
    platform: str | None,
    findings: tuple[Finding, ...],
    credentials: str | None = None,
    excepted: tuple[str, ...] = (),
    unasked: tuple[str, ...] = (),
) -> Judgement:
    """Put the findings about one container under a policy's response to its workload.

    Args:
        policy: who asked.
        workload: what was asked about.
        container: which of its images.
        action: as ``Policy.response`` gave it for this workload.
        on_unknown: the same.
        digest: what the image resolved to, where it was resolved.
        platform: which of the image's platforms this is about.
        findings: of the checks, the rules and the image itself.
        credentials: whose the image was read with, where it wanted some.
        excepted: ``check: reason`` of each check that an exception lifted.
        unasked: checks that were not needed any more.
    """
    return Judgement(
        workload=workload.title,
        container=container.name,
        image=container.image,
        digest=digest,
        platform=platform,
        credentials=credentials,
        policy=policy.name,
        action=action,
        allowed=not any(denies(finding, action, on_unknown) for finding in findings),
        findings=findings,
        warned=tuple(finding for finding in findings if warns(finding, action, on_unknown)),
        excepted=excepted,
        unasked=unasked,
    )
