"""The words all checks speak: Subject in, Findings out.

A check is one file: a module docstring that is its page in the documentation, an options
class (its part of the policy schema), a pure function, and a ``CHECK``. It finds; whether
that denies is the policy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import msgspec

from webhook.image.facts import ImageFacts, NotRead, Program
from webhook.image.reference import Reference
from webhook.pod import Container, Workload

Result = Literal["fail", "unknown"]


MANY = msgspec.Meta(max_length=64)
"""How much a list in a policy may hold: what is checked at every review has a bound."""

MOST = (1 << 31) - 1
"""The largest number a policy may hold: every JSON reader between here and etcd knows it."""


class Options(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """What a policy may say about a check; ``{}`` just switches it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check's answer. Passing leaves none."""

    check: str
    result: Result
    reason: str
    """Short and constant: ``runsAsRoot``, ``shell``, ``unreachable``."""
    detail: str
    """One sentence with the values."""
    remedy: str = ""
    """What to do about it, one sentence."""
    path: str | None = None
    layer_digest: str | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A container and what is known of its image so far."""

    workload: Workload
    container: Container
    reference: Reference
    today: date
    """UTC."""
    facts: ImageFacts | None = None

    @property
    def image(self) -> ImageFacts:
        """The image's facts.

        Raises:
            NotRead: nothing was fetched yet.
        """
        if self.facts is None:
            raise NotRead
        return self.facts

    @property
    def windows(self) -> bool:
        """Whether it is to run on Windows: by the pod, or by the image once that is known."""
        if self.workload.os is not None:
            return self.workload.os == "windows"
        return self.facts is not None and self.facts.platform.os == "windows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about a container and its image."""

    name: str
    """As in policies: ``noShell``."""
    title: str
    """A few words: ``no shell``."""
    options: type[Options]
    inspect: Callable[[Subject, Any], Iterable[Finding]]
    """May raise ``NotRead`` by reaching for facts that were not read yet."""


def run(check: Check, subject: Subject, options: Options) -> tuple[tuple[Finding, ...], bool]:
    """Ask one check: what it found, and whether that is all it has to say.

    False means that more of the image has to be read first; what was found until then holds.
    """
    found: list[Finding] = []
    try:
        found.extend(check.inspect(subject, options))
    except NotRead:
        return tuple(found), False
    return tuple(found), True


MOST_FINDINGS = 10
"""Of one check about one image; the rest is counted. A message must stay readable."""


def program_findings(
    check: str, reason: str, remedy: str, programs: Sequence[Program]
) -> Iterator[Finding]:
    """One failure for each real file, its links folded into the detail.

    BusyBox alone has 300 names: the reader wants one line with the most telling of them.
    """
    files: dict[str, list[Program]] = {}
    for program in programs:
        real = program.target if program.by == "link" and program.target else program.path
        files.setdefault(real, []).append(program)
    for names in list(files.values())[:MOST_FINDINGS]:
        yield _program_finding(check, reason, remedy, names)
    if len(files) > MOST_FINDINGS:
        yield Finding(
            check=check,
            result="fail",
            reason=reason,
            detail=f"and {len(files) - MOST_FINDINGS} more (slimgate inspect lists them)",
            remedy=remedy,
        )


def _program_finding(check: str, reason: str, remedy: str, names: Sequence[Program]) -> Finding:
    shown = min(names, key=_telling)
    file = next((program for program in names if program.by != "link"), shown)
    others = [program for program in names if program is not file]
    link = min(others, key=_telling, default=None)
    return Finding(
        check=check,
        result="fail",
        reason=reason,
        detail=_what(file) + _links(len(others), link),
        remedy=remedy,
        path=shown.path,
        layer_digest=shown.layer_digest,
        created_by=shown.created_by,
    )


def _telling(program: Program) -> tuple[bool, bool, int, str]:
    """Order by how well a path tells what is wrong: a familiar name in a usual folder first."""
    folder, _, name = program.path.rpartition("/")
    usual = folder in {"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"}
    return (name not in {"sh", "bash", program.name}, not usual, len(program.path), program.path)


_WORDS = {
    "headers": "a tree of C headers",
    "capabilities": "given capabilities",
    "upx": "packed by UPX, so what it is cannot be seen",
}
"""To complete "… is" where a program's name alone does not."""


def _what(program: Program) -> str:
    name = _WORDS.get(program.name, program.name)
    if program.by == "content" and program.name not in _WORDS:
        return f"{program.path} is {name} by its content"
    if program.by == "loader":
        return f"{program.path} is {name}, which {program.target} starts without an x bit"
    if program.by == "link" and program.target:
        return f"{program.path} is {name}, a link to {program.target}"
    return f"{program.path} is {name}"


def _links(count: int, shown: Program | None) -> str:
    if shown is None:
        return ""
    if count == 1:
        return f", and {shown.path} is a link to it"
    return f", and {count} links lead to it, such as {shown.path}"


def unread_windows(check: str) -> Finding:
    """The answer of a check about files, of a Windows image: its layers are not read."""
    return Finding(
        check=check,
        result="fail",  # as of every image that cannot be judged: no onUnknown lets it in
        reason="unsupported",
        detail="the files of Windows images are not read",
        remedy="leave Windows images out with the policy's images.exclude, or run it on Linux",
    )
