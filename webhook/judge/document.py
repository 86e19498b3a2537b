"""The ImagePolicy document as types: what ``kubectl apply`` takes, checked field by field.

The JSON Schema (``judge/schema.py``) and the reader of files (``judge/decode.py``) are both
derived from these classes, so that they cannot disagree. What one field cannot say by its type
is checked by its class: a ``__post_init__``, or the ``parse`` of a leaf (``judge/decode.py``).
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import msgspec

from webhook.checks import ALL
from webhook.checks.check import MANY
from webhook.image.globs import Glob
from webhook.judge.decision import Action, OnUnknown
from webhook.judge.rules import Expression
from webhook.judge.selector import LabelSelector

API_VERSION = "slimgate.dev/v1alpha1"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LONGEST_NAME = 253


class Workloads(StrEnum):
    """What templates of pods (Deployments, Jobs, …) get on the same findings."""

    ENFORCE = "Enforce"
    WARN = "Warn"
    IGNORE = "Ignore"


class Name(str):
    """A Kubernetes object's name (RFC 1123 subdomain)."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "maxLength": _LONGEST_NAME,
        "pattern": f"^{_NAME.pattern}$",
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a name. Raises ``ValueError``."""
        if not isinstance(value, str) or len(value) > _LONGEST_NAME or not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no name: lower case letters, digits, - and .")
        return cls(value)


class CheckName(str):
    """One of the checks."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "enum": [check.name for check in ALL],
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check that there is such a check. Raises ``ValueError``."""
        names = [check.name for check in ALL]
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{value!r} is no check (there are {', '.join(names)})")
        return cls(value)


class Text(str):
    """A text for people: not empty, on one line."""

    __slots__ = ()
    _LONGEST = 512
    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": _LONGEST}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a text. Raises ``ValueError``."""
        if not isinstance(value, str) or not value.strip() or len(value) > cls._LONGEST:
            raise ValueError(f"is no text of 1 to {cls._LONGEST} characters")
        if not value.isprintable():
            raise ValueError("has characters that cannot be printed on one line")
        return cls(value)


class Day(date):
    """A day, ``2027-01-31``."""

    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "format": "date"}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a day. Raises ``ValueError``."""
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                return cls.fromisoformat(value)
        except ValueError:
            pass  # as 2027-02-30: told below
        raise ValueError(f"{value!r} is no day (such as 2027-01-31)")


class _Struct(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """An object whose every key is known."""


class Metadata(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Of Kubernetes' ObjectMeta only the name matters; the rest is let be."""

    name: Name


class Images(_Struct, frozen=True):
    """Which images are judged."""

    include: Annotated[tuple[Glob, ...], MANY] = msgspec.field(default_factory=lambda: (Glob("*"),))
    """Globs on image names; absent: every image."""
    exclude: Annotated[tuple[Glob, ...], MANY] = ()
    """Globs on image names that are left out although include has them."""

    def __post_init__(self) -> None:
        if not self.include:
            raise ValueError("include is empty: no image would be judged")


class RuleDocument(_Struct, frozen=True):
    """A question of your own, in CEL."""

    name: Name
    """What its findings go by: rules.NAME."""
    expression: Expression
    """CEL over image (what slimgate inspect -o json prints), container, pod and namespaceObject.
    True passes, false fails, an error is unknown."""
    message: Text
    """What whoever is refused reads."""


class EphemeralContainers(_Struct, frozen=True):
    """Images that ``kubectl debug`` may bring although they carry a shell."""

    allow: Annotated[tuple[Glob, ...], MANY]
    """Globs on image names. noShell, noPackageManager, noBuildTools, size and base are not asked
    of them as ephemeral containers; nonRoot is."""


class Exemption(_Struct, frozen=True):
    """Checks that are not asked of some images, for a stated reason and until a stated day."""

    images: Annotated[tuple[Glob, ...], MANY]
    """Globs on image names: of which images."""
    checks: Annotated[tuple[CheckName, ...], MANY]
    """Which checks are not asked of them."""
    reason: Text
    """Why: shown wherever the exception is used."""
    expires: Day
    """The last valid day, UTC, as 2027-01-31; after it the checks are asked again."""
    namespaces: Annotated[tuple[Name, ...], MANY] | None = None
    """In which namespaces, by name; absent: in every one that the policy selects."""

    def __post_init__(self) -> None:
        for field in ("images", "checks", "namespaces"):
            if getattr(self, field) == ():
                raise ValueError(f"{field} is empty: it would except nothing")


if TYPE_CHECKING:

    class Checks(_Struct, frozen=True):
        """One optional key for each check, holding its options."""
else:
    Checks = msgspec.defstruct(
        "Checks",
        [(check.name, check.options | None, None) for check in ALL],
        bases=(_Struct,),
        namespace={"__doc__": "One optional key for each check, holding its options."},
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
    )


class Spec(_Struct, frozen=True):
    """What a policy asks of which images, and what it does about the answers."""

    action: Action
    """What is done about a failure: Enforce refuses the pod, Warn lets it in and shows kubectl's
    user a warning, Audit only writes to the API server's audit log."""
    namespace_selector: LabelSelector | None = None
    """Which namespaces, by their labels. Absent: every namespace."""
    on_unknown: OnUnknown | None = None
    """What is done about what could not be found out (registry down, no credentials, no time).
    Absent: Deny with Enforce, Warn with Warn, Allow with Audit; never more than ``action``. With
    Allow, whoever can keep slimgate from reaching a registry gets in."""
    workloads: Workloads = Workloads.WARN
    """What Deployments, Jobs and the like get for the pods they would create; absent: Warn. Never
    more than ``action``; their pods are judged again when they are created."""
    images: Images = msgspec.field(default_factory=Images)
    """Which images are judged. Absent: all."""
    checks: Checks = msgspec.field(default_factory=Checks)
    """What is asked of an image: one key for each check. noShell: {} switches one on."""
    rules: Annotated[tuple[RuleDocument, ...], MANY] = ()
    """Questions of your own, in CEL."""
    ephemeral_containers: EphemeralContainers | None = None
    """What kubectl debug may bring into the namespaces."""
    exceptions: Annotated[tuple[Exemption, ...], MANY] = ()
    """Images that some checks are not asked of, why, and until when."""

    def __post_init__(self) -> None:
        if not self.rules and all(getattr(self.checks, check.name) is None for check in ALL):
            raise ValueError("asks nothing: name at least one check or rule")
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"has two rules named {name}")


class ImagePolicy(_Struct, frozen=True):
    """A policy, as ``kubectl apply`` takes it."""

    api_version: Literal["slimgate.dev/v1alpha1"]
    """slimgate.dev/v1alpha1"""
    kind: Literal["ImagePolicy"]
    """ImagePolicy"""
    metadata: Metadata
    spec: Spec
    """What the policy asks of which images, and what it does about the answers."""
    status: Any = None
    """Written by slimgate, never read here."""
