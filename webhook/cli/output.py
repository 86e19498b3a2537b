"""Where the command line writes: pages to standard output, all else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from webhook.report import page
from webhook.report.safe import clean
from webhook.settings import environment


def colourful(out: TextIO) -> bool:
    """Whether it is a terminal whose user wants colours (https://no-color.org)."""
    environ = environment()
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def show(lines: Iterable[page.Line]) -> None:
    """Print a page, in colour where it can be seen."""
    if colourful(sys.stdout):
        page.paint(lines, sys.stdout)
    else:
        sys.stdout.write(page.plain(lines))


def complain(text: str) -> None:
    """Say what went wrong, a line for each line of it; hostile text is cleaned."""
    for line in text.splitlines() or [""]:
        print(f"slimgate: {clean(line)}", file=sys.stderr)


def note(text: str) -> None:
    """Say something that is no error, on standard error; not for ``--quiet``."""
    print(f"slimgate: note: {clean(text)}", file=sys.stderr)
