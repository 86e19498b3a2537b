"""age: the image was built lately.

What it asks
    How long ago was the image created, by its own config?

Why
    An image that nobody rebuilt for months has months of unpatched packages in it. The date is
    the builder's claim: it is good against neglect, not against an attacker.

What it flags
    Images created more than maxDays ago. Reproducible builds carry no true date (1970-01-01,
    1980-01-01, 0001-01-01, or none), and a date in the future tells nothing either: undated
    says what they get.

Remedy
    Rebuild on a current base and roll out; a scheduled build keeps it that way.

Options
    - ``maxDays``: whole days, required; an image that old to the day passes;
    - ``undated``: ``Pass`` (the default) or ``Fail``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Literal

import msgspec

from webhook.checks.check import MOST, Check, Finding, Options, Subject

NAME = "age"
_FIRST_TRUE_YEAR = 1981
"""0001 is Go's zero time, 1970 the epoch, 1980 the first year zip archives know."""


class Age(Options, frozen=True):
    """How old an image may be."""

    max_days: Annotated[int, msgspec.Meta(ge=1, le=MOST)]
    undated: Literal["Pass", "Fail"] = "Pass"


def _inspect(subject: Subject, options: Age) -> Iterator[Finding]:
    written = subject.image.config.created
    created = _day(written)
    if created is None or created > subject.today + timedelta(days=1):  # clocks differ by zones
        if options.undated == "Fail":
            yield _finding(
                "undated",
                f"its creation date ({written or 'none'}) tells no age",
                "build with a true creation date, or set age.undated: Pass for reproducible builds",
            )
        return
    days = (subject.today - created).days
    if days > options.max_days:
        yield _finding(
            "tooOld",
            f"it was created {created}, {days} days ago, more than {options.max_days}",
            "rebuild it on a current base and roll that out",
        )


def _day(created: str | None) -> date | None:
    """The day, in the builder's time zone; None where it is none that a builder's clock shows."""
    try:
        day = date.fromisoformat((created or "")[:10])
    except ValueError:
        return None
    return day if day.year >= _FIRST_TRUE_YEAR else None


def _finding(reason: str, detail: str, remedy: str) -> Finding:
    return Finding(check=NAME, result="fail", reason=reason, detail=detail, remedy=remedy)


CHECK = Check(name=NAME, title="age", options=Age, inspect=_inspect)
