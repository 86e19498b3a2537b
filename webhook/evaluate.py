"""From a workload to a decision: the one call that every entrance makes.

The webhook and the command line differ in where a workload comes from and where the decision
goes. What lies between is here, so that they cannot disagree.

Knows the checks, the policies and, as a Protocol, where images come from.
Does not know HTTP, Kubernetes, files, clocks or settings: all of that is handed in.

Never raises for an image: what cannot be found out, or not in time, is a finding with result
``unknown``, and the policy decides what that means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from webhook.checks.check import Finding, Subject, run
from webhook.errors import ImageRefused, IntegrityError, LimitExceeded, Malformed, Unsupported
from webhook.gather.source import Gathered, ImageRequest, Images, Unread, layered, unread
from webhook.image.facts import ImageFacts, NotRead, Problem
from webhook.image.reference import Reference
from webhook.judge.decision import Action, Judgement, OnUnknown
from webhook.judge.judge import denies, judge
from webhook.judge.policy import Namespace, Policy
from webhook.limits import Deadline
from webhook.pod import Container, Workload

IMAGE = "image"
"""The name findings about the image itself go by: unreadable, or not what it claims to be."""

POLICY = "policy"
"""The name findings about the policy itself go by: it is there and cannot be read."""

REFUSALS: Mapping[str, type[ImageRefused]] = {
    kind.reason: kind for kind in (IntegrityError, LimitExceeded, Malformed, Unsupported)
}
"""What an image's own problems can be, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One policy asked about one container."""

    policy: Policy
    container: Container
    reference: Reference | None
    action: Action
    on_unknown: OnUnknown
    excepted: Mapping[str, str]
    """Check to the reason why it is not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a question came to on one platform."""

    findings: tuple[Finding, ...] = ()
    open: tuple[str, ...] = ()
    """Checks that cannot say before more is read."""
    digest: str | None = None
    platform: str | None = None
    credentials: str | None = None


_Known = dict[Reference | None, Gathered]
"""What has been gathered so far; of a name that is no reference, nothing ever is."""


def evaluate(
    workload: Workload,
    policies: Iterable[Policy],
    images: Images,
    deadline: Deadline,
    *,
    namespace: Namespace,
    today: date,
    thorough: bool = False,
) -> tuple[Judgement, ...]:
    """Judge every container by every policy that selects the namespace.

    Reads no more than the answer needs: nothing where the pod alone decides, then manifest and
    config, then the layers; and stops as soon as a denial is proved. ``thorough`` reads on.

    Returns:
        One judgement per container, policy and platform, passes included; none where no
        policy applies.
    """
    questions = tuple(_questions(workload, policies, namespace, today))
    known: _Known = {}
    answers = _ask(questions, workload, namespace, today, known)
    for gather in (_gather_configs, _gather_layers):
        wanted = _wanted(questions, answers)
        if not wanted or (not thorough and _denied(questions, answers)):
            break
        gather(wanted, workload, images, deadline, known)
        answers = _ask(questions, workload, namespace, today, known)
    return tuple(
        judge(
            question.policy,
            workload,
            question.container,
            action=question.action,
            on_unknown=question.on_unknown,
            digest=answer.digest,
            platform=answer.platform,
            credentials=answer.credentials,
            findings=answer.findings,
            excepted=tuple(f"{name}: {why}" for name, why in question.excepted.items()),
            unasked=answer.open,
        )
        for question, found in zip(questions, answers, strict=True)
        for answer in found
    )


def _questions(
    workload: Workload, policies: Iterable[Policy], namespace: Namespace, today: date
) -> Iterator[_Question]:
    images = dict.fromkeys(container.image for container in workload.containers)
    references = {image: _reference(image) for image in images}
    for policy in policies:
        response = policy.response(workload)
        if response is None or not policy.selects(namespace):
            continue
        for container in workload.containers:
            reference = references[container.image]
            if reference is not None and not policy.judges(reference):
                continue
            yield _Question(
                policy=policy,
                container=container,
                reference=reference,
                action=response[0],
                on_unknown=response[1],
                excepted={}
                if reference is None or not policy.lifts(container)
                else _excepted(policy, container, reference, namespace, today),
            )


def _reference(image: str) -> Reference | None:
    """The parsed name, None for one that no runtime could pull."""
    try:
        return Reference.parse(image)
    except Malformed:
        return None


def _excepted(
    policy: Policy, container: Container, reference: Reference, namespace: Namespace, today: date
) -> dict[str, str]:
    lifted = {
        check.name: policy.lifted(check.name, container, reference, namespace, today)
        for check, _ in policy.checks
    }
    return {name: why for name, why in lifted.items() if why is not None}


def _ask(
    questions: Sequence[_Question],
    workload: Workload,
    namespace: Namespace,
    today: date,
    known: _Known,
) -> list[tuple[_Answer, ...]]:
    """Answer every question from what is known, one answer a platform."""
    return [
        tuple(
            _answer(question, workload, namespace, today, item)
            for item in known.get(question.reference) or (None,)
        )
        if not question.policy.broken
        else (_Answer(findings=(_broken(question.policy),)),)
        for question in questions
    ]


def _answer(
    question: _Question,
    workload: Workload,
    namespace: Namespace,
    today: date,
    item: ImageFacts | Unread | None,
) -> _Answer:
    if question.reference is None:
        return _Answer(findings=(_bad_name(question.container.image),))
    facts = item if isinstance(item, ImageFacts) else None
    subject = Subject(
        workload=workload,
        container=question.container,
        reference=question.reference,
        today=today,
        facts=facts,
    )
    found, open_ = _inspect(question, subject, namespace)
    if isinstance(item, Unread):
        # What the pod alone decides was decided; the rest has one and the same reason.
        found = (*found, _unread(item)) if open_ else found
        return _Answer(
            findings=found, open=open_, digest=item.digest, platform=_text(item.platform)
        )
    if facts is None:
        return _Answer(findings=found, open=open_, digest=question.reference.digest)
    return _Answer(
        findings=(*_problems(facts), *found),
        open=open_,
        digest=facts.digest,
        platform=_text(facts.platform),
        credentials=facts.credentials,
    )


def _inspect(
    question: _Question, subject: Subject, namespace: Namespace
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Ask the policy's checks and rules: what they found, and which cannot say yet."""
    found: list[Finding] = []
    open_: list[str] = []
    for check, options in question.policy.checks:
        if check.name in question.excepted:
            continue
        findings, complete = run(check, subject, options)
        found.extend(findings)
        if not complete:
            open_.append(check.name)
    for rule in question.policy.rules:
        try:
            found.extend(rule.inspect(subject, namespace))
        except NotRead:
            open_.append(f"rules.{rule.name}")
    return tuple(found), tuple(open_)


def _wanted(
    questions: Sequence[_Question], answers: Sequence[tuple[_Answer, ...]]
) -> tuple[Reference, ...]:
    """The images that open checks wait for, each once, in the order of the pod."""
    return tuple(
        dict.fromkeys(
            question.reference
            for question, found in zip(questions, answers, strict=True)
            if question.reference is not None and any(answer.open for answer in found)
        )
    )


def _denied(questions: Sequence[_Question], answers: Sequence[tuple[_Answer, ...]]) -> bool:
    """Whether some failure denies already: what is still unknown may yet be found out."""
    return any(
        denies(finding, question.action, question.on_unknown)
        for question, found in zip(questions, answers, strict=True)
        for answer in found
        for finding in answer.findings
        if finding.result == "fail"
    )


def _gather_configs(
    wanted: Sequence[Reference],
    workload: Workload,
    images: Images,
    deadline: Deadline,
    known: _Known,
) -> None:
    requests = {_request(reference, workload): reference for reference in wanted}
    for request, gathered in images.configs(tuple(requests), deadline).items():
        known[requests[request]] = gathered


def _gather_layers(
    wanted: Sequence[Reference],
    workload: Workload,
    images: Images,
    deadline: Deadline,
    known: _Known,
) -> None:
    requests = {reference: _request(reference, workload) for reference in wanted}
    opened = {request: known[reference] for reference, request in requests.items()}
    read = images.layers(
        [item for request, gathered in opened.items() for item in unread(request, gathered)],
        deadline,
    )
    for reference, request in requests.items():
        known[reference] = layered(request, opened[request], read)


def _request(reference: Reference, workload: Workload) -> ImageRequest:
    return ImageRequest(
        reference=reference,
        os=workload.os,
        architectures=workload.architectures,
        nodes=workload.nodes,
        account=workload.account,
        turn=workload.namespace,
    )


def _text(platform: object) -> str | None:
    return None if platform is None else str(platform)


def _bad_name(image: str) -> Finding:
    return Finding(
        check=IMAGE,
        result="fail",
        reason=Malformed.reason,
        detail=f"{image!r} is no image reference" if image else "the container names no image",
        remedy="name an image as registry/repository:tag or @sha256:…",
    )


def _broken(policy: Policy) -> Finding:
    """The one finding of a policy that cannot be read, whatever the image is like."""
    return Finding(
        check=POLICY,
        result="unknown",
        reason="broken",
        detail=f"the policy cannot be read: {policy.broken[0]}",
        remedy=f"mend the policy: kubectl describe imagepolicy {policy.name}",
    )


def _unread(item: Unread) -> Finding:
    """The one finding of an image that could not be read."""
    return Finding(
        check=IMAGE,
        result="fail" if isinstance(item.error, ImageRefused) else "unknown",
        reason=item.error.reason,
        detail=item.error.detail,
        remedy=item.error.remedy,
    )


def _problems(facts: ImageFacts) -> tuple[Finding, ...]:
    """What is wrong with the image itself, whatever the checks ask."""
    problems: tuple[Problem, ...] = facts.problems
    if facts.contents is not None:
        problems += facts.contents.problems
    return tuple(
        Finding(
            check=IMAGE,
            result="fail",
            reason=problem.reason,
            detail=problem.detail,
            remedy=REFUSALS[problem.reason].remedy,
        )
        for problem in problems
    )
