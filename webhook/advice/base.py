"""Which base image would carry an application: the smallest of distroless', where one does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from webhook.advice.application import Application, variable
from webhook.image.config import ImageConfig

_DEBIAN = "debian13"
_GCR = "gcr.io/distroless"
NODE, JAVA, PYTHON = "22", "21", "3.13"
"""Versions for images that do not say theirs; Debian 13 has the one Python."""


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
    return _BASES[application.kind](application, config)


def _static(_application: Application, _config: ImageConfig) -> Base:
    return Base(
        image=f"{_GCR}/static-{_DEBIAN}",
        why="it needs no library; static has certificates, time zones and /etc/passwd, no libc",
    )


def _glibc(application: Application, _config: ImageConfig) -> Base:
    if application.origin == "go":
        return Base(
            image=f"{_GCR}/base-{_DEBIAN}",
            why="it uses cgo: base has glibc; built with CGO_ENABLED=0 it could stand on static",
        )
    return Base(
        image=f"{_GCR}/cc-{_DEBIAN}",
        why="it needs glibc: cc has that, and libgcc and libstdc++; other libraries of its own "
        "have to be copied beside it",
    )


def _musl(_application: Application, _config: ImageConfig) -> Base:
    return Base(
        image=f"{_GCR}/static-{_DEBIAN}",
        why="no distroless base has musl: link it statically (musl is made for that)",
    )


def _node(_application: Application, config: ImageConfig) -> Base:
    version = _number(variable(config, "NODE_VERSION")) or NODE
    return Base(
        image=f"{_GCR}/nodejs{version}-{_DEBIAN}",
        why=f"it has Node {version}, without npm and without a shell",
        version=version,
    )


def _python(_application: Application, _config: ImageConfig) -> Base:
    return Base(
        image=f"{_GCR}/python3-{_DEBIAN}",
        why=f"it has Python {PYTHON}, without pip and without a shell",
        version=PYTHON,
    )


def _java(_application: Application, config: ImageConfig) -> Base:
    version = _number(variable(config, "JAVA_VERSION")) or JAVA
    return Base(
        image=f"{_GCR}/java{version}-{_DEBIAN}",
        why=f"it has a Java {version} runtime, without a compiler and without a shell",
        version=version,
    )


def _script(_application: Application, _config: ImageConfig) -> Base:
    return Base(
        image="debian",
        tag="trixie-slim",
        debug=None,
        why="what it runs needs an interpreter that no distroless base has",
    )


def _unknown(_application: Application, _config: ImageConfig) -> Base:
    return Base(image=None, why="what it runs is not known")


_BASES = {
    "static": _static,
    "glibc": _glibc,
    "musl": _musl,
    "node": _node,
    "python": _python,
    "java": _java,
    "script": _script,
    "unknown": _unknown,
}


def _number(version: str | None) -> str | None:
    """The first number of a version: ``22`` of ``22.11.0``, ``21`` of ``jdk-21.0.5+11``."""
    found = re.match(r"(?:jdk-?)?v?([0-9]{1,3})(?![0-9])", version or "")
    return found[1] if found else None
