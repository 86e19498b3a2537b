"""Typed reading of JSON objects that somebody else wrote.

Knows the path it is at, so that an error names the field (``spec.containers[1].image``) and
never shows its value. ``null`` is absent, as in Kubernetes. Does not know what fields mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from webhook.errors import ReviewError

T = TypeVar("T")

INT64 = range(-(1 << 63), 1 << 63)

_NESTED = (dict, list)
_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),  # before int: in Python a bool is one
    (int, "an integer"),
    (float, "a number"),
    (str, "a string"),
    (list, "a list"),
    (Mapping, "an object"),
)


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object and where it stands in its document.

    Every reader returns None (or nothing) for an absent field and raises ``ReviewError`` for
    one of the wrong type.
    """

    document: Mapping[str, Any]
    path: str = ""

    def text(self, key: str) -> str | None:
        """A string."""
        return self._typed(key, str)

    def flag(self, key: str) -> bool | None:
        """A boolean."""
        return self._typed(key, bool)

    def number(self, key: str) -> int | None:
        """An int64."""
        value = self._typed(key, int)
        if value is not None and value not in INT64:
            raise ReviewError(f"{self.at(key)}: does not fit in 64 bits")
        return value

    def inner(self, key: str) -> Fields:
        """An object; an empty one when absent."""
        # Any: the parameters of a Mapping are not known at run time.
        found: Mapping[str, Any] | None = self._typed(key, Mapping)  # type: ignore[type-abstract]
        return _ABSENT if found is None else Fields(found, self.at(key))

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for number, item in enumerate(self._typed(key, list) or ()):
            path = f"{self.at(key)}[{number}]"
            yield Fields(_checked(item, Mapping, path), path)  # type: ignore[type-abstract]

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings."""
        items = self._typed(key, list)
        if items is None:
            return None
        return tuple(_checked(item, str, f"{self.at(key)}[{n}]") for n, item in enumerate(items))

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def _typed(self, key: str, kind: type[T]) -> T | None:
        value = self.document.get(key)
        if value is None or type(value) is kind:
            return value
        return _checked(value, kind, self.at(key))


_ABSENT = Fields({})
"""What is not there: no field of it can be wrong, so it needs no path."""


def shallow(document: object, depth: int) -> None:
    """Refuse what is nested deeper than ``depth`` objects and lists.

    Looks at every node of a level once, so YAML aliases cannot multiply the work.

    Raises:
        ReviewError: it is deeper.
    """
    level: list[Any] = [document]
    for _ in range(depth):
        below: dict[int, Any] = {}
        for node in level:
            for item in node.values() if isinstance(node, dict) else node:
                if item and isinstance(item, _NESTED):  # an empty one, as managedFields has, ends
                    below[id(item)] = item
        level = list(below.values())
        if not level:
            return
    raise ReviewError(f"nested deeper than {depth} levels")


def _checked(value: object, kind: type[T], path: str) -> T:
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise ReviewError(f"{path}: must be {_name_of(kind)}, not {_name(value)}")


def _name(value: object) -> str:
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")


def _name_of(wanted: type) -> str:
    return next(name for kind, name in _NAMES if kind is wanted)
