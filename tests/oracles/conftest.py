"""The oracles, built or skipped, and the table of what was compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster import build
from tests.oracles import support


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest) -> Iterator[Callable[..., support.Ask]]:
    """``oracle("tar")``: asks the program in that folder; skips where it cannot be built."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    with ExitStack() as stack:

        def started(folder: str, *arguments: str) -> support.Ask:
            try:
                program = build.provide(support.Oracle.of(folder), say)
            except build.Missing as missing:
                if os.environ.get("SLIMGATE_REQUIRE_CLUSTER"):
                    raise
                pytest.skip(str(missing))
            return stack.enter_context(support.running(program, *arguments))

        yield started


@pytest.fixture(scope="session")
def truth() -> Callable[..., None]:
    """``truth(name, inputs, compare)``, see support.truth."""
    return support.truth


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands in what it counted."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["tallies"] = {name: tally.plain() for name, tally in support.TALLIES.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, plain in getattr(node, "workeroutput", {}).get("tallies", {}).items():
        support.TALLIES.setdefault(name, support.Tally()).take(plain)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if support.TALLIES:
        terminalreporter.section("compared with the code that decides")
        for line in support.table(support.TALLIES):
            terminalreporter.write_line(line)
