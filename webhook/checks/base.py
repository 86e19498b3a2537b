"""base: the image stands on a base that you chose.

What it asks
    Can it be proved that the image was built on one of the allowed bases?

Why
    The base decides what is patched, and by whom. Labels and /etc/os-release say what their
    author wrote there; a published image with a distroless tag has shipped bash.

What it flags
    An image that was proved to stand on another base fails. One whose base cannot be proved is
    unknown, and the policy's onUnknown decides. Two proofs count: the image's first layers are,
    byte for byte, those of a base that slimgate knows; or, for scratch, nothing of any
    distribution is in it: no os-release, package database, package manager, dynamic loader or
    shell. What os-release and package databases claim is shown, and is never proof.
    Known are the releases in webhook/image/bases.json, and those that you taught it with
    slimgate base learn. Any other base can be allowed, and stays unknown. An image that stands
    on several known bases, one built on the other, may stand on any of them.

Remedy
    Start the last build stage FROM an allowed base, by its digest.

Options
    - ``allow``: names of bases, required: ``scratch``, ``alpine``, or one release of it,
      ``alpine:3.20.3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from webhook.checks.check import MANY, Check, Finding, Options, Subject
from webhook.image.bases import SCRATCH, bases_of, claim_of
from webhook.image.facts import Base, ImageFacts

NAME = "base"


class BaseName(str):
    """A base, or one release of it."""

    __slots__ = ()
    _FORM: ClassVar[re.Pattern[str]] = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[\w.-]+)?", re.ASCII)
    _LONGEST = 128
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "maxLength": _LONGEST,
        "pattern": f"^{_FORM.pattern}$",
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check the form; a base that is not known can still become so. Raises ``ValueError``."""
        fits = isinstance(value, str) and len(value) <= cls._LONGEST and cls._FORM.fullmatch(value)
        if not isinstance(value, str) or not fits:
            raise ValueError(f"{value!r} is no base (such as scratch or alpine:3.20.3)")
        return cls(value)


class Bases(Options, frozen=True):
    """Which bases are allowed."""

    allow: Annotated[tuple[BaseName, ...], MANY]

    def __post_init__(self) -> None:
        if not self.allow:
            raise ValueError("allow is empty: it would refuse every image")


def _inspect(subject: Subject, options: Bases) -> Iterator[Finding]:
    image = subject.image
    bases = bases_of(image)
    allowed = ", ".join(options.allow)
    if not bases:
        yield Finding(
            check=NAME,
            result="unknown",
            reason="baseUnknown",
            detail=f"what it stands on cannot be proved{_claim(image)}",
            remedy=f"start the last build stage FROM one of: {allowed}",
        )
    elif not {name for base in bases for name in (base.name, str(base))} & set(options.allow):
        yield Finding(
            check=NAME,
            result="fail",
            reason="baseNotAllowed",
            detail=f"it stands on {_shown(bases[0])}, which is none of: {allowed}",
            remedy=f"start the last build stage FROM one of: {allowed}",
        )
    else:
        # Until the layers were read, their diff_ids are the config's claim.
        _ = image.files


def _shown(base: Base) -> str:
    proof = "nothing of a distribution is in it" if base.name == SCRATCH else "proved by its layers"
    return f"{base} ({proof})"


def _claim(image: ImageFacts) -> str:
    claim = claim_of(image.files)
    return f"; it claims to be {claim!r}" if claim else ""


CHECK = Check(name=NAME, title="base", options=Bases, inspect=_inspect)
