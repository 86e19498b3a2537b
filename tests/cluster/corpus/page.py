"""docs/corpus.md: every image of the corpus, what slimgate says of it and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster.corpus import images
from tests.cluster.corpus.compare import Row
from tests.cluster.corpus.node import version

PAGE = Path(__file__).parents[3] / "docs" / "corpus.md"
HEAD = """\
# The corpus

Images that a real containerd ({containerd}) starts, beside what slimgate says of them. In each runs
a probe (`tests/oracles/probe`) that tells who it is, and tries every file that could be started,
also through the dynamic loaders of the image. It is a shell if, given a script (`-c`, or on
standard input), it puts in the value of a variable or the files that a pattern matches. What only
hands over to a shell (`su`, `script`, a `#!` line) is none, and that shell is one.

Made by `make corpus` (root, containerd, Go, Debian 12), which fails where the two differ and
nothing here explains it; `make test` does the same with every twenty-fifth image.

- **catalogue**: the images of [the catalogue](catalogue.md) but for those that tell of a pod, what
  slimgate gives up on by its limits, and the bombs. Their programs are stand-ins, so that nothing
  there works as a shell; what slimgate lists all the same is not counted.
- **shells**: the shells of Debian packages and two in Go, in many forms.
- **look-alikes**: packages and files without a shell that speak of shells, or start programs.
- **entrypoints**: programs of Debian's that an image starts with, or cannot.

{counted}

*Right*: uid, gid and starting are as slimgate said; every file that works as a shell is listed,
by the name by which it is one; nothing else is listed. *Otherwise*: slimgate says no to what
containerd starts, or the like, for the reason given. *Not known*: the probe gave up on it after
2 seconds, twice; slimgate does not list it.

Not in it: a shell that was changed to hide what it is. Content search is a net, not a proof
([checks.md](checks.md)).
"""
COUNTED = """\
| | images | run | right | otherwise | shells that work | found | listed besides |
|---|---:|---:|---:|---:|---:|---:|---:|
"""
GROUPS = {
    images.CATALOGUE: "The catalogue",
    images.SHELLS: "Shells",
    images.LOOKALIKES: "Look-alikes",
    images.ENTRYPOINTS: "Entrypoints",
}
TABLE = """\
| image | runs as | shells that work | slimgate |
|---|---|---|---|
"""


def text(rows: Sequence[Row]) -> str:
    """The whole page."""
    return "\n".join((_head(rows), *_otherwise(rows), *(_chapter(rows, one) for one in GROUPS)))


def _head(rows: Sequence[Row]) -> str:
    lines = (_count(group, [one for one in rows if one.member.group == group]) for group in GROUPS)
    return HEAD.format(containerd=version(), counted=COUNTED + "".join(lines).rstrip("\n"))


def _count(group: str, rows: Sequence[Row]) -> str:
    listed = sum(len(row.beyond) for row in rows)
    working = sum(len(row.working) for row in rows)
    cells = (
        group,
        len(rows),
        sum(row.seen.uid is not None for row in rows),
        sum(not row.apart for row in rows),
        sum(bool(row.reason) for row in rows),
        working,
        working - sum(len(row.missed) for row in rows),
        listed,
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _otherwise(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Where slimgate says otherwise\n"
    yield "| image | containerd | slimgate |\n|---|---|---|"
    for row in rows:
        if row.reason:
            yield _cells(row.member.name, _done(row), row.reason)
    yield ""


def _chapter(rows: Sequence[Row], group: str) -> str:
    lines = (f"{line(row)}\n" for row in rows if row.member.group == group)
    return f"## {GROUPS[group]}\n\n{TABLE}{''.join(lines)}"


def line(row: Row) -> str:
    """A row of a table."""
    working = ", ".join(f"`{_visible(path)}`" for path in row.working)
    said = [
        *(f"DIFFERENT: {one}" for one in row.differences),
        *([row.reason] if row.reason else ()),
    ]
    unknown = [f"not known: {', '.join(row.unknown)}"] if row.unknown else ()
    return _cells(row.member.name, _done(row), working, "; ".join((*(said or ["right"]), *unknown)))


def _visible(path: str) -> str:
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def _done(row: Row) -> str:
    if row.seen.uid is None:
        return "not run"
    return f"uid {row.seen.uid}" + ("" if row.seen.started else ", and its program does not start")


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
