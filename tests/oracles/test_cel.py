"""Rules in CEL, against the environment in which Kubernetes evaluates its own."""

from __future__ import annotations

import json
import re

from hypothesis import strategies as st

from tests.oracles.support import BOTH_REFUSE, EQUAL, Refused, mostly, refused
from webhook.judge.rules import Expression

VARIABLES = {
    "image": {
        "user": {"uid": 65532, "gid": 0, "root": False, "name": None},
        "shells": [{"path": "/bin/sh", "layer": 0}, {"path": "/usr/bin/größe", "layer": 3}],
        "interpreters": [],
        "size": {"compressed": 9_007_199_254_740_993, "ratio": 2.5},
        "labels": {"a": "b", "org.opencontainers.image.title": "App"},
        "created": "2026-01-02T03:04:05.000000006Z",
        "entrypoint": ["/app", "--port=8080", ""],
        "cmd": None,
        "blank": " 12",
    },
    "container": {
        "name": "app",
        "image": "registry.example/team/app:1.2",
        "securityContext": {"runAsUser": 0, "readOnlyRootFilesystem": True},
        "env": [{"name": "A", "value": "1"}, {"name": "B"}],
    },
    "pod": {"metadata": {"labels": {}, "annotations": {"x/y": "é\U0001f600"}}, "spec": {}},
    "namespaceObject": {"metadata": {"name": "prod", "labels": {"team": "a", "Team": "A"}}},
}


def text(*words):
    return st.sampled_from(words)


def join(form, *parts):
    """The form with the parts' text in it."""
    return st.tuples(*parts).map(lambda drawn: form.format(*drawn))


PATHS = text(
    "image.user.uid", "image.user.gid", "image.user.root", "image.user.name", "image.shells",
    "image.shells[0].path", "image.shells[1].path", "image.shells[1].layer", "image.shells[2].path",
    "image.shells[-1]", "image.interpreters", "image.size.compressed", "image.size.ratio",
    "image.labels", "image.labels['a']", "image.labels.a", "image.labels.missing",
    "image.labels['org.opencontainers.image.title']", "image.created", "image.entrypoint",
    "image.entrypoint[1]", "image.entrypoint[2]", "image.cmd", "image.cmd[0]", "image.Shells",
    "container.name", "container.image", "container.securityContext.runAsUser",
    "container.securityContext.runAsNonRoot", "container.securityContext.readOnlyRootFilesystem",
    "container.env", "container.env[0].value", "container.env[1].value", "container.missing.deep",
    "pod.metadata.labels", "pod.metadata.annotations['x/y']", "pod.spec", "pod.spec.hostNetwork",
    "namespaceObject.metadata.name", "namespaceObject.metadata.labels.team",
    "namespaceObject.metadata.labels.Team",
)  # fmt: skip
OPTIONAL = text(
    "image.user.?uid", "image.?missing.?deep", "image.labels[?'a']", "image.shells[?0].?path",
    "image.shells[?9].?path", "container.securityContext.?runAsUser", "pod.metadata.labels.?a",
    "container.?env", "optional.none()", "optional.of(1)", "optional.ofNonZeroValue('')",
)  # fmt: skip

SEPARATORS = text("'a'", "'/'", "'--'", "container.name")
"""Never empty: ''.split('') is [] in cel-go and [''] in cel-cpp (docs/truth.md)."""
INTS, STRINGS, BOOLS, LISTS, ANY = (st.deferred(lambda n=n: _KINDS[n]) for n in range(5))
_INTS = st.one_of(
    text("0", "1", "2", "3", "7", "-1", "65532", "9223372036854775807", "-9223372036854775808"),
    text("image.user.uid", "image.size.compressed", "container.securityContext.runAsUser"),
    join("size({})", LISTS),
    join("{}.size()", STRINGS),
    join("({} {} {})", INTS, text("+", "-", "*", "/", "%"), INTS),
    join("int({})", text("'12'", "image.blank", "'0x1'", "1.9", "-1.9", "1e30", "5u", "'9' + '9'")),
    join("{}.indexOf({})", STRINGS, STRINGS),
    join("timestamp(image.created).{}()", text("getFullYear", "getMonth", "getDayOfYear")),
    join("({} ? {} : {})", BOOLS, INTS, INTS),
)
_STRINGS = st.one_of(
    text("''", "'a'", "'app'", "'A'", '"é"', r"'\u00df'", r"'\U0001f600b'", "r'a\\b'", "'/bin/'"),
    text("container.name", "container.image", "image.entrypoint[1]", "image.shells[1].path"),
    join("({} + {})", STRINGS, STRINGS),
    join("{}.{}()", STRINGS, text("lowerAscii", "upperAscii", "trim")),
    join("{}.charAt({})", STRINGS, INTS),
    join("{}.substring({})", STRINGS, INTS),
    join("{}.substring({}, {})", STRINGS, INTS, INTS),
    join("{}.replace({}, {})", STRINGS, STRINGS, STRINGS),
    join("{}.split({}).join({})", STRINGS, SEPARATORS, STRINGS),
    join("string({})", st.one_of(INTS, BOOLS, text("1.5", "duration('90s')", "image.user.uid"))),
    join("{}.orValue({})", OPTIONAL, STRINGS),
)
_LISTS = st.one_of(
    text("[]", "[1, 2, 3]", "['a', 'app']", "[[1], []]", "{'a': 1, 'b': 2}"),
    text("image.shells", "image.entrypoint", "container.env", "image.labels"),
    join("[{}, {}]", INTS, INTS),
    join("{}.map(x, {})", LISTS, text("x", "x.name", "size(x)", "string(x)", "[x]")),
    join("{}.filter(x, {})", LISTS, text("true", "has(x.value)", "x != 1", "x.layer > 0")),
    join("({} + {})", LISTS, LISTS),
    join("{}.split({})", STRINGS, SEPARATORS),
)
_ANY = st.one_of(PATHS, INTS, STRINGS, BOOLS, LISTS, text("null", "1.5", "2.0", "1u", "b'a'"))
_COMPARED = text("==", "!=", "<", "<=", ">", ">=")
_BOOLS = st.one_of(
    text("true", "false", "image.user.root", "container.securityContext.readOnlyRootFilesystem"),
    join("{} {} {}", INTS, _COMPARED, INTS).map("({})".format),
    join("{} {} {}", STRINGS, _COMPARED, STRINGS).map("({})".format),
    join("({} {} {})", PATHS, _COMPARED, ANY),
    join("({} {} {})", BOOLS, text("&&", "||", "==", "!="), BOOLS),
    join("!{}", BOOLS),
    join("({} ? {} : {})", BOOLS, BOOLS, BOOLS),
    join("has({})", PATHS.filter(lambda path: not path.endswith("]"))),
    join("({} in {})", ANY, LISTS),
    join(
        "{}.{}(x, {})", LISTS, text("all", "exists", "exists_one"),
        text("x == 1", "x.path == '/bin/sh'", "has(x.value)", "x > 1", "x.startsWith('a')",
             "size(x) > 0", "x == x", "true", "1 / 0 == 1"),
    ),
    join("{}.{}({})", STRINGS, text("startsWith", "endsWith", "contains"), STRINGS),
    join(
        "{}.matches({})", STRINGS,
        text("'a'", "'^/bin/'", "'(a|b)+$'", "'.'", "'(?i)APP'", r"'\\\\d{2,3}'", "'['", "'(?=a)'",
             r"r'\bapp\b'", r"r'\pL'", "'a{1001}'", "''"),
    ),
    join("(type({}) == {})", PATHS, text("int", "string", "bool", "list", "map", "null_type")),
    join("{}.hasValue()", OPTIONAL),
    join("({}.orValue(1) == {})", OPTIONAL, INTS),
    join(
        "({} < {})", text("timestamp(image.created)", "timestamp('2026-01-02T03:04:05Z')"),
        text("timestamp('2026-06-01T00:00:00+02:00')", "timestamp(image.created) + duration('1h')",
             "timestamp('2026-13-01T00:00:00Z')", "timestamp(container.name)"),
    ),
    join("({} < {})", text("duration('90s')", "duration('1.5h')", "duration('-1ns')"),
         text("duration('2m')", "duration('1d')", "duration('9223372036s')", "duration('1h1s')")),
)  # fmt: skip
_KINDS = (_INTS, _STRINGS, _BOOLS, _LISTS, _ANY)
EXPRESSIONS = mostly(BOOLS, ANY).filter(lambda source: len(source) < 2_000)

CLASSES = {
    "has() of no object": "Applying SELECT to non-message type",
    "in a map, by no key": "No matching overloads found : @in",
    "substring to the end": r"substring\(<start>, <end>\): <start> or <end> is greater",
}
AHEAD = re.compile(
    r"invalid (duration|timestamp|matches) argument"
    r"|expected type '(\w+|list\(\w+\))' but found '(\w+|list\(\w+\))'"
    r"|overflow|(division|modulus) by zero|type conversion error|index out of (range|bounds)"
    r"|unsupported|no such overload"
)
"""What Kubernetes finds in constants, whether or not they are ever reached."""


def verdict(source):
    """What a rule of this source makes of the documents: a boolean, or why there is none."""
    try:
        return Expression.parse(source).evaluate(VARIABLES)
    except ValueError as error:
        return str(error)


def compare(answer, source):
    found = verdict(source)
    if not isinstance(found, bool):
        if "value" not in answer:
            return BOTH_REFUSE
        return Refused("in no list") if " in [])" in source else refused(found, CLASSES)
    if "refused" in answer:
        assert AHEAD.search(answer["refused"])
        return Refused("only there: constants")
    if "error" in answer:
        assert "type conversion error from 'string' to 'int'" in answer["error"]
        assert "int(image.blank)" in source
        return Refused("only there: blanks")
    assert answer == {"value": found}
    return EQUAL


def test_rules(oracle, truth):
    """True where Kubernetes says true, false where it says false, unknown where it fails."""
    ask = oracle("cel")
    truth(
        "cel",
        EXPRESSIONS,
        lambda source: compare(
            ask(json.dumps({"expression": source, "variables": VARIABLES}).encode()), source
        ),
    )
