"""Chapter 7: sizes, dates, and what an image says of itself."""

from __future__ import annotations

from tests.catalogue.case import FAILS, FINE, INTEGRITY, MALFORMED, Case, found
from tests.catalogue.images import SH, app, bare, described, edited
from tests.support.forge import file, symlink
from tests.support.samples import program

AGE = "age: {maxDays: 90, undated: Fail}"
BASE = "base: {allow: [distroless, scratch]}"
UNDATED = found(denied="age undated")
UNPROVED = found(denied="base baseUnknown")
A_CLAIM = "a claim"
WOLFI = b'ID=wolfi\nNAME="Wolfi"\nPRETTY_NAME="Wolfi"\n'


def created(date: str | None, history: str = "2026-11-01T00:00:00Z"):
    """An image that says when it was made."""
    step = {"created": history, "created_by": "COPY"}
    return edited(app(), config={"created": date, "history": [step, step]})


def steps(*history: dict[str, object]):
    """An image with a shell, and this history."""
    return edited(bare([SH]), config={"history": list(history)})


def blamed(step: str | None) -> dict[str, object]:
    """Which step is told to have brought the shell."""
    return {"shells.0.createdBy": step}


BARE_SHELL = found("shell /bin/sh by path", user="65532:0", denied="noShell shell")

CASES = (
    Case("88 created 1970", created("1970-01-01T00:00:00Z"), "old", A_CLAIM, UNDATED, checks=AGE),
    Case("88b created 0001", created("0001-01-01T00:00:00Z"), "old", A_CLAIM, UNDATED, checks=AGE),
    Case("88c created 2099", created("2099-01-01T00:00:00Z"), "new", A_CLAIM, UNDATED, checks=AGE),
    Case("88d no date", created(None), "a crash", A_CLAIM, UNDATED, checks=AGE),
    Case(
        "88e no RFC 3339",
        created("2026-11-01 00:00"),
        "not known",
        FAILS,
        MALFORMED,
        checks=AGE,
    ),
    Case(
        "88f nor in the history",
        created("2026-11-01T00:00:00Z", "yesterday"),
        "new",
        FAILS,
        MALFORMED,
    ),
    Case(
        "88g the history is older",
        created("2026-11-01T00:00:00Z", "2015-01-01T00:00:00Z"),
        "new",
        "both are claims",
        FINE,
        checks=AGE,
        facts={"created": "2026-11-01T00:00:00Z"},
    ),
    Case(
        "88h the history is newer",
        created("2015-01-01T00:00:00Z"),
        "new",
        "both are claims",
        found(denied="age tooOld"),
        checks=AGE,
    ),
    Case(
        "89 a layer that says it has 1 byte",
        described(app([file("data", bytes(range(256)) * 4096)]), size=1),
        "tiny",
        FAILS,
        INTEGRITY,
    ),
    Case(
        "90 os-release says Wolfi, dpkg and bash are there",
        bare([file("etc/os-release", WOLFI), program("usr/bin/dpkg"), program("bin/bash")]),
        "Wolfi: distroless",
        A_CLAIM,
        found(
            "shell /bin/bash by path",
            "package manager /usr/bin/dpkg by path",
            user="65532:0",
            denied="noShell shell, noPackageManager packageManager",
        ),
        facts={"base.name": None, "base.claim": "Wolfi"},
    ),
    Case(
        "90b os-release is a link out of the root",
        bare([symlink("etc/os-release", "../../../../data/release"), file("data/release", WOLFI)]),
        "the checker's own machine",
        "it leads to /data/release",
        found(user="65532:0"),
        facts={"base.claim": "Wolfi"},
    ),
    Case(
        "90c an os-release of 50 MB",
        bare([file("etc/os-release", WOLFI + b"#" * 50_000_000)], compression="none"),
        "50 MB of memory",
        A_CLAIM,
        found(user="65532:0"),
        facts={"base.claim": None},
    ),
    Case(
        "90d PRETTY_NAME twice",
        bare([file("etc/os-release", WOLFI + b"PRETTY_NAME=Debian\n")]),
        "the first",
        "a shell takes the last",
        found(user="65532:0"),
        facts={"base.claim": "Debian"},
    ),
    Case(
        "90e a label that names the base",
        app(labels={"org.opencontainers.image.base.name": "gcr.io/distroless/static"}),
        "distroless",
        A_CLAIM,
        UNPROVED,
        checks=BASE,
    ),
    Case(
        "91 a CMD that is none",
        steps(
            {"created_by": 'CMD ["sh"]', "empty_layer": True},
            {"created_by": "COPY server /"},
            {"created_by": 'CMD ["/bin/bash"]'},
        ),
        "the base ends at CMD",
        A_CLAIM,
        BARE_SHELL,
        facts=blamed('CMD ["/bin/bash"]'),
    ),
    Case(
        "91b empty_layer is miscounted",
        steps(
            {"created_by": "COPY server /"},
            {"created_by": "COPY harmless /"},
            {"created_by": "COPY shell /"},
        ),
        "blames COPY harmless",
        "no step is known",
        BARE_SHELL,
        facts=blamed(None),
    ),
)
