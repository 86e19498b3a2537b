"""Who may wait for images to be read: few at a time, and nobody in everybody's place."""

from __future__ import annotations

from contextlib import AbstractContextManager

from webhook.errors import Busy
from webhook.gather.shares import Shares


class Waiters:
    """Places for ``count`` reviews that wait, shared among turns as ``Shares`` has it."""

    def __init__(self, count: int) -> None:
        self._places = Shares(count)

    def taken(self, turn: str) -> AbstractContextManager[None]:
        """Hold a place for as long as the context lasts.

        Raises:
            Busy: there is none for this turn.
        """
        none = Busy("too many reviews wait for images to be read")
        return self._places.taken(turn, 1, seconds=0, otherwise=none)
