"""From AdmissionReview bytes to AdmissionReview bytes, around a judge that is handed in.

Knows the limits of warnings and audit annotations and what is answered when something goes
wrong. Does not know HTTP or metrics: the server and ``slimgate review`` both call it.

Source: k8s.io/api/admission/v1 types.go; apiserver's webhook/request/admissionreview.go,
endpoints/filters/warning.go and admission/attributes.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import msgspec

from webhook.errors import Busy, ReviewError, StateUnknown
from webhook.judge.decision import Decision, Judgement
from webhook.judge.message import break_glass, clean, denial, image_of, violations, warnings
from webhook.limits import Deadline, WouldWait
from webhook.pod import Workload
from webhook.review.admission import Request, mirrored, parse, probe, to_judge
from webhook.review.probe import answer as probe_answer

MAX_WARNING = 256
"""Characters; longer ones the API server may cut."""
MAX_WARNINGS = 4_000
"""Characters of all together; past 4,096 the API server drops what follows."""
MAX_ANNOTATION = 2_000
"""Characters of one audit annotation."""

Judge = Callable[[Workload, Deadline], Decision]


class Outcome(StrEnum):
    """One word for what was answered: the annotation ``decision`` and a label of metrics."""

    ALLOW = "allow"
    AUDIT = "audit"
    """Allowed, with findings that are only recorded."""
    WARN = "warn"
    DENY = "deny"
    WOULD_DENY = "would-deny"
    """Allowed in audit-only mode, with break-glass or as a static pod; denied otherwise."""
    SKIP = "skip"
    """Nothing to judge: unchanged, being deleted, or a resource without images."""
    PROBE = "probe"
    """A dry run that asks whether reviews come here at all (``admission.probe``)."""
    ERROR = "error"
    """It could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One review as it is recorded."""

    request: Request
    outcome: Outcome
    allowed: bool
    seconds: float
    decision: Decision | None = None
    error: Exception | None = None


class Recorder(Protocol):
    """Where reviews are counted and logged; never raises."""

    def reviewed(self, review: Reviewed) -> None:
        """Record one review. An ``error`` is a bug, or an object nobody can read."""


class _Status(msgspec.Struct):
    code: int
    reason: str
    message: str


class _Response(msgspec.Struct, omit_defaults=True, rename="camel"):
    uid: str
    allowed: bool
    status: _Status | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: Mapping[str, str] = {}


class _Review(msgspec.Struct, rename="camel"):
    response: _Response
    api_version: str = "admission.k8s.io/v1"
    kind: str = "AdmissionReview"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    response: _Response
    outcome: Outcome
    decision: Decision | None = None
    error: Exception | None = None


def answer(
    body: bytes,
    judge: Judge,
    *,
    deadline: Deadline,
    recorder: Recorder,
    audit_only: bool = False,
) -> bytes:
    """Answer one AdmissionReview, and record it.

    Whatever goes wrong once the uid is known is an answer too: pods are refused with the
    reason; templates, static pods, and everything with ``audit_only``, are allowed with an audit
    annotation.

    Raises:
        ReviewError: the body is no AdmissionReview that can be answered.
        Busy: the judge says that the client should come again.
        WouldWait: the judge would, and by the deadline must not; nothing is recorded.
    """
    started = deadline.clock()
    request = parse(body)
    given = _answer(request, judge, deadline, audit_only=audit_only)
    recorder.reviewed(
        Reviewed(
            request=request,
            outcome=given.outcome,
            allowed=given.response.allowed,
            seconds=deadline.clock() - started,
            decision=given.decision,
            error=given.error,
        )
    )
    return msgspec.json.encode(_Review(given.response))


def _answer(request: Request, judge: Judge, deadline: Deadline, *, audit_only: bool) -> _Answer:
    mirror = mirrored(request)
    lenient = audit_only or request.advisory or mirror is not None
    nonce = probe(request)
    if nonce is not None:
        return _answers(request, nonce)
    try:
        workload = to_judge(request)
    except ReviewError as error:
        return _failed(request, error, _Status(400, "BadRequest", str(error)), lenient=lenient)
    if workload is None:
        return _skipped(request)
    try:
        return _decided(request, judge(workload, deadline), mirror)
    except (Busy, WouldWait):
        raise
    except StateUnknown as error:
        status = _Status(500, "InternalError", clean(str(error), MAX_ANNOTATION))
        return _failed(request, error, status, lenient=lenient)
    except Exception as error:  # noqa: BLE001 - a bug: recorded whole, and answered all the same
        message = f"slimgate failed to judge this; its log says why (review {request.uid})"
        return _failed(request, error, _Status(500, "InternalError", message), lenient=lenient)


def _answers(request: Request, nonce: str) -> _Answer:
    response = _Response(
        request.uid,
        allowed=True,
        warnings=(probe_answer(nonce),),
        audit_annotations={"decision": str(Outcome.PROBE)},
    )
    return _Answer(response=response, outcome=Outcome.PROBE)


def _skipped(request: Request) -> _Answer:
    annotations = {"decision": str(Outcome.SKIP)}
    response = _Response(request.uid, allowed=True, audit_annotations=annotations)
    return _Answer(response=response, outcome=Outcome.SKIP)


def _failed(request: Request, error: Exception, status: _Status, *, lenient: bool) -> _Answer:
    known = isinstance(error, ReviewError | StateUnknown)
    told = str(error) if known else type(error).__name__
    response = _Response(
        request.uid,
        allowed=lenient,
        status=None if lenient else status,
        audit_annotations=_bounded(
            {"decision": Outcome.ERROR, "error": told, "mirror": mirrored(request) or ""}
        ),
    )
    return _Answer(response=response, outcome=Outcome.ERROR, error=error)


def _decided(request: Request, decision: Decision, mirror: str | None) -> _Answer:
    if mirror is not None:  # it runs whatever is said: as in audit-only mode
        decision = replace(decision, audit_only=True)
    outcome = _outcome(decision)
    told = (
        *break_glass(decision, request.namespace),
        *_static(decision, mirror),
        *warnings(decision),
    )
    response = _Response(
        request.uid,
        allowed=decision.allowed,
        status=None if decision.allowed else _Status(403, "Forbidden", denial(decision)),
        # A denial says it all already.
        warnings=_fitting(told) if decision.allowed else (),
        audit_annotations=_bounded({**_annotations(decision, outcome), "mirror": mirror or ""}),
    )
    return _Answer(response=response, outcome=outcome, decision=decision)


def _outcome(decision: Decision) -> Outcome:
    if decision.denied:
        return Outcome.WOULD_DENY if decision.lenient else Outcome.DENY
    if any(judgement.warned for judgement in decision.judgements):
        return Outcome.WARN
    if any(judgement.findings for judgement in decision.judgements):
        return Outcome.AUDIT
    return Outcome.ALLOW


def _annotations(decision: Decision, outcome: Outcome) -> dict[str, str]:
    """The whole vocabulary but ``mirror`` and ``error``; empty values are left out."""
    judgements = decision.judgements
    would = [j.policy for j in decision.denied] if decision.lenient else []
    return {
        "decision": outcome,
        "policies": _list(judgement.policy for judgement in judgements),
        "images": _list(image_of(judgement) for judgement in judgements),
        "violations": "; ".join(violations(decision, "fail")),
        "unknown": "; ".join(violations(decision, "unknown")),
        "exempt": "; ".join(dict.fromkeys(text for j in judgements for text in j.excepted)),
        "would-deny": _list(would),
        "break-glass": decision.break_glass,
        "advisory": _by_tag(judgements),
        "credentials": _credentials(judgements),
    }


def _static(decision: Decision, mirror: str | None) -> tuple[str, ...]:
    """For the kubelet's log: what a static pod would have been denied by."""
    policies = _list(judgement.policy for judgement in decision.denied)
    if mirror is None or not policies:
        return ()
    return (f"slimgate: this static pod runs all the same, but is against {policies}",)


def _credentials(judgements: Sequence[Judgement]) -> str:
    """Whose credentials private images were read with: the pod's own, or what nodes have."""
    return "; ".join(
        dict.fromkeys(
            f"{j.image} was read with {j.credentials}" for j in judgements if j.credentials
        )
    )


def _by_tag(judgements: Sequence[Judgement]) -> str:
    """What was judged under a name that may be another image when the node pulls it."""
    names = _list(j.image for j in judgements if j.digest is not None and "@" not in j.image)
    return names and f"judged by a tag, which can be moved: {names}"


def _list(items: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(items))


def _bounded(annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: clean(value, MAX_ANNOTATION) for key, value in annotations.items() if value}


def _fitting(lines: Iterable[str]) -> tuple[str, ...]:
    """As many as fit, each once; the last one counts the rest."""
    cut = list(dict.fromkeys(clean(line, MAX_WARNING) for line in lines))
    room = MAX_WARNINGS - MAX_WARNING
    fitting: list[str] = []
    for line in cut:
        room -= len(line)
        if room < 0:
            fitting.append(f"slimgate: and {len(cut) - len(fitting)} more warnings")
            break
        fitting.append(line)
    return tuple(fitting)
