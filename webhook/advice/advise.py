"""From facts to advice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.advice.application import (
    Application,
    application_of,
    starts_by_npm,
    variable,
)
from webhook.advice.base import JAVA, NODE, PYTHON, Base, base_for
from webhook.advice.dockerfile import dockerfile
from webhook.advice.savings import Saving, savings
from webhook.image.config import ImageConfig
from webhook.image.facts import ImageFacts
from webhook.image.tree import FileRecord

_OF_BASES = frozenset(
    ("PATH", "LANG", "LC_ALL", "HOME", "JAVA_HOME", "GOPATH", "GPG_KEY", "PYTHON_SHA256")
)
_MOST = 8
"""Variables that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What somebody could do for an image."""

    application: Application
    base: Base
    savings: tuple[Saving, ...]
    notes: tuple[str, ...]
    """Surprises on the way, a sentence each."""
    dockerfile: str | None
    """A sketch: it builds once the source's own steps are in it."""


def advise(facts: ImageFacts, records: Iterable[FileRecord], unpacked: int) -> Advice:
    """Advice on an image, its layers read.

    Args:
        facts: with ``files``.
        records: the merged file system (``tree.listing``).
        unpacked: bytes of the files in all layers.
    """
    application = application_of(facts)
    base = base_for(application, facts.config)
    return Advice(
        application=application,
        base=base,
        savings=tuple(savings(facts.files, records, unpacked)),
        notes=tuple(_notes(application, facts)),
        dockerfile=dockerfile(application, facts.config, base),
    )


def _notes(application: Application, facts: ImageFacts) -> list[str]:
    notes = []
    kind = application.kind
    if application.shell:
        notes.append(
            "its command is a line for a shell: name the program and its arguments instead"
        )
    if starts_by_npm(application):
        notes.append("distroless has no npm: name the file that it starts (see package.json)")
    if kind == "musl":
        notes.append(
            "musl is not glibc: names are resolved otherwise, threads have small stacks, and "
            "wheels and binaries made for glibc do not start"
        )
    if kind == "node" and variable(facts.config, "NODE_VERSION") is None:
        notes.append(f"which Node it has is not said: {NODE} is assumed")
    if kind == "java" and variable(facts.config, "JAVA_VERSION") is None:
        notes.append(f"which Java it has is not said: {JAVA} is assumed")
    version = variable(facts.config, "PYTHON_VERSION")
    if kind == "python" and version is not None and not version.startswith(f"{PYTHON}."):
        notes.append(
            f"it has Python {version}: what is compiled for that has to be installed for {PYTHON}"
        )
    if facts.files.user.root is not False:
        notes.append(
            "it runs as root, or would not start: 65532 is nonroot in every distroless base"
        )
    if names := _variables(facts.config):
        notes.append(f"its variables are not in the sketch: {', '.join(names)}")
    return notes


def _variables(config: ImageConfig) -> list[str]:
    """Names of variables that are the application's, not its base's; their values may be secret."""
    names = (one.partition("=")[0] for one in config.env)
    return [name for name in names if name not in _OF_BASES and not name.endswith("_VERSION")][
        :_MOST
    ]
