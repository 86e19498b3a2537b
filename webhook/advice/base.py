"""Which base image would carry an application: the smallest of distroless', where one does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from webhook.advice.application import Application
from webhook.image.config import ImageConfig

_GCR, _DEBIAN = "gcr.io/distroless", "debian13"
PYTHON = "3.13"
"""The one that Debian 13 has."""
VERSIONS = {"node": ("NODE_VERSION", "22"), "java": ("JAVA_VERSION", "21")}
"""By language: the variable that says which the image has, and which one where none is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base image that would carry the application."""

    image: str | None
    """Without its tag; None where there is none better than what it has."""
    tag: str = "nonroot"
    debug: str | None = "debug-nonroot"
    """The tag of the same with a shell, for debugging."""
    why: str
    version: str = ""
    """Of the language that it brings."""


def base_for(application: Application, config: ImageConfig) -> Base:
    """The base, and why that one."""
    match application.kind:
        case "glibc" if application.origin == "go":
            return _CGO
        case "node":
            version = _version("node", config)
            return Base(
                image=f"{_GCR}/nodejs{version}-{_DEBIAN}",
                why=f"it has Node {version}, without npm and without a shell",
                version=version,
            )
        case "java":
            version = _version("java", config)
            return Base(
                image=f"{_GCR}/java{version}-{_DEBIAN}",
                why=f"it has a Java {version} runtime, without a compiler and without a shell",
                version=version,
            )
        case kind:
            return _BASES[kind]


_CGO = Base(
    image=f"{_GCR}/base-{_DEBIAN}",
    why="it uses cgo: base has glibc; built with CGO_ENABLED=0 it could stand on static",
)
_BASES = {
    "static": Base(
        image=f"{_GCR}/static-{_DEBIAN}",
        why="it needs no library; static has certificates, time zones and /etc/passwd, no libc",
    ),
    "glibc": Base(
        image=f"{_GCR}/cc-{_DEBIAN}",
        why="it needs glibc: cc has that, and libgcc and libstdc++; other libraries of its own "
        "have to be copied beside it",
    ),
    "musl": Base(
        image=f"{_GCR}/static-{_DEBIAN}",
        why="no distroless base has musl: link it statically (musl is made for that)",
    ),
    "python": Base(
        image=f"{_GCR}/python3-{_DEBIAN}",
        why=f"it has Python {PYTHON}, without pip and without a shell",
        version=PYTHON,
    ),
    "script": Base(
        image="debian",
        tag="trixie-slim",
        debug=None,
        why="what it runs needs an interpreter that no distroless base has",
    ),
    "unknown": Base(image=None, why="what it runs is not known"),
}


def _version(language: str, config: ImageConfig) -> str:
    """The first number of the image's: ``22`` of ``22.11.0``, ``21`` of ``jdk-21.0.5+11``."""
    variable, usual = VERSIONS[language]
    found = re.match(r"(?:jdk-?)?v?([0-9]{1,3})(?![0-9])", config.variable(variable) or "")
    return found[1] if found else usual
