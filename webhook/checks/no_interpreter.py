"""noInterpreter: no interpreter can be started in the container, but those that are allowed.

What it asks
    Is there a program in the image that runs whatever text it is given: a shell by another name?

Why
    ``python -c``, ``perl -e``, ``node -e`` and ``awk 'BEGIN { system(…) }'`` do what a shell
    does. An image without a shell but with perl keeps little from an attacker. An application
    that is itself written in such a language needs it, so the check is optional and has a list.

What it flags
    Executables of these families by path, by a symbolic or hard link, and some by content:
    python, perl, ruby, node, deno, bun, javascript (quickjs, gjs, …), php, lua, awk, tcl (tclsh,
    expect, …), guile, scheme, lisp, erlang (and elixir), java (jshell, jrunscript, groovy, …),
    haskell, ocaml, julia, r, octave, prolog.
    By content, under any name: python, perl, node, ruby, php, lua, awk, r and tcl programs that use
    a dynamic loader; a perl whose libperl is shared only by path. The awk of a busybox counts.
    Not flagged: shells, which are noShell's; java and dotnet themselves, which run compiled
    programs (the compilers are noBuildTools', jshell is flagged here); editors and tools that
    can start another program (vi, find, xargs); libraries of a language, which a program that
    embeds it brings; and files without an x bit.

Remedy
    Leave the interpreter out of the last build stage, or name the one that the application is
    written for in ``allow``.

Options
    - ``allow``: families that may be there, such as ``[python]``; none by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from webhook.checks.check import Check, Finding, Options, Subject, program_findings, unread_windows
from webhook.image.interpreters import FAMILIES

NAME = "noInterpreter"
REMEDY = "leave it out of the last build stage, or name it in the check's allow if it is needed"


class Family(str):
    """A family of interpreters."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "enum": list(FAMILIES)}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check that there is such a family. Raises ``ValueError``."""
        if not isinstance(value, str) or value not in FAMILIES:
            raise ValueError(f"{value!r} is no interpreter (there are {', '.join(FAMILIES)})")
        return cls(value)


class Interpreters(Options, frozen=True):
    """Which interpreters are allowed."""

    allow: tuple[Family, ...] = ()


def _inspect(subject: Subject, options: Interpreters) -> Iterator[Finding]:
    if subject.windows:
        yield unread_windows(NAME)
        return
    found = [
        program for program in subject.image.files.interpreters if program.name not in options.allow
    ]
    yield from program_findings(NAME, "interpreter", REMEDY, found)


CHECK = Check(name=NAME, title="no interpreter", options=Interpreters, inspect=_inspect)
