"""What is being read, on standard error: bars on a terminal, lines where they were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from webhook.image.facts import LayerRef
from webhook.report.safe import clean, short_digest, shorten, size

Observe = Callable[[LayerRef, int], None]
"""Told the compressed bytes of each chunk of a layer as it is read; from any thread."""

_STEP = 40


@contextmanager
def bars(out: TextIO) -> Iterator[Observe]:
    """A bar for each layer, with the bytes read of the bytes known; they vanish at the end."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms, for terminals only
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        console=Console(file=out),
        transient=True,
    )
    bar_of, lock = {}, Lock()

    def observe(layer: LayerRef, count: int) -> None:
        with lock:
            if layer.digest not in bar_of:
                bar_of[layer.digest] = progress.add_task(_title(layer), total=layer.compressed)
        progress.advance(bar_of[layer.digest], count)

    with progress:
        yield observe


@contextmanager
def lines(out: TextIO) -> Iterator[Observe]:
    """A line for each layer that was read."""
    read: Counter[str] = Counter()
    lock = Lock()

    def observe(layer: LayerRef, count: int) -> None:
        with lock:
            read[layer.digest] += count
            if read[layer.digest] == layer.compressed:
                out.write(f"slimgate: read {_title(layer)} ({size(layer.compressed)})\n")

    yield observe


@contextmanager
def nothing() -> Iterator[Observe]:
    """No progress."""
    yield lambda _layer, _count: None


def _title(layer: LayerRef) -> str:
    step = shorten(clean(layer.created_by), _STEP) if layer.created_by else f"layer {layer.index}"
    return f"{short_digest(layer.digest)} {step}"
