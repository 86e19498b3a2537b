"""JSON read as Go's encoding/json reads it, or refused.

containerd and the kubelet are Go programs: what they make of a manifest or config is what
runs. Where Python's json would read a document differently (duplicate keys, which Go merges;
NaN, BOM, other encodings, lone surrogates), the document is refused: no builder emits such a
thing, and a second reading of it is only good for hiding something.

Knows JSON and Go's rules for struct fields. Does not know what a manifest is.
Source: Go encoding/json ``Unmarshal`` (exact key, else case-folded; every occurrence applied).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, NoReturn, TypeVar

from webhook.errors import LimitExceeded, Malformed

T = TypeVar("T")

MAX_VALUES: Final = 200_000
"""Values in one document: 8 MiB of ``[],[],…`` would otherwise be 200 MB of Python objects."""

# The closing quote is optional: one that is missing must not make the search start over.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^\[\]{}]+")
_NESTING: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_INT64: Final = range(-(2**63), 2**63)
_LONGEST_INTEGER: Final = 20
"""Characters of the longest int64, and enough to tell a longer one by."""


def loads(data: bytes, *, what: str, max_bytes: int, depth: int) -> Any:
    """Parse one JSON document; the top must be an object.

    Args:
        data: the document as sent.
        what: what it is, for messages: ``the manifest``.
        max_bytes: the largest ``data`` read at all.
        depth: how many objects and arrays may nest.

    Raises:
        Malformed: Go would refuse it, or would read it otherwise than Python; or it is nested
            deeper than any builder nests one.
        LimitExceeded: it is too large or has too many values.
    """
    if len(data) > max_bytes:
        raise LimitExceeded(f"{what} has {len(data)} bytes, the limit is {max_bytes}")
    text = _decoded(data, what)
    _check_shape(text, what, depth)
    value = _parsed(text, what)
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no JSON object")
    return value


def _decoded(data: bytes, what: str) -> str:
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8 (byte {error.start})") from error
    if text.startswith("\ufeff"):
        raise Malformed(f"{what} starts with a byte order mark")
    return text


def _check_shape(text: str, what: str, depth: int) -> None:
    """Bound nesting and number of values before the recursive parser sees the text."""
    skeleton = _STRING.sub("", text)
    if sum(map(skeleton.count, "[{,")) > MAX_VALUES:
        raise LimitExceeded(f"{what} has more than {MAX_VALUES} values")
    brackets = _NO_BRACKETS.sub("", skeleton)
    if max(accumulate(map(_NESTING.__getitem__, brackets)), default=0) > depth:
        raise Malformed(f"{what} is nested deeper than {depth}")


def _parsed(text: str, what: str) -> Any:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_number,
        )
        # Go reads a lone surrogate (only an escape can make one) as U+FFFD, so that strings
        # which differ here would be one there.
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise Malformed(f"{what} is no JSON: {error}") from error
    except UnicodeEncodeError as error:
        raise Malformed(f"{what} has a lone surrogate") from error
    except Malformed as error:
        raise Malformed(f"{what} {error.detail}") from error
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Malformed(f"has the key {_shown(twice)} twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"has {name}, which is no JSON")


def _number(digits: str) -> int | float:
    """An integer; one that no int64 holds stays a float, which no accessor takes for one."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _fold(key: str) -> str:
    # U+212A (Kelvin) is lowered to k; U+017F (long s) is the other one that folds into ASCII.
    return key.lower().replace("\u017f", "s")


class Struct:
    """An object whose keys Go matches to the fields of a struct.

    Go takes ``USER`` for the field ``User``; a spelling other than the field's own is refused
    when the field is asked for, and so are two spellings of one key. A missing field and
    null are Go's zero value. (Go maps, as ``Labels``, are not folded: use ``string_map``.)

    Args:
        value: the object; None is an empty one.
        path: where it is, for messages: ``the manifest's layers[3]``.
    """

    __slots__ = ("_fields", "_keys", "path")

    def __init__(self, value: Any, path: str) -> None:
        self.path = path
        self._fields = _checked(value, dict, path, "an object") or {}
        self._keys: dict[str, str] = {}
        for key in self._fields:
            other = self._keys.setdefault(_fold(key), key)
            if other != key:
                raise Malformed(f"{path} has {_shown(other)} and {_shown(key)}: one key to Go")

    def has(self, name: str) -> bool:
        """Whether the key is there at all, null included."""
        return self._spelled(name) is not None

    def absent(self, name: str) -> bool:
        """Whether the field is left at its zero value: no such key, or null."""
        return self._value(name) is None

    def string(self, name: str) -> str:
        """A string, empty when absent."""
        return _string(self._value(name), self._at(name))

    def integer(self, name: str) -> int:
        """An int64, 0 when absent; ``1.0`` and ``1e2`` are none, as in Go."""
        value = self._value(name)
        if value is None:
            return 0
        if type(value) is not int or value not in _INT64:
            raise Malformed(f"{self._at(name)} is no 64-bit integer")
        return value

    def boolean(self, name: str) -> bool:
        """A boolean, False when absent."""
        return bool(_checked(self._value(name), bool, self._at(name), "true or false"))

    def struct(self, name: str) -> Struct:
        """A struct, empty when absent."""
        return Struct(self._value(name), self._at(name))

    def structs(self, name: str) -> tuple[Struct, ...]:
        """An array of structs, empty when absent."""
        return self._array(name, Struct) or ()

    def strings(self, name: str) -> tuple[str, ...] | None:
        """An array of strings, None when absent."""
        return self._array(name, _string)

    def string_map(self, name: str) -> dict[str, str]:
        """A map of strings, its keys as they are; empty when absent."""
        at = self._at(name)
        found: Mapping[str, Any] = _checked(self._value(name), dict, at, "an object") or {}
        return {key: _string(value, f"{at}[{_shown(key)}]") for key, value in found.items()}

    def check_set(self, name: str) -> None:
        """That a map of empty structs is one, as Go's ``map[string]struct{}``."""
        at = self._at(name)
        for key, value in (_checked(self._value(name), dict, at, "an object") or {}).items():
            _checked(value, dict, f"{at}[{_shown(key)}]", "an object")

    def check_bytes(self, name: str) -> None:
        """That it is base64, as Go's ``[]byte``."""
        try:
            b64decode(re.sub(r"[\r\n]", "", self.string(name)), validate=True)
        except ValueError as error:
            raise Malformed(f"{self._at(name)} is no base64") from error

    def _array(self, name: str, read: Callable[[Any, str], T]) -> tuple[T, ...] | None:
        at = self._at(name)
        items: Iterable[Any] | None = _checked(self._value(name), list, at, "an array")
        if items is None:
            return None
        return tuple(read(item, f"{at}[{number}]") for number, item in enumerate(items))

    def _value(self, name: str) -> Any:
        spelled = self._spelled(name)
        return None if spelled is None else self._fields[spelled]

    def _spelled(self, name: str) -> str | None:
        spelled = self._keys.get(_fold(name))
        if spelled is not None and spelled != name:
            raise Malformed(f"{self.path} has {_shown(spelled)}, which Go takes for {name!r}")
        return spelled

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}"


def _shown(key: str) -> str:
    return repr(key[:60])


def _string(value: Any, path: str) -> str:
    return _checked(value, str, path, "a string") or ""


def _checked(value: Any, kind: type[T], path: str, named: str) -> T | None:
    """The value if it is of that kind, None if it is null."""
    if value is not None and not isinstance(value, kind):
        raise Malformed(f"{path} is not {named}")
    return value
