"""What a case of the catalogue is, and the sentences that slimgate's answers come to.

A sentence holds all that counts, so that nothing can be there unseen: who it runs as, every
shell, package manager, build tool and privileged file, the verdict, and each finding.

    user 0:0, shell /bin/sh by path → denied: nonRoot runsAsRoot, noShell shell
    denied: image malformed                             (it could not be read at all)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from tests.support import forge
from webhook.limits import Limits


@dataclass(frozen=True)
class Case:
    """A tricky image, or a variant of one."""

    name: str
    """Its number, a letter for variants, and a few words: ``07b a negative uid``."""
    image: Callable[[], forge.Image]
    naive: str
    """What a naive checker says."""
    true: str
    """What the kubelet and containerd make of it."""
    says: str
    """What slimgate has to say: the whole sentence."""
    _: KW_ONLY
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Values of ``slimgate inspect -o json`` that count, too, by their path in it."""
    pod: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``webhook.pod.Container``."""
    checks: str = ""
    """What a policy asks, instead of all of ``distroless-nonroot``."""
    limits: Limits = field(default_factory=Limits)
    nodes: tuple[str, ...] = ()
    """The platforms of the cluster's nodes, where they are known."""
    drips: bool = False
    """The registry does not send its layers in time."""
    bug: str = ""
    """Why slimgate does not say so yet."""

    @property
    def number(self) -> int:
        """Of the catalogue."""
        return int(self.name[:2])


def denied(*findings: str) -> str:
    """It could not be read."""
    return "denied: " + ", ".join(findings)


def found(*things: str, user: str = "65532:65532", denied: str = "") -> str:
    """It was read, and holds these things."""
    verdict = f"denied: {denied}" if denied else "allowed"
    return ", ".join((f"user {user}", *things)) + f" → {verdict}"


def shells(*found_as: str, also: str = "") -> str:
    """It holds these shells: ``/bin/sh by path``. ``also``: a finding that comes before."""
    return found(
        *(f"shell {one}" for one in found_as), denied=f"{also}, " * bool(also) + "noShell shell"
    )


FINE = found()
ROOT = found(user="0:0", denied="nonRoot runsAsRoot")
NOBODY = "no user → denied: nonRoot userMissing"
SHELL = shells("/bin/sh by path")
MALFORMED = denied("image malformed")
INTEGRITY = denied("image integrity")
UNSUPPORTED = denied("image unsupported")
LIMIT = denied("image limit")
NOT_FOUND = denied("image notFound")
REFUSED_IN_PART = found(denied="image malformed")
"""It was read, and something in it is what containerd stops at."""

FAILS = "the pull fails"
