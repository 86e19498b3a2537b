"""JSON documents that are mostly those of an image, and JSON that Go and Python read apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st


class Raw(str):
    """A token as it is to stand in the document."""

    __slots__ = ()


class Pairs(list):
    """An object as its pairs in order, so that a key can be there twice."""


def text_of(value: Any) -> str:
    """The document; what ``json.dumps`` would not write, too."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        inner = ",".join(f"{text_of(key)}:{text_of(item)}" for key, item in value)
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def pairs_of(value: Any) -> Any:
    """The same value with its objects as ``Pairs``."""
    if isinstance(value, dict):
        return Pairs((key, pairs_of(item)) for key, item in value.items())
    return [pairs_of(item) for item in value] if isinstance(value, list) else value


def _places(value: Any) -> Iterator[tuple[Any, int]]:
    """Every place in the document: its array or object, and the index there."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item[1] if isinstance(value, Pairs) else item)


STRINGS = st.one_of(
    st.sampled_from(
        ["", "a", "A", "0", "root", "é", "\u2028", "\0", "\x7f", "\ufffd", "ſ", "\U0001f600"]
    ),
    st.sampled_from(["b", "c", "app", "65532", "/bin/sh", "PATH=/bin", "<&>", '"', "\\"]),
)
ODD = st.sampled_from(
    [
        *(None, None, True, False, 0, 1, -1, 2, "", "x", "null", [], {}, [None], ["x"], {"a": "b"}),
        *map(Raw, ("1.0", "1e2", "-0", "9223372036854775807", "9223372036854775808", "1" * 30)),
        *map(Raw, ("NaN", "Infinity", "01", "1.", ".5", "+1", "1e999", "-", "0x1", "'a'", "tru")),
        *map(Raw, (r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\u0000"', r'"\x41"')),
        *map(
            Raw,
            (
                '"\t"',
                '"\x7f"',
                r'"\/"',
                '"\\"',
                '"a',
                "[1,]",
                "{,}",
                '{"a":1,}',
                "[" * 70 + "]" * 70,
            ),
        ),
        *map(Raw, (' "a" ', "\t1\n", "\x0c1", "\u00a01", "\ufeff1", '{"a":"b","a":"c"}', "[[[]]]")),
    ]
).map(pairs_of)
FOLDS = {"k": "\u212a", "s": "\u017f"}
RARELY = st.sampled_from([*[False] * 15, True])
KINDS = st.sampled_from(["odd", "odd", "odd", "spelling", "again", "gone", "unknown"])


@st.composite
def spoiled(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> bytes:
    """A document with at most three things about it that are odd."""
    value = pairs_of(draw(documents))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 1, 2]))):
        places = list(_places(value))
        if places:
            _spoil(draw, *places[draw(st.integers(0, len(places) - 1))])
    data = text_of(value).encode("utf-8", "surrogatepass")
    return _spoiled_bytes(draw, data) if draw(RARELY) else data


def _spoil(draw: st.DrawFn, holder: Any, index: int) -> None:
    kind = draw(KINDS)
    if not isinstance(holder, Pairs):
        holder[index] = draw(ODD)
        return
    key, item = holder[index]
    if kind == "gone":
        del holder[index]
    elif kind == "odd":
        holder[index] = (key, draw(ODD))
    elif kind == "unknown":
        holder.append((draw(STRINGS), draw(ODD)))
    else:
        other = _respelled(draw, key)
        if kind == "spelling":
            holder[index] = (other, item)
        else:
            again = draw(st.sampled_from([key, other]))
            holder.insert(
                draw(st.integers(0, len(holder))), (again, draw(st.one_of(ODD, st.just(item))))
            )


def _respelled(draw: st.DrawFn, key: str) -> str:
    how = draw(st.integers(0, 3))
    if how == 0:
        return key.upper()
    if how == 1:
        return key.swapcase()
    letters = [letter for letter in FOLDS if letter in key.lower()]
    return key.lower().replace(letters[0], FOLDS[letters[0]], 1) if letters else key.capitalize()


def _spoiled_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    insert = st.sampled_from(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"}", b"\\", b" "]
    )
    return draw(
        st.sampled_from(
            [
                data + b" {}",
                data + b"\0",
                b"\xef\xbb\xbf" + data,
                data.decode("utf-8", "replace").encode("utf-16"),
                data[:at],
                data[:at] + draw(insert) + data[at:],
                b"null",
                b"[]",
                b"",
            ]
        )
    )
