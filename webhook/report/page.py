"""A page of text: styled lines that look the same with colour and without.

Reports make lines; only here are they turned into characters. That makes it the one place
where hostile text is cleaned, and rich is loaded for a terminal alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from webhook.report.safe import clean

if TYPE_CHECKING:
    from rich.text import Text

Style = Literal["", "bad", "good", "unsure", "strong", "dim"]

Span = tuple[Style, str]

_COLOURS = {
    "": "",
    "bad": "bold red",
    "good": "green",
    "unsure": "yellow",
    "strong": "bold",
    "dim": "dim",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a head of fixed width, and a body that a terminal wraps beside it."""

    head: tuple[Span, ...] = ()
    body: tuple[Span, ...] = ()


def plain(lines: Iterable[Line]) -> str:
    """The page without colours and unwrapped, so that it can be searched."""
    return "".join(
        "".join(clean(text) for _, text in (*line.head, *line.body)).rstrip() + "\n"
        for line in lines
    )


def paint(lines: Iterable[Line], out: TextIO) -> None:
    """Write the page to a terminal, in colour, wrapped to its width."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms, for terminals only
    from rich.table import Table  # noqa: PLC0415

    console = Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=False)
    for line in lines:
        if not line.body:
            console.print(_styled(line.head))
            continue
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(_styled(line.head), _styled(line.body))
        console.print(grid)


def _styled(spans: tuple[Span, ...]) -> Text:
    from rich.text import Text  # noqa: PLC0415

    return Text.assemble(*((clean(text), _COLOURS[style]) for style, text in spans))
