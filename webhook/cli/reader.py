"""``slimgate reader``: the part of slimgate that opens layers."""

from __future__ import annotations

import selectors
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from webhook.cli.options import Duration, Size, option, version
from webhook.errors import UsageError
from webhook.reader.sandbox import confinable
from webhook.reader.server import Bounds, Readers
from webhook.server.log import json_log


@click.command("reader")
@option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="The Unix socket on which jobs come: slimgate serve --reader has the same.",
)
@option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=Bounds().jobs,
    show_default=True,
    help="Layers that are read at the same time, each by a process of its own.",
)
@option(
    "--memory",
    type=Size(),
    default="512Mi",
    show_default=True,
    help="What such a process may take.",
)
@option(
    "--seconds",
    "time_limit",
    type=Duration(),
    default="11m",
    show_default=True,
    help="How long such a process may live.",
)
@option(
    "--linger",
    type=Duration(),
    help="On SIGTERM, go on for so long: twice the --lame-duck of slimgate serve. "
    "Default: not at all.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
@version
def command(
    *,
    path: Path,
    jobs: int,
    memory: int,
    time_limit: float,
    linger: float | None,
    until_stdin_ends: bool,
) -> None:
    """Read layers for slimgate serve, in processes that have nothing worth stealing.

    Bytes of strangers are decompressed and looked into here and nowhere else. Every layer has a
    process of its own, bounded in memory and time, that can open no file and no connection: what
    slimgate serve fetched comes to it through a pipe. One that dies loses its own layer.

    \b
    Examples:
      slimgate reader --socket /run/slimgate-reader/reader.sock --memory 512Mi
      slimgate serve --reader /run/slimgate-reader/reader.sock …

    Without --reader, slimgate serve begins one for itself.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    log = json_log(sys.stderr)
    if (obstacle := confinable()) is not None:
        log.warning("reader-unconfined", detail=obstacle)
    bounds = Bounds(jobs=jobs, memory=memory, seconds=time_limit)
    try:
        readers = Readers(path, bounds, lambda word, text: log.warning(word, detail=text))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    ending = _Ending(linger or 0.0, sys.stdin if until_stdin_ends else None)
    readers.run(ending.over)
    if until_stdin_ends:  # the folder was made for this socket, and whoever made it may be gone
        with suppress(OSError):
            path.parent.rmdir()


class _Ending:
    """When it is over: some time after SIGTERM, or when whoever began it is gone."""

    def __init__(self, linger: float, parent: TextIO | None) -> None:
        self._linger, self._end = linger, float("inf")
        self._parent = selectors.DefaultSelector()
        if parent is not None:
            self._parent.register(parent, selectors.EVENT_READ)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    def over(self) -> bool:
        return time.monotonic() >= self._end or bool(self._parent.select(0))

    def _told(self, number: int, _frame: object) -> None:
        again = self._end < float("inf") or number == signal.SIGINT
        self._end = time.monotonic() + (0.0 if again else self._linger)
