"""Bounds on what hostile input may cost, and the deadline that is handed down.

Both are values: nothing below ``wiring`` reads settings or a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What reading one image may cost; crossing a bound is ``LimitExceeded``."""

    manifest_bytes: int = 4 * MIB
    """A manifest or an index, as sent."""
    config_bytes: int = 8 * MIB
    """A config blob, as sent."""
    json_depth: int = 64
    """Nesting of any document."""
    index_depth: int = 3
    """Indexes within indexes."""
    index_entries: int = 200
    """Manifests looked at, over all nested indexes."""
    layers: int = 500
    """Layers of an image."""
    unpacked_bytes: int = 20 * GIB
    """Uncompressed bytes of all layers together."""
    ratio: int = 1_000
    """Uncompressed bytes a layer may have for each compressed one."""
    entries: int = 2_000_000
    """Tar entries of all layers together."""
    path_bytes: int = 4_096
    """A path or link target in a layer."""
    header_bytes: int = MIB
    """A PAX or GNU long-name header's body; the size Go's archive/tar refuses at, too."""
    zstd_window_bytes: int = 128 * MIB
    """The window that a zstd layer may ask a reader to keep."""


class WouldWait(Exception):  # noqa: N818 - not an error: whoever may wait asks again
    """It cannot be had at once, and nothing may be waited for."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time and the clock it is on (``time.monotonic`` in the product).

    ``Deadline.after(10, time.monotonic)``; ``Deadline.never()`` never ends.
    """

    at: float
    clock: Callable[[], float]
    patient: bool = True
    """Whether anything may be waited for until then, be it ever so short."""

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float]) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    @classmethod
    def never(cls) -> Deadline:
        """A deadline that does not end."""
        return cls(inf, lambda: 0.0)

    def left(self) -> float:
        """Seconds left, 0.0 when over."""
        return max(0.0, self.at - self.clock())

    def patience(self) -> float | None:
        """Seconds left as whatever waits takes them: None where it does not end."""
        return None if self.at == inf else self.left()

    def over(self) -> bool:
        """Whether no time is left."""
        return self.left() <= 0.0

    def before_waiting(self) -> None:
        """To be called by whoever is about to wait.

        Raises:
            WouldWait: nothing may be waited for.
        """
        if not self.patient:
            raise WouldWait
