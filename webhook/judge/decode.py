"""Nodes to typed values, collecting every fault with its path and line.

``msgspec`` stops at the first fault and knows no lines; this walks the same classes, by
``msgspec.inspect``, and goes on. Leaves are classes of our own with

- ``parse(value) -> Self``, which raises ``ValueError`` with a fault's text, and
- ``SCHEMA``, their JSON Schema (``judge/schema.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from webhook.errors import PolicyError
from webhook.judge.nodes import Node

T = TypeVar("T")

_MISSING = object()
"""What a faulty value decodes to; never seen outside, since any fault raises in the end."""


def decode(node: Node, kind: type[T], source: str) -> T:
    """Make a ``kind`` of a node.

    Raises:
        PolicyError: with every fault as ``source:line: path: what is wrong``; of a node that
            comes from no text, without source and line.
    """
    decoder = _Decoder(source)
    value = decoder.value(node, inspect.type_info(kind), "")
    if decoder.faults:
        raise PolicyError(tuple(text for _, text in sorted(decoder.faults, key=itemgetter(0))))
    assert isinstance(value, kind)
    return value


class _Decoder:
    def __init__(self, source: str) -> None:
        self._source = source
        self.faults: list[tuple[int, str]] = []
        """Each with its line."""

    def value(self, node: Node, kind: inspect.Type, path: str) -> Any:
        """The value, or ``_MISSING`` with the fault noted."""
        if isinstance(kind, inspect.UnionType):
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        if isinstance(kind, inspect.AnyType):
            return node.plain()
        if node.value is None:
            return self._fault(node.line, path, _null(kind))
        if isinstance(kind, inspect.CustomType):
            leaf: Any = kind.cls
            return self._try(node.line, path, lambda: leaf.parse(_leaf(node)))
        return self._of(kind)(node, kind, path)

    def _of(self, kind: inspect.Type) -> Callable[[Node, Any, str], Any]:
        if isinstance(kind, inspect.StructType):
            return self._struct
        if isinstance(kind, inspect.VarTupleType):
            return self._array
        if isinstance(kind, inspect.DictType):
            return self._labels
        return self._scalar

    def _struct(self, node: Node, kind: inspect.StructType, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, "an object")
        fields = {field.encode_name: field for field in kind.fields}
        for key, line in node.keys.items():
            if kind.forbid_unknown_fields and key not in fields:
                self._fault(line, _join(path, key), _unknown(key, fields))
        for name, field in fields.items():
            if field.required and name not in node.value:
                self._fault(node.line, _join(path, name), "is missing")
        values = {
            fields[key].name: self.value(child, fields[key].type, _join(path, key))
            for key, child in node.value.items()
            if key in fields
        }
        required = {field.name for field in kind.fields if field.required}
        if _MISSING in values.values() or not required <= values.keys():
            return _MISSING
        return self._try(node.line, path, lambda: kind.cls(**values))

    def _array(self, node: Node, kind: inspect.VarTupleType, path: str) -> Any:
        if not isinstance(node.value, list):
            return self._wrong(node, path, "a list")
        if kind.max_length is not None and len(node.value) > kind.max_length:
            return self._fault(node.line, path, f"has more than {kind.max_length} items")
        items = tuple(
            self.value(child, kind.item_type, f"{path}[{index}]")
            for index, child in enumerate(node.value)
        )
        return _MISSING if _MISSING in items else items

    def _labels(self, node: Node, kind: inspect.DictType, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, "an object")
        if kind.max_length is not None and len(node.value) > kind.max_length:
            return self._fault(node.line, path, f"has more than {kind.max_length} keys")
        wrong = [key for key, child in node.value.items() if not isinstance(child.value, str)]
        for key in wrong:
            self._wrong(node.value[key], _join(path, key), "a string (put it in quotes)")
        return _MISSING if wrong else node.plain()

    def _scalar(self, node: Node, kind: inspect.Type, path: str) -> Any:
        """Strings, numbers, booleans and words of a list: msgspec's own checks and texts."""
        allowed = tuple(_words(kind))
        if allowed and node.value not in allowed:
            return self._fault(node.line, path, _choice(_leaf(node), allowed))
        kinds = {
            inspect.StrType: (str, "a string (put it in quotes)"),
            inspect.BoolType: (bool, "true or false"),
            inspect.IntType: (int, "a whole number"),
        }
        if type(kind) in kinds:
            wanted, name = kinds[type(kind)]
            if type(node.value) is not wanted:
                return self._wrong(node, path, name)
        least = kind.ge if isinstance(kind, inspect.IntType) else None
        if least is not None and isinstance(node.value, int) and node.value < least:
            return self._wrong(node, path, f"at least {least}")
        most = kind.le if isinstance(kind, inspect.IntType) else None
        if most is not None and isinstance(node.value, int) and node.value > most:
            return self._wrong(node, path, f"at most {most}")
        return kind.cls(node.value) if isinstance(kind, inspect.EnumType) else node.value

    def _try(self, line: int, path: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except ValueError as error:
            return self._fault(line, path, str(error))

    def _wrong(self, node: Node, path: str, wanted: str) -> Any:
        return self._fault(node.line, path, f"{_shown(_leaf(node))} is not {wanted}")

    def _fault(self, line: int, path: str, text: str) -> Any:
        where = f"{self._source}:{line}: " if line else ""
        self.faults.append((line, f"{where}{path}{': ' if path else ''}{text}"))
        return _MISSING


def _leaf(node: Node) -> Any:
    """The node's value where it is one word; of more only what it is."""
    return "…" if isinstance(node.value, dict | list) else node.value


def _words(kind: inspect.Type) -> Iterator[Any]:
    if isinstance(kind, inspect.EnumType):
        yield from (member.value for member in kind.cls)
    if isinstance(kind, inspect.LiteralType):
        yield from kind.values


def _null(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.StructType) and issubclass(kind.cls, msgspec.Struct):
        return "is null: write {} to switch it on, or remove the key"
    return "is null: give it a value, or remove the key"


def _unknown(key: str, fields: dict[str, inspect.Field]) -> str:
    close = get_close_matches(key.lower(), [name.lower() for name in fields], n=1)
    meant = next((name for name in fields if close and name.lower() == close[0]), None)
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(fields) or 'none'}"
    return f"is no field ({hint})"


def _choice(value: Any, allowed: tuple[Any, ...]) -> str:
    close = get_close_matches(str(value).lower(), [str(word).lower() for word in allowed], n=1)
    meant = next((word for word in allowed if close and str(word).lower() == close[0]), None)
    words = f"did you mean {meant}?" if meant else f"there are {', '.join(map(str, allowed))}"
    return f"{_shown(value)} is not one of its values ({words})"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) and value != "…" else str(value)
