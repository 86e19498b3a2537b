"""JSON as Go reads it, or refused: catalogue 21-27 and image-truth 2.7."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import ImageRefused, LimitExceeded, Malformed
from webhook.image.strictjson import MAX_VALUES, Struct, loads


def read(data: bytes, *, max_bytes: int = 1 << 20, depth: int = 8):
    return loads(data, what="the paper", max_bytes=max_bytes, depth=depth)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        pytest.param(b'{"a":1,"a":2}', "has the key 'a' twice", id="a key twice"),
        pytest.param(b'[{"a":{"b":1,"b":1}}]', "has the key 'b' twice", id="a key twice inside"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="BOM"),
        pytest.param('{"a":"é"}'.encode("latin-1"), "not UTF-8 (byte 6)", id="latin-1"),
        pytest.param('{"a":1}'.encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b'{"a":NaN}', "has NaN", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "has -Infinity", id="Infinity"),
        pytest.param(b"{} {}", "Extra data", id="a second document"),
        pytest.param(b"{}\x00", "Extra data", id="trailing NUL"),
        pytest.param(b'{"a":1,}', "no JSON", id="trailing comma"),
        pytest.param(b'{"a":"\n"}', "control character", id="raw newline in a string"),
        pytest.param(b'{"a":"\\ud800"}', "lone surrogate", id="lone surrogate"),
        pytest.param(b'{"\\uDC00":1}', "lone surrogate", id="lone surrogate in a key"),
        pytest.param(b"", "no JSON", id="nothing"),
        pytest.param(b"[]", "no JSON object", id="an array"),
        pytest.param(b"null", "no JSON object", id="null"),
        pytest.param(b'{"a":01}', "no JSON", id="leading zero"),
        pytest.param(b"]" * 99, "no JSON", id="only closing brackets"),
    ],
)
def test_refused(data, detail):
    with pytest.raises(Malformed) as refused:
        read(data)
    assert detail in refused.value.detail
    assert refused.value.detail.startswith("the paper ")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":"\\ud83d\\ude00"}', id="surrogate pair"),
        pytest.param(b'{"a":"\\\\ud800"}', id="backslash, then ud800"),
        pytest.param(b'{"a":"[[[[[[[[[[[["}', id="brackets in a string do not nest"),
        pytest.param(b'{"a":"\\"[[[[[[[[[[[["}', id="brackets after an escaped quote"),
        pytest.param(b' \t\r\n{"a": [1, 2.5e3, true, null]}\n', id="white space"),
        pytest.param(b'{"a":' + b"9" * 5_000 + b"}", id="an integer of 5,000 digits, unread"),
        pytest.param(b'{"Foo":1,"foo":2}', id="keys of a map that differ by case"),
    ],
)
def test_read(data):
    value = read(data)
    assert list(value) in (["a"], ["Foo", "foo"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":[[[[[[[[0]]]]]]]]}', id="too deep"),
        pytest.param(b"[" * 100, id="too deep, never closed"),
    ],
)
def test_depth_is_bounded_before_anything_recurses(data):
    with pytest.raises(Malformed, match="nested deeper than 8"):
        read(data)


def test_size_is_bounded():
    with pytest.raises(LimitExceeded, match="208 bytes, the limit is 200"):
        read(b'{"a":"' + b"x" * 200 + b'"}', max_bytes=200)


def test_deep_enough():
    assert read(b'{"a":[[[[[[[0]]]]]]]}')


@pytest.mark.parametrize("item", [b"0,", b"[],", b'{"a":1},', b'"",'])
def test_number_of_values_is_bounded(item):
    with pytest.raises(LimitExceeded, match=f"more than {MAX_VALUES} values"):
        read(b'{"a":[' + item * MAX_VALUES + b"0]}", max_bytes=1 << 23)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'\\"' * (1 << 17), id="quotes that never close"),
        pytest.param(b'{"a":' + b"1" * (1 << 20) + b"}", id="digits"),
        pytest.param(
            b"{" + b"".join(b'"%d":1,' % key for key in range(99_999)) + b'"99998":1}',
            id="many keys, the last one twice",
        ),
    ],
)
def test_hostile_text_takes_no_time(data):
    """What is quadratic takes a minute here, not a moment."""
    began = time.process_time()
    with contextlib.suppress(ImageRefused):
        read(data, max_bytes=1 << 24)
    assert time.process_time() - began < 5


class TestStruct:
    @pytest.mark.parametrize("key", ["USER", "user", "u\u017fer", "U\u017fER", "uSer"])
    def test_a_key_that_go_would_fold_is_refused(self, key):
        struct = Struct({key: "0"}, "config")
        with pytest.raises(Malformed, match="which Go takes for 'User'"):
            struct.string("User")

    def test_kelvin_folds_too(self):
        with pytest.raises(Malformed, match="takes for 'kind'"):
            Struct({"\u212aind": 1}, "x").integer("kind")

    def test_two_spellings_are_refused_at_once(self):
        with pytest.raises(Malformed, match="config has 'User' and 'user': one key to Go"):
            Struct({"User": "1000", "user": "0"}, "config")

    def test_maps_are_not_folded(self):
        labels = {"Maintainer": "a", "maintainer": "b"}
        assert Struct({"Labels": labels}, "config").string_map("Labels") == labels

    def test_null_and_absent_are_zero_values(self):
        for struct in (Struct({}, "x"), Struct({"a": None}, "x"), Struct(None, "x")):
            assert struct.absent("a")
            assert struct.string("a") == ""
            assert struct.integer("a") == 0
            assert struct.boolean("a") is False
            assert struct.strings("a") is None
            assert struct.structs("a") == ()
            assert struct.string_map("a") == {}
            assert struct.struct("a").string("b") == ""

    def test_null_counts_as_there(self):
        assert Struct({"a": None}, "x").has("a")
        assert not Struct({}, "x").has("a")

    def test_null_items_are_zero_values(self):
        assert Struct({"a": ["x", None]}, "x").strings("a") == ("x", "")

    @pytest.mark.parametrize(
        ("method", "value"),
        [
            ("string", 0),
            ("string", ["a"]),
            ("integer", "1"),
            ("integer", 1.0),
            ("integer", True),
            ("integer", 2**63),
            ("integer", -(2**63) - 1),
            ("boolean", 1),
            ("boolean", "true"),
            ("struct", []),
            ("structs", {}),
            ("strings", "a"),
            ("string_map", []),
        ],
    )
    def test_wrong_types_are_named_by_path(self, method, value):
        with pytest.raises(Malformed, match=r"^config\.Key is "):
            getattr(Struct({"Key": value}, "config"), method)("Key")

    def test_paths_reach_inside(self):
        struct = Struct({"layers": [{}, {"size": "1"}], "Labels": {"a": 1}, "Env": ["", 1]}, "m")
        with pytest.raises(Malformed, match=r"^m\.layers\[1\]\.size is"):
            struct.structs("layers")[1].integer("size")
        with pytest.raises(Malformed, match=r"^m\.Labels\['a'\] is not a string"):
            struct.string_map("Labels")
        with pytest.raises(Malformed, match=r"^m\.Env\[1\] is not a string"):
            struct.strings("Env")

    @pytest.mark.parametrize("digits", ["1.0", "1e2", "9223372036854775808", "9" * 5_000])
    def test_what_is_no_int64_in_go_is_none_here(self, digits):
        struct = Struct(read(b'{"size":' + digits.encode() + b"}"), "x")
        with pytest.raises(Malformed, match="no 64-bit integer"):
            struct.integer("size")

    @pytest.mark.parametrize("number", [0, 2**63 - 1, -(2**63)])
    def test_int64(self, number):
        assert Struct(read(b'{"a":%d}' % number), "x").integer("a") == number

    def test_long_keys_are_cut_in_messages(self):
        with pytest.raises(Malformed) as refused:
            Struct({"k" * 9_000: 1, "K" * 9_000: 1}, "x")
        assert len(refused.value.detail) < 300


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary())
def test_nothing_but_our_errors(data):
    with contextlib.suppress(ImageRefused):
        read(data)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_plain_json_is_read_as_it_is(value):
    text = json.dumps(value)
    with contextlib.suppress(LimitExceeded):
        found = read(text.encode())
        assert json.dumps(found) == json.dumps(json.loads(text, parse_int=_as_read))


def _as_read(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)
