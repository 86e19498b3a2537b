"""noBuildTools: the tools that built the application did not come along.

What it asks
    Are there compilers, linkers, build systems, version control or header trees in the image?

Why
    They are the better part of a single-stage image's size, they have vulnerabilities of their
    own, and they let an attacker build on the spot what could not be brought in.

What it flags
    Executables such as gcc, cc, clang, ld, as, make, cmake, git, gdb, javac, rustc, cargo, the
    Go toolchain, in any folder and under their target's prefix (x86_64-linux-gnu-gcc-14); and
    trees of C headers, once each.
    Not flagged: documentation of packages such as gcc-14-base.

Remedy
    Build in one stage (FROM golang AS build), start a second one (FROM distroless or scratch)
    and COPY --from=build only what runs.

Options
    None: ``noBuildTools: {}``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.check import Check, Finding, Options, Subject, program_findings, unread_windows

NAME = "noBuildTools"
REMEDY = "build in a stage of its own and COPY --from it only what runs"


def _inspect(subject: Subject, _options: Options) -> Iterator[Finding]:
    if subject.windows:
        yield unread_windows(NAME)
        return
    yield from program_findings(NAME, "buildTool", REMEDY, subject.image.files.build_tools)


CHECK = Check(name=NAME, title="no build tools", options=Options, inspect=_inspect)
