"""The merged file system: one JSON object a line, or as ``ls -l`` shows it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from heapq import nlargest

from webhook.image.tree import FileRecord
from webhook.report.page import Line, Style

_TYPES = {
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_STYLES: dict[str, Style] = {"dir": "strong", "symlink": "dim"}


def largest(records: Iterable[FileRecord], count: int) -> list[FileRecord]:
    """The ``count`` largest, largest first."""
    return nlargest(count, records, key=lambda record: record.size)


def json_lines(records: Iterable[FileRecord]) -> Iterator[str]:
    """One object a line, keys as in the record."""
    for record in records:
        yield json.dumps(asdict(record)) + "\n"


def lines(records: Iterable[FileRecord]) -> Iterator[Line]:
    """Mode, owner, size in bytes, layer, path and where a link leads."""
    for record in records:
        mode = stat.filemode(int(record.mode, 8) | _TYPES.get(record.type, stat.S_IFREG))
        owner = f"{record.uid}:{record.gid}"
        arrow = f" -> {record.link}" if record.link is not None else ""
        yield Line(
            (("dim", f"{mode} {owner:>11} {record.size:>12,} {record.layer:>3}  "),),
            ((_STYLES.get(record.type, ""), record.path), ("dim", arrow)),
        )
