"""Files of known bases."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from webhook.errors import UsageError
from webhook.image.bases import MOST_BYTES, BasesFile, KnownBase, parse_bases, published


def known_bases(paths: Iterable[Path]) -> tuple[KnownBase, ...]:
    """The published bases and those of the files.

    Raises:
        UsageError: a file cannot be read, or is none of bases.
    """
    return (*published(), *(base for path in paths for base in read_bases(path).bases))


def read_bases(path: Path) -> BasesFile:
    """What a file holds. Raises ``UsageError``."""
    try:
        with path.open("rb") as stream:
            return parse_bases(stream.read(MOST_BYTES + 1), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
