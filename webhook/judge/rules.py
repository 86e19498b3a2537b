"""Rules of a policy's own, in CEL, over ``image``, ``container``, ``pod`` and ``namespaceObject``.

``image`` is the document of ``slimgate inspect -o json``; ``container``, ``pod`` and
``namespaceObject`` are the objects as sent. The namespace goes by Kubernetes' own name for it
(ValidatingAdmissionPolicy), since ``namespace`` is a reserved word in CEL
(docs/adr/004-namespace-object.md). The extensions ``strings`` and ``optional`` are there, as in
Kubernetes.

The library bounds what an expression may cost: 10,000 steps of comprehensions in all, 32 levels
of nesting, and regular expressions without backtracking (RE2). Memory it does not bound: who
writes policies is trusted, who writes pods and images is not. It is loaded with the first rule,
so that a policy without rules does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from webhook.checks.check import Finding, Result, Subject
from webhook.image.document import document

if TYPE_CHECKING:
    from cel_expr_python.cel import Env

    from webhook.judge.policy import Namespace

IMAGE = "image"
NAMESPACE = "namespaceObject"
VARIABLES = (IMAGE, "container", "pod", NAMESPACE)
_RESERVED = "reserved identifier: namespace"
_LONGEST = 4096


class Expression:
    """A compiled CEL expression that yields a boolean."""

    __slots__ = ("_program", "reads_image", "source")
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "description": f"CEL over {', '.join(VARIABLES)}; true passes",
        "maxLength": _LONGEST,
    }

    def __init__(self, source: str, program: Any, *, reads_image: bool) -> None:
        self.source = source
        self.reads_image = reads_image
        """Whether it cannot be evaluated before the layers were read."""
        self._program = program

    @classmethod
    def parse(cls, value: object) -> Self:
        """Compile. Raises ``ValueError`` with the compiler's words."""
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
            raise ValueError(f"is no CEL expression of 1 to {_LONGEST} characters")
        try:
            program = _environment(VARIABLES).compile(value)
        except RuntimeError as error:  # what the library raises for everything
            raise ValueError(_helpful(_readable(str(error)))) from error
        kind = program.return_type().name()
        if kind not in {"BOOL", "DYN"}:
            raise ValueError(f"yields {kind.lower()}, not true or false")
        return cls(value, program, reads_image=not _compiles_without_image(value))

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, variables: Mapping[str, Any]) -> bool:
        """The expression's value. Raises ``ValueError`` where it has none, or no boolean."""
        try:
            value = self._program.eval(data=dict(variables))
        except RuntimeError as error:
            raise ValueError(_readable(str(error))) from error
        # An error comes back as a value, too; its text would be truthy.
        answer = value.value()
        if value.type().name() == "ERROR":
            raise ValueError(_readable(str(answer)))
        if not isinstance(answer, bool):
            raise ValueError(f"yields {value.type().name().lower()}, not true or false")  # noqa: TRY004 - the rule's fault
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One of a policy's ``rules``."""

    name: str
    expression: Expression
    message: str

    @property
    def check(self) -> str:
        """The name its findings go by."""
        return f"rules.{self.name}"

    def inspect(self, subject: Subject, namespace: Namespace) -> tuple[Finding, ...]:
        """Evaluate the rule: true passes, false fails, an error is unknown.

        Args:
            subject: the container and its image.
            namespace: where it is to run, as far as that is known.

        Raises:
            NotRead: the rule looks at the image, whose layers were not read yet.
        """
        variables = {
            IMAGE: document(subject.image) if self.expression.reads_image else {},
            "container": subject.container.document,
            "pod": subject.workload.document,
            NAMESPACE: namespace.object,
        }
        try:
            passed = self.expression.evaluate(variables)
        except ValueError as error:
            return (self._finding("unknown", "ruleError", f"the rule has no answer: {error}"),)
        return () if passed else (self._finding("fail", "rule", self.message),)

    def _finding(self, result: Result, reason: str, detail: str) -> Finding:
        advice = (
            "change what the rule looks at"
            if result == "fail"
            else "mend the rule (has() tells whether a field is there)"
        )
        remedy = f"{advice}: {self.expression.source}"
        return Finding(check=self.check, result=result, reason=reason, detail=detail, remedy=remedy)


@cache
def _environment(names: tuple[str, ...]) -> Env:
    from cel_expr_python import cel  # noqa: PLC0415 - 50 MB that most policies do not need
    from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415 - same

    return cel.NewEnv(
        variables=dict.fromkeys(names, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
    )


def _compiles_without_image(source: str) -> bool:
    """Whether it means anything without ``image``: exact where a search for the word is not."""
    try:
        _environment(tuple(name for name in VARIABLES if name != IMAGE)).compile(source)
    except RuntimeError:
        return False
    return True


def _helpful(message: str) -> str:
    if _RESERVED not in message:
        return message
    return f"{message} (a reserved word in CEL: the namespace is {NAMESPACE})"


def _readable(text: str) -> str:
    """The library's message on one line, without its status words and pictures."""
    lines = [line for line in text.splitlines() if not line.startswith(" | ")]
    for word in ("INVALID_ARGUMENT: ", "ERROR: ", "INTERNAL: ", "NOT_FOUND: ", "CANCELLED: "):
        lines = [line.removeprefix(word) for line in lines]
    return "; ".join(lines).replace("<input>:", "")
