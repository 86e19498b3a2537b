"""YAML text to values that know their lines, read as sigs.k8s.io/yaml (kubectl) reads it.

That is go-yaml v2 on YAML 1.1: ``yes``, ``no``, ``on``, ``off``, ``y`` and ``n`` are booleans,
``0777`` is octal, dates are strings. JSON is YAML. Refused here although kubectl takes some of
it: keys given twice, keys that are no strings, tags, merge keys, .nan and .inf; and more than
policies need in bytes, depth, or, counting what aliases repeat, in size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from webhook.errors import PolicyError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

Event = Any
"""A parser's event; the stubs leave out its anchor, tag and value."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = {None, "!", "tag:yaml.org,2002:str"}
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+][0-9]+)?|[-+]?[0-9]+\.", re.ASCII)
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a text may cost; the defaults are generous to policies."""

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH
    nodes: int = MAX_NODES
    """Of one document."""


POLICY = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of the document and where it begins."""

    value: dict[str, Node] | list[Node] | str | float | bool | None
    """``float`` holds integers, too."""
    line: int
    """From 1; 0: it comes from no text."""
    keys: dict[str, int]
    """Of a mapping: the line of each key."""
    size: int = 1
    """How many nodes there are in all, an alias counting as what it repeats."""
    height: int = 0
    """Levels below this one."""

    def plain(self) -> Any:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read(text: str, source: str, bounds: Bounds = POLICY) -> tuple[Node, ...]:
    """Read all documents of a text; empty ones are left out.

    Raises:
        PolicyError: it cannot be read; with ``source`` and the line.
    """
    if len(text.encode("utf-8", "surrogatepass")) > bounds.bytes:
        raise PolicyError((f"{source}: is larger than {bounds.bytes} bytes",))
    try:
        nodes = tuple(_Reader(text, source, bounds).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{source}:{mark.line + 1}" if mark else source
        raise PolicyError((f"{line}: is no YAML: {error.problem}",)) from error
    except UnicodeEncodeError as error:
        number = text.count("\n", 0, error.start) + 1
        raise PolicyError((f"{source}:{number}: is no UTF-8",)) from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise PolicyError((f"{source}: is no YAML: {str(error).splitlines()[0]}",)) from error
    return tuple(node for node in nodes if node.value is not None)


def node_of(value: object, bounds: Bounds = POLICY, _depth: int = 0) -> Node:
    """A plain value, as an API server sends it, as a node without lines.

    Raises:
        PolicyError: it holds more, or nests deeper, than the bounds allow.
    """
    if _depth > bounds.depth:
        raise PolicyError((f"is nested deeper than {bounds.depth}",))
    children: list[Node] = []
    if isinstance(value, Mapping):
        fields = {str(key): node_of(child, bounds, _depth + 1) for key, child in value.items()}
        children = list(fields.values())
        node = Node(value=fields, line=0, keys=dict.fromkeys(fields, 0))
    elif isinstance(value, list | tuple):
        children = [node_of(child, bounds, _depth + 1) for child in value]
        node = Node(value=children, line=0, keys={})
    else:
        scalar: Any = value
        return Node(value=scalar, line=0, keys={})
    size = 1 + len(node.keys) + sum(child.size for child in children)
    if size > bounds.nodes:
        raise PolicyError((f"has more than {bounds.nodes} values",))
    return replace(node, size=size, height=_height(children))


class _Reader:
    """Builds nodes from the parser's events, so that its bounds hold while it reads."""

    def __init__(self, text: str, source: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._events: Iterator[Event] = yaml.parse(text, Loader=_LOADER)
        self._source = source
        self._anchors: dict[str, Node] = {}

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                yield self._node(next(self._events), 0)

    def _node(self, event: Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._fault(event, f"there is no anchor &{event.anchor} before this")
            node = self._anchors[event.anchor]
            self._check_depth(event, depth + node.height)
            return node
        self._check_depth(event, depth)
        if event.tag not in _STRING_TAGS:
            raise self._fault(event, f"has the tag {event.tag}, which is not supported")
        node = self._build(event, depth)
        if node.size > self._bounds.nodes:
            raise self._fault(event, f"has more than {self._bounds.nodes} values, aliases repeated")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _check_depth(self, event: Event, depth: int) -> None:
        if depth > self._bounds.depth:
            raise self._fault(event, f"is nested deeper than {self._bounds.depth}")

    def _build(self, event: Event, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(line, depth)
        return Node(value=self._scalar(event), line=line, keys={})

    def _mapping(self, line: int, depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1).value
            if not isinstance(key, str):
                raise self._fault(event, "has a key that is no string (put it in quotes)")
            if key == "<<":
                raise self._fault(event, "has a merge key, which is not supported")
            if key in values:
                raise self._fault(event, f'has the key "{key}" twice')
            keys[key] = event.start_mark.line + 1
            values[key] = self._node(next(self._events), depth + 1)
        children = tuple(values.values())
        size = 1 + len(keys) + sum(node.size for node in children)
        return Node(value=values, line=line, keys=keys, size=size, height=_height(children))

    def _sequence(self, line: int, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        size = 1 + sum(item.size for item in items)
        return Node(value=items, line=line, keys={}, size=size, height=_height(items))

    def _scalar(self, event: Event) -> str | float | bool | None:
        text: str = event.value
        if not event.implicit[0] or event.tag is not None:  # quoted, or tagged as a string
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NO_NUMBER.fullmatch(text):
            raise self._fault(event, f"{text} is no number that JSON knows")
        if len(text) <= _MAX_DIGITS and _INTEGER.fullmatch(text):
            return _integer(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _fault(self, event: Event, text: str) -> PolicyError:
        return PolicyError((f"{self._source}:{event.start_mark.line + 1}: {text}",))


def _height(children: Sequence[Node]) -> int:
    return 1 + max((child.height for child in children), default=0)


def _integer(text: str) -> int | str:
    """As Go's ``strconv.ParseInt(text, 0, 64)``, which go-yaml calls without the underscores."""
    digits = text.replace("_", "")
    sign, digits = (digits[0], digits[1:]) if digits[:1] in {"-", "+"} else ("", digits)
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal():
        digits = f"0o{digits[1:]}"  # YAML 1.1's octal
    try:
        return int(sign + digits, 0)
    except ValueError:  # 089
        return text
