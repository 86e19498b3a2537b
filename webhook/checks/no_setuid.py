"""noSetuid: no file gives its caller the rights of another user.

What it asks
    Does the image carry executables with the setuid or setgid bit, or with file capabilities?

Why
    They are how a process that runs as a plain user becomes root: su, mount, passwd, sudo, and
    anything with cap_setuid. A container with allowPrivilegeEscalation: false is safe from
    them; this check is for the images whose pods do not say so.

What it flags
    Regular files whose last layer sets setuid or setgid, also through a hard link, and files
    with a security.capability attribute. Folders with setgid are not flagged.

Remedy
    Use a distroless base, or RUN chmod a-s on the files in the stage that brings them; and set
    allowPrivilegeEscalation: false.

Options
    None: ``noSetuid: {}``.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.check import Check, Finding, Options, Subject, program_findings, unread_windows

NAME = "noSetuid"
REMEDY = "use a distroless base, or chmod a-s (setcap -r) the file in the stage that brings it"


def _inspect(subject: Subject, _options: Options) -> Iterator[Finding]:
    if subject.windows:
        yield unread_windows(NAME)
        return
    yield from program_findings(NAME, "setuid", REMEDY, subject.image.files.setuid)


CHECK = Check(name=NAME, title="no setuid files", options=Options, inspect=_inspect)
