"""Many patterns at once in a stream of bytes, by hyperscan."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hyperscan


class Search:
    """Looks for patterns, each at most once a stream.

    Not for two threads at a time: the engine's scratch space belongs to the instance. The
    compiled patterns are shared. The engine is loaded when it is first needed: it takes 20 ms,
    and not every image holds a program.
    """

    def __init__(self, patterns: tuple[bytes, ...]) -> None:
        self._patterns = patterns

    def numbers(self, pieces: Iterable[memoryview]) -> set[int]:
        """The numbers of the patterns that are in the pieces, also across their borders."""
        found: set[int] = set()

        def collect(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.add(number)

        database, scratch = self._engine
        with database.stream(match_event_handler=collect) as stream:
            for piece in pieces:
                # Any buffer will do; the stubs say str or bytes.
                stream.scan(piece, scratch=scratch)  # type: ignore[type-var]
        return found

    @cached_property
    def _engine(self) -> tuple[hyperscan.Database, hyperscan.Scratch]:
        import hyperscan  # noqa: PLC0415

        with _COMPILING:  # a stream does not keep its database alive: there must be but one
            database = _compiled(self._patterns)
        return database, hyperscan.Scratch(database)


_COMPILING = Lock()


@cache
def _compiled(patterns: tuple[bytes, ...]) -> hyperscan.Database:
    import hyperscan  # noqa: PLC0415

    database = hyperscan.Database(mode=hyperscan.HS_MODE_STREAM)
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
    database.compile(
        expressions=list(patterns), ids=list(range(len(patterns))), flags=[flags] * len(patterns)
    )
    return database
