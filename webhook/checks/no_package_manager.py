"""noPackageManager: no package manager can be started in the container.

What it asks
    Is there a program in the image that installs software?

Why
    A package manager in production is only of use to somebody who wants to bring in what
    the image was built without. It also pulls in a shell, an interpreter and a database.

What it flags
    The executable front ends: apk, apt, apt-get, dpkg, rpm, dnf, microdnf, yum, zypper, pacman,
    pip, npm, yarn, gem, conda, … by path or by a link to one.
    By content, under any name: apk, apt, apt-get, aptitude, dpkg, rpm, zypper, pacman, nix, opkg
    and uv. Each was tried on a real binary, but opkg, whose sentence is from its source.
    Not flagged: a package database alone. Distroless and apko images carry one for scanners,
    and that is good. Nor, under another name, a manager that is a script (dnf, yum, pip, npm,
    gem, …; noInterpreter finds what runs it), or microdnf, conda's mamba, flatpak, snap and
    the other binaries, whose content is not known; nor a binary that was packed or edited; nor a
    file without an x bit.

Remedy
    Install in a build stage and copy only the result (site-packages, node_modules, the binary)
    into a base without a manager. Deleting the manager in a later layer works too, but leaves
    its bytes in the image.

Options
    None: ``noPackageManager: {}``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.check import Check, Finding, Options, Subject, program_findings, unread_windows

NAME = "noPackageManager"
REMEDY = "install packages in a build stage and copy only the result into a distroless base"


def _inspect(subject: Subject, _options: Options) -> Iterator[Finding]:
    if subject.windows:
        yield unread_windows(NAME)
        return
    yield from program_findings(
        NAME, "packageManager", REMEDY, subject.image.files.package_managers
    )


CHECK = Check(name=NAME, title="no package manager", options=Options, inspect=_inspect)
