"""What is seen: coloured on a terminal, plain text when piped or with NO_COLOR."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from demo.audience import Answer
from demo.scene import Outcome

COLOURS = {Outcome.REFUSED: "red", Outcome.WARNED: "yellow", Outcome.QUIET: "green"}


class Screen:
    """Where the demo prints."""

    def __init__(self, console: Console | None = None) -> None:
        """``console``: standard output, unless a test looks on."""
        self.console = console or Console(highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Text(text, "bold"))

    def say(self, text: str) -> None:
        """A line of explanation."""
        self.console.print(Text(text))

    def command(self, text: str) -> None:
        """What one would type."""
        self.console.print()
        self.console.print(Text.assemble(("$ ", "dim"), (text, "bold")))

    def output(self, lines: Iterable[str], colour: str = "") -> None:
        """What a program printed; nothing in it is markup."""
        for line in lines:
            self.console.print(Text(line, colour))

    def answer(self, answer: Answer, *, audit: bool) -> None:
        """What kubectl shows of an answer; with ``audit`` what only the audit log knows, too."""
        for line in answer.lines:
            self.console.print(Text(line, COLOURS[answer.outcome]))
        for key, value in sorted(answer.audit.items()) if audit else ():
            self.console.print(Text(f"  audit log: {key}: {value}", "dim"))

    def verdict(self, *, good: bool, text: str) -> None:
        """How it went."""
        self.console.print()
        self.console.print(Text(text, "bold green" if good else "bold red"))
