"""What an image could do without, and how many bytes that takes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webhook.image.facts import Files
from webhook.image.tree import FileRecord

_USR = "/usr/(?:local/)?"
_GROUPS = (
    ("version control", r".*/\.(?:git|hg|svn)"),
    ("documentation", _USR + "share/(?:doc|man|info|gtk-doc)"),
    ("translations", _USR + "share/(?:locale|i18n)|/usr/lib/locale"),
    ("lists and caches of packages", "/var/(?:lib|cache)/(?:apt|apk|dnf|yum|debconf)"),
    ("records of packages", "/var/lib/dpkg/info|/usr/share/(?:bash-completion|lintian)"),
    ("caches of tools", r"/(?:root|home/[^/]+)/\.(?:cache|npm|cargo|gradle|m2|nuget)"),
    ("compilers", _USR + "(?:lib|libexec)/(?:gcc|llvm-?[0-9]*|go-?[0-9.]*|rustlib)"),
    ("compilers", "/usr/local/(?:go|rustup|cargo)"),
    ("C headers", _USR + "include"),
    ("Go modules", "(?:/root)?/go/pkg"),
    ("npm and yarn", _USR + "lib/node_modules/(?:npm|corepack|yarn)|/opt/yarn-v[0-9.]+"),
    ("pip", ".*/(?:site|dist)-packages/(?:pip|setuptools|wheel)"),
    ("perl", r"/usr/(?:lib/[^/]+|share)/perl[0-9./]*"),
    ("compiled Python", ".*/__pycache__"),
)
"""What it is, and folders of it. The first that fits counts."""
_PATTERNS = tuple((what, re.compile(rf"({folders})/")) for what, folders in _GROUPS)
_ARCHIVE = re.compile(r"(/(?:usr/)?(?:local/)?lib(?:64)?)/.*\.a")
_MOST = 12
"""Savings that are told, the largest."""
_LEAST = 4096
"""Bytes that are worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Files that the application can do without."""

    path: str
    """The folder they are in, or the one file."""
    what: str
    bytes: int
    files: int


def savings(files: Files, records: Iterable[FileRecord], unpacked: int) -> Iterator[Saving]:
    """The largest first.

    Args:
        files: what is known of the image's files.
        records: all of them, merged.
        unpacked: bytes of the files in all layers, those that later ones hide included.
    """
    bytes_, count, total = Counter[tuple[str, str]](), Counter[tuple[str, str]](), 0
    tools = _tools(files)
    for record in records:
        if record.type != "file":
            continue
        total += record.size
        group = _group(record.path, tools)
        if group is not None:
            bytes_[group] += record.size
            count[group] += 1
    found = [
        Saving(path=path, what=what, bytes=size, files=count[path, what])
        for (path, what), size in bytes_.most_common(_MOST)
        if size >= _LEAST
    ]
    hidden = Saving(
        path="", what="in earlier layers, overwritten or removed by later ones",
        bytes=unpacked - total, files=0,
    )  # fmt: skip
    if hidden.bytes >= _LEAST:
        found.append(hidden)
    yield from sorted(found, key=lambda saving: -saving.bytes)


def _tools(files: Files) -> dict[str, str]:
    """Files that are a program nobody needs who only runs the application."""
    kinds = {
        "a shell": files.shells,
        "a package manager": files.package_managers,
        "a build tool": files.build_tools,
    }
    return {
        one.path: f"{what} ({one.name})"
        for what, programs in kinds.items()
        for one in programs
        if one.by != "link"
    }


def _group(path: str, tools: dict[str, str]) -> tuple[str, str] | None:
    for what, pattern in _PATTERNS:
        match = pattern.match(path)
        if match:
            return match[1], what
    archive = _ARCHIVE.fullmatch(path)
    if archive:
        return archive[1], "static libraries"
    return (path, tools[path]) if path in tools else None
