"""Write docs/catalogue.md from the tables: ``python -m tests.catalogue.page``.

test_catalogue.py fails when the page is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.catalogue import claims, compression, documents, layers, programs, tars, users
from tests.catalogue.case import Case

PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"
CHAPTERS: dict[str, tuple[Case, ...]] = {
    "Users": users.CASES,
    "Manifests and indexes": documents.CASES,
    "Compression": compression.CASES,
    "Tar archives": tars.CASES,
    "Layers": layers.CASES,
    "Shells, tools, privileges": programs.CASES,
    "Sizes, dates, claims": claims.CASES,
}
CASES = tuple(case for cases in CHAPTERS.values() for case in cases)

HEAD = """\
# The catalogue of tricky images

What a naive checker says of an image, what the kubelet and containerd make of it, and what
slimgate says under `distroless-nonroot`. Each line is a test (`tests/catalogue/`), and the last
column is what it expects to the letter: who the image runs as (`uid:gid`), all that is in it, the
verdict and the findings. Made from the tests by `python -m tests.catalogue.page`.
"""
TABLE = """\
| case | a naive checker | the truth | slimgate |
|---|---|---|---|
"""


def text() -> str:
    """The whole page."""
    return "\n".join((HEAD, *(_chapter(name, cases) for name, cases in CHAPTERS.items())))


def _chapter(name: str, cases: tuple[Case, ...]) -> str:
    return f"## {name}\n\n{TABLE}" + "".join(map(_row, cases))


def _row(case: Case) -> str:
    said = "; ".join((case.says, *(f"{key}: {value}" for key, value in case.facts.items())))
    cells = (case.name, case.naive, case.true, *_answer(case, said))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _answer(case: Case, said: str) -> Iterator[str]:
    yield f"not yet ({case.bug}): {said}" if case.bug else said


def main() -> None:
    """Write the page."""
    PAGE.write_text(text())


if __name__ == "__main__":
    main()
