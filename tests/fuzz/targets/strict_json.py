"""Strict JSON: what is accepted is what json reads, and has one reading only."""

from __future__ import annotations

import json
import math
from typing import Any

from webhook.errors import ImageRefused, Malformed
from webhook.image.strictjson import Struct, loads
from webhook.limits import KIB

MAX_BYTES = 4 * KIB
DEPTH = 64


class Digits(str):
    """A number as it stands there."""

    __slots__ = ()


WORDS = (
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"-0", b"1e999", b"1E2", b"9" * 20),
    *(b"\\ud800", b"\\udc00", b"\\u212a", b"\xc5\xbf", b"\xef\xbb\xbf", b'"User"', b'"USER"'),
    *(b"\\\\", b'\\"', b"[[[[", b'{"a":', b"]]]]"),
)
SEEDS = {
    "values": b'{"a": [1, -2.5e3, "x", null, true, {}], "b": {"c": "\\u00e9\\n"}}',
    "fields": b'{"User": "65532", "size": 3, "ok": false, "Env": ["A=b"], "Labels": {"k": "v"}}',
    "twice": b'{"a": 1, "a": 2}',
    "folded": b'{"User": "1", "USER": "0"}',
    "kelvin": b'{"\xe2\x84\xaa": 1, "k": 2}',
    "surrogate": b'{"a": "\\ud800"}',
    "pair": b'{"a": "\\ud83d\\ude00"}',
    "constants": b'{"a": NaN, "b": -Infinity}',
    "long-number": b'{"a": ' + b"9" * 40 + b', "b": 9223372036854775807}',
    "deep": b'{"a":' * 66 + b"1" + b"}" * 66,
    "mark": b'\xef\xbb\xbf{"a": 1}',
    "array": b"[1, 2]",
    "text": b'{"a": "[[[{{{\\\\\\"", "b": "\\/"}',
}


def check(data: bytes) -> None:
    try:
        value = loads(data, what="it", max_bytes=MAX_BYTES, depth=DEPTH)
    except ImageRefused:
        return
    assert isinstance(value, dict)
    # The same text by another configuration of the parser, which also sees every pair.
    other = json.loads(data.decode(), object_pairs_hook=_once, parse_int=Digits, parse_float=Digits)
    assert _same(value, other), (value, other)
    if not _infinite(value):
        again = json.dumps(value, ensure_ascii=False).encode()  # raises on a lone surrogate
        assert loads(again, what="it", max_bytes=1 << 20, depth=DEPTH) == value
    _ask(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def _same(ours: Any, other: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == other.keys() and all(_same(ours[k], other[k]) for k in ours)
    if isinstance(ours, list):
        return len(ours) == len(other) and all(map(_same, ours, other))
    if isinstance(other, Digits):
        return type(ours) in {int, float} and ours == type(ours)(other)
    return type(ours) is type(other) and ours == other


def _infinite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_infinite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isinf(value)


def _ask(value: Any) -> None:
    """Fields as image documents have them: an answer of the promised type, or Malformed."""
    try:
        struct = Struct(value, "it")
    except Malformed:
        return
    for name, ask, kind in (
        ("User", struct.string, str),
        ("size", struct.integer, int),
        ("ok", struct.boolean, bool),
        ("Labels", struct.string_map, dict),
        ("a", struct.struct, Struct),
        ("Env", lambda name: struct.strings(name) or (), tuple),
        ("b", struct.structs, tuple),
    ):
        try:
            given = ask(name)
        except Malformed:
            continue
        assert type(given) is kind, (name, given)
        if name == "size":
            assert -(2**63) <= given < 2**63
