"""From facts to advice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webhook.advice.application import (
    Application,
    Kind,
    application_of,
    starts_by_npm,
)
from webhook.advice.base import PYTHON, VERSIONS, Base, base_for
from webhook.advice.dockerfile import dockerfile, outside_home
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


def _notes(application: Application, facts: ImageFacts) -> Iterator[str]:
    yield from _of_command(application, facts.config)
    yield from _of_language(application.kind, facts.config)
    if facts.files.user.root is not False:
        yield "it runs as root, or would not start: 65532 is nonroot in every distroless base"
    if names := _variables(facts.config):
        yield f"its variables are not in the sketch: {', '.join(names)}"


def _of_command(application: Application, config: ImageConfig) -> Iterator[str]:
    if application.shell:
        yield "its command is a line for a shell: name the program and its arguments instead"
    for script in application.before:
        yield f"{script} runs first: what it does is not in the sketch"
    if application.kind == "script":
        yield "without what it needs to be run by (a shell, a runtime) it does not start"
    if outside_home(application, config):
        yield "its command is a script of a package: name the module or file that it starts"
    if starts_by_npm(application):
        yield "distroless has no npm: name the file that it starts (see package.json)"


def _of_language(kind: Kind, config: ImageConfig) -> Iterator[str]:
    if kind == "musl":
        yield (
            "musl is not glibc: names are resolved otherwise, threads have small stacks, and "
            "wheels and binaries made for glibc do not start"
        )
    if kind in VERSIONS and config.variable(VERSIONS[kind][0]) is None:
        yield f"which {kind.capitalize()} it has is not said: {VERSIONS[kind][1]} is assumed"
    version = config.variable("PYTHON_VERSION")
    if kind == "python" and version is not None and not version.startswith(f"{PYTHON}."):
        yield f"it has Python {version}: what is compiled for that has to be installed for {PYTHON}"


def _variables(config: ImageConfig) -> list[str]:
    """Names of variables that are the application's, not its base's; their values may be secret."""
    names = (one.partition("=")[0] for one in config.env)
    return [name for name in names if name not in _OF_BASES and not name.endswith("_VERSION")][
        :_MOST
    ]
