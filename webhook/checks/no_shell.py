"""noShell: no shell can be started in the container.

What it asks
    Is there a shell in the image that somebody could execute?

Why
    An attacker who can make a process start another one gets far with a shell: scripts,
    pipes, downloads. Without one most ready-made exploits stop at the first command. The
    application itself needs none.

What it flags
    Every executable that is a shell by its path (sh, bash, ash, dash, zsh, ksh, fish, busybox,
    toybox, … in any folder), by a symbolic or hard link to one, or by its content: a busybox
    that was renamed is found all the same. Links are listed with the file they lead to.
    Known by content, whatever the name: busybox, toybox, bash, zsh, mksh and the other ksh, posh,
    yash, tcsh, csh, fish, rc (Byron's and Plan 9's), sash, elvish, nushell, brush, gosh (of
    mvdan.cc/sh and u-root), dash and its kin. By name only: PowerShell, xonsh, osh, murex, es,
    hush where it is no busybox.
    A program that UPX packed is flagged, too, as packed: it may be a shell, and nobody can see
    (docs/adr/010-packed-programs.md). The other checks do not repeat it.
    Nor does a shell need an x bit where the image has a dynamic loader with one:
    /lib64/ld-linux-x86-64.so.2 /sh starts it. Such a file is flagged by its name or content.
    Not flagged: what other packers made, or UPX with its marks removed; a file without an x bit
    that no loader takes, for it is static, or is not there with a loader (known by its name, or as
    the one that the file asks for); and interpreters such as python, which are noInterpreter's.

Remedy
    Build in one stage and copy the result into a distroless base in a second one
    (gcr.io/distroless/static-debian13:nonroot, or scratch). Debug with kubectl debug, which
    brings its own image; the policy's ephemeralContainers.allow says which. Leave programs
    unpacked: layers are compressed anyway, and what is packed starts slower and shares no memory.

Options
    - ``packed``: ``Fail`` (the default) or ``Pass`` for programs that UPX packed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from webhook.checks.check import Check, Finding, Options, Subject, program_findings, unread_windows

NAME = "noShell"
REMEDY = "copy the application into a distroless base in the last build stage"
UNPACKED = "leave it unpacked, or set noShell.packed: Pass if you know what it is"


class Shells(Options, frozen=True):
    """What else counts as a shell."""

    packed: Literal["Fail", "Pass"] = "Fail"


def _inspect(subject: Subject, options: Shells) -> Iterator[Finding]:
    if subject.windows:
        yield unread_windows(NAME)
        return
    yield from program_findings(NAME, "shell", REMEDY, subject.image.files.shells)
    if options.packed == "Fail":
        yield from program_findings(NAME, "packed", UNPACKED, subject.image.files.packed)


CHECK = Check(name=NAME, title="no shell", options=Shells, inspect=_inspect)
