"""Globs on image names: ``registry.example/team/*``.

They match the normalised name, without tag and digest: ``docker.io/library/nginx``. ``*``
stands for any characters, ``/`` too; there is no other wildcard. The host is literal, or
``*.domain`` for every host below that domain, so that no glob can reach a registry nobody
named. ``*`` alone matches every image.

Matching takes time linear in the name: there is no backtracking.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

_HOST = re.compile(
    r"(\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?|\[[0-9a-f:]+\](?::\d{1,5})?"
)
_PATH = re.compile(r"[a-z0-9._/*-]+")
_TAG = re.compile(r"[\w.*-]{1,128}", re.ASCII)
_LONGEST = 512


class TagGlob(str):
    """A tag in which ``*`` stands for any characters."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "description": "a tag; * stands for any characters",
        "maxLength": 128,
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a tag pattern. Raises ``ValueError``."""
        if not isinstance(value, str) or not _TAG.fullmatch(value):
            raise ValueError(f"{_shown(value)} is no tag")
        return cls(value)

    def matches(self, tag: str) -> bool:
        """Whether the whole tag fits."""
        return matches(self, tag)


class Glob(str):
    """A pattern of image names."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "description": "a glob on the normalised image name without tag and digest; * crosses /, "
        "the host is literal or *.domain",
        "maxLength": _LONGEST,
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a glob.

        Raises:
            ValueError: it could never match, or would match more than it seems to.
        """
        if value == "*":
            return cls("*")
        if not isinstance(value, str) or not value or len(value) > _LONGEST:
            raise ValueError(f"{_shown(value)} is no glob")
        host, slash, path = value.partition("/")
        if not slash or not _is_host(host):
            raise ValueError(
                f"{_shown(value)} names no registry: globs match the whole name{_full(value)}"
            )
        if not path or not _PATH.fullmatch(path):
            raise ValueError(f"{_shown(value)} is no glob{_why(path)}")
        if host == "docker.io" and "/" not in path and "*" not in path:
            raise ValueError(f"{_shown(value)} matches nothing: write docker.io/library/{path}")
        if host == "index.docker.io":
            raise ValueError(f"{_shown(value)} matches nothing: write docker.io/{path}")
        return cls(value)

    def matches(self, name: str) -> bool:
        """Whether a normalised name fits; hosts are compared without regard to case."""
        if self == "*":
            return True
        wanted_host, _, wanted_path = self.partition("/")
        host, _, path = name.partition("/")
        return matches(wanted_host.lower(), host.lower()) and matches(wanted_path, path)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern, in which ``*`` stands for any characters."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    end = len(text) - len(last)
    at = len(first)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    # The leftmost place of each part leaves the most room for the next.
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _is_host(host: str) -> bool:
    """What Docker takes for a registry rather than for the first part of a path."""
    return bool(_HOST.fullmatch(host)) and (
        "." in host or ":" in host or host == "localhost" or host != host.lower()
    )


def _full(value: str) -> str:
    """What was probably meant."""
    if "*" in value.partition("/")[0]:
        return ""
    if "/" in value:
        return f" (try docker.io/{value})"
    return f" (try {value}/*)" if _is_host(value) else f" (try docker.io/library/{value})"


def _why(path: str) -> str:
    if ":" in path or "@" in path:
        return ": globs match names without tag and digest"
    if set("?[]{}") & set(path):
        return ": * is the only wildcard"
    if path != path.lower():
        return ": names are in lower case"
    return ""


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
