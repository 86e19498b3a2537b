"""Findings as sentences: what a developer reads when a pod is refused or warned of.

The words are the product's face: which container and image, what was found, where (path,
layer, build step) and what to do. Everything an image or a pod brought is cleaned of control
characters and cut to a length, for it ends on terminals and in logs.

Does not know where the text goes; limits of the AdmissionReview are ``review.answer``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from webhook.checks.check import Finding, Result
from webhook.judge.decision import Decision, Judgement

T = TypeVar("T")
K = TypeVar("K")
_Named = tuple[str, str]
"""A container's name and its image."""

MAX_SHOWN = 12
"""Problems a message shows; further ones are counted."""
_IMAGE, _DETAIL, _PATH, _STEP = 400, 400, 200, 120
"""Characters of each part."""
_SHORT = 58
"""Characters of a namespace in a line of 120."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """One finding, folded over the checks and platforms that found the same."""

    judgement: Judgement
    finding: Finding
    checks: tuple[str, ...]
    platforms: tuple[str, ...]


def clean(text: str, limit: int) -> str:
    """``text`` on one line of at most ``limit`` characters, safe for terminals and headers.

    White space is folded; what does not print (control characters, lone surrogates, marks that
    turn the direction of text) is shown as its escape.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def image_of(judgement: Judgement) -> str:
    """``image@digest``: the image as written, with what it resolved to."""
    image, digest = judgement.image, judgement.digest
    return clean(image if digest is None or digest in image else f"{image}@{digest}", _IMAGE)


def sentence(finding: Finding, checks: Iterable[str] = ()) -> str:
    """``noShell: …``: what was found, or what could not be found out."""
    asked = ", ".join(checks) or finding.check
    if finding.result == "unknown":
        return f"{asked}: could not be found out ({finding.reason}): {_detail(finding)}"
    return f"{asked}: {_detail(finding)}"


def where(finding: Finding) -> str:
    """``/bin/sh in layer sha256:0123456789ab, made by: RUN …``; empty without evidence."""
    path = clean(finding.path, _PATH) if finding.path else ""
    layer = f"in layer {finding.layer_digest[:19]}" if finding.layer_digest else ""
    step = f", made by: {clean(finding.created_by, _STEP)}" if finding.created_by else ""
    return f"{path} {layer}{step}".strip(" ,")


def denial(decision: Decision) -> str:
    """The whole message, one section a policy; empty when nothing denies."""
    problems = _fold(decision.denied, _denying)
    shown, rest = problems[:MAX_SHOWN], len(problems) - MAX_SHOWN
    several = _several_platforms(decision.judgements)
    verb = "would deny" if decision.lenient else "denies"
    counted = _grouped(problems, lambda p: p.judgement.policy)
    lines = []
    for policy, of_policy in _grouped(shown, lambda p: p.judgement.policy).items():
        title = clean(of_policy[0].judgement.workload, _PATH)
        lines.append(f"policy {policy} {verb} {title}: {_count(counted[policy])}")
        for of_container in _grouped(of_policy, lambda p: _named(p.judgement)).values():
            lines += _container_lines(of_container, several)
    if rest > 0:
        lines.append(f"and {rest} more")
    return "\n".join(lines)


def warnings(decision: Decision) -> tuple[str, ...]:
    """One line, with the remedy, for each finding the user is to be warned of."""
    problems = _fold(decision.judgements, lambda judgement: judgement.warned)
    return tuple(
        line + _remedy(problem.finding) for problem, line in _with_lines(problems, decision)
    )


def break_glass(decision: Decision, namespace: str) -> tuple[str, ...]:
    """The line that tells the user, at most 120 characters; none while policies are enforced."""
    if not decision.break_glass:
        return ()
    of = f" for namespace {clean(namespace, _SHORT)}" if decision.break_glass == "namespace" else ""
    return (f"slimgate break-glass is on{of}: nothing is enforced",)


def violations(decision: Decision, result: Result) -> tuple[str, ...]:
    """One line for each failure, or each unknown, whatever the policies make of it."""
    problems = _fold(
        decision.judgements, lambda judged: [f for f in judged.findings if f.result == result]
    )
    return tuple(line for _, line in _with_lines(problems, decision))


def _with_lines(problems: Sequence[_Problem], decision: Decision) -> Iterator[tuple[_Problem, str]]:
    """Each with what is said of it; nothing is looked up where there is none, as mostly."""
    if problems:
        several = _several_platforms(decision.judgements)
        yield from ((problem, _line(problem, several)) for problem in problems)


def _line(problem: _Problem, several: frozenset[_Named]) -> str:
    judgement = problem.judgement
    container = clean(judgement.container, _STEP)
    said = sentence(problem.finding, problem.checks).rstrip(".")
    return f"{judgement.policy}: container {container}: {said}{_on(problem, several)}"


def _remedy(finding: Finding) -> str:
    return f"; {clean(finding.remedy, _DETAIL)}" if finding.remedy else ""


def _container_lines(problems: list[_Problem], several: frozenset[_Named]) -> list[str]:
    judgement = problems[0].judgement
    by = judgement.credentials
    read = f" (read with {clean(by, _STEP)})" if by else ""
    lines = [f"container {clean(judgement.container, _STEP)}: {image_of(judgement)}{read}"]
    for problem in problems:
        lines += _problem_lines(problem, several)
    unasked = dict.fromkeys(check for p in problems for check in p.judgement.unasked)
    if unasked:
        lines.append(f"  not checked yet: {', '.join(unasked)}")
    return lines


def _problem_lines(problem: _Problem, several: frozenset[_Named]) -> list[str]:
    finding = problem.finding
    lines = [f"  - {sentence(finding, problem.checks)}{_on(problem, several)}"]
    if evidence := where(finding):
        lines.append(f"    found: {evidence}")
    if finding.remedy:
        lines.append(f"    fix: {clean(finding.remedy, _DETAIL)}")
    return lines


def _on(problem: _Problem, several: frozenset[_Named]) -> str:
    """The platforms, where the image was judged on more than these could be."""
    if not problem.platforms or _named(problem.judgement) not in several:
        return ""
    return f" (on {', '.join(problem.platforms)})"


def _detail(finding: Finding) -> str:
    return clean(finding.detail, _DETAIL)


def _denying(judgement: Judgement) -> tuple[Finding, ...]:
    return tuple(f for f in judgement.findings if f not in judgement.warned)


def _fold(
    judgements: Iterable[Judgement], select: Callable[[Judgement], Iterable[Finding]]
) -> list[_Problem]:
    """The same found by several checks or on several platforms is one problem."""
    pairs = [(judgement, finding) for judgement in judgements for finding in select(judgement)]
    return [
        _Problem(
            judgement=same[0][0],
            finding=same[0][1],
            checks=tuple(dict.fromkeys(finding.check for _, finding in same)),
            platforms=tuple(dict.fromkeys(j.platform for j, _ in same if j.platform)),
        )
        for same in _grouped(pairs, _sameness).values()
    ]


def _sameness(pair: tuple[Judgement, Finding]) -> tuple[str | None, ...]:
    judgement, finding = pair
    told = (finding.result, finding.reason, finding.detail, finding.remedy, finding.path)
    return (judgement.policy, judgement.container, judgement.image, *told)


def _named(judgement: Judgement) -> _Named:
    """Container and image: a volume, whose image is judged too, may be named as a container."""
    return judgement.container, judgement.image


def _several_platforms(judgements: Iterable[Judgement]) -> frozenset[_Named]:
    """What was judged on more than one platform."""
    of = _grouped(judgements, _named)
    return frozenset(name for name, found in of.items() if len({j.platform for j in found}) > 1)


def _count(problems: list[_Problem]) -> str:
    unknown = sum(problem.finding.result == "unknown" for problem in problems)
    failed = len(problems) - unknown
    told = [
        f"{failed} problem{'' if failed == 1 else 's'}" if failed else "",
        f"{unknown} could not be found out" if unknown else "",
    ]
    return ", ".join(filter(None, told))


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> Mapping[K, list[T]]:
    """Groups in the order in which their first item came."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
