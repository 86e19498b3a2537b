"""References, quantities, label selectors and platforms, against their own parsers."""

from __future__ import annotations

import json
import re

import msgspec
from hypothesis import strategies as st

from tests.oracles.support import BOTH_REFUSE, EQUAL, Refused, mostly, refused
from webhook.errors import Malformed
from webhook.image.platform import Platform, runs
from webhook.image.quantity import Quantity
from webhook.image.reference import Reference
from webhook.judge.selector import LabelSelector

# References

PLAIN = st.from_regex(r"[a-z0-9]{1,3}([._-]{1,2}[a-z0-9]{1,2}){0,2}", fullmatch=True)
WORDS = mostly(
    PLAIN,
    st.one_of(
        st.sampled_from(
            [
                "a",
                "A",
                "0",
                "library",
                "docker.io",
                "index.docker.io",
                "localhost",
                "LOCALHOST",
                "",
                "-",
                "a_b",
                "a__b",
                "a___b",
                "a.b",
                "a..b",
                "a-b",
                "a--b",
                "-a",
                "a-",
                "_a",
                "é",
                "a b",
                "\n",
                "[::1]",
                "[fe80::1%eth0]",
                "127.0.0.1",
                "a" * 128,
                "a" * 129,
                "a" * 250,
                "a" * 64,
            ]
        ),
        st.text("aA0._-:@/[]", max_size=6),
    ),
)
HEXES = st.sampled_from(
    ["a" * 64, "0" * 96, "A" * 64, "a" * 63, "a" * 128, "a" * 96, "a" * 32, "", "g" * 64]
)
DIGESTS = st.tuples(
    st.sampled_from(
        ["sha256", "sha512", "sha384", "SHA256", "md5", "sha256+x", "sha256.", "", "é"]
    ),
    HEXES,
).map(":".join)
HOSTS = st.sampled_from(
    [
        "docker.io/",
        "index.docker.io/",
        "localhost/",
        "localhost:5000/",
        "LOCALHOST/",
        "A/",
        "a_b/",
        "[::1]/",
        "[::1]:5000/",
        "127.0.0.1/",
        "registry.example:443/",
        "a-.b/",
        "b.-a/",
        "a..b/",
    ]
)
REFERENCES = st.builds(
    lambda host, path, tag, digest: f"{host}{'/'.join(path)}{tag}{digest}",
    st.one_of(
        st.just(""),
        HOSTS,
        WORDS.map("{}/".format),
        st.tuples(WORDS, st.sampled_from(["0", "5000", "", "x", "99999"])).map(
            lambda pair: f"{pair[0]}:{pair[1]}/"
        ),
    ),
    st.lists(WORDS, min_size=1, max_size=3),
    st.one_of(st.just(""), st.just(":v1"), WORDS.map(":{}".format)),
    st.one_of(st.just(""), st.just("@sha256:" + "a" * 64), DIGESTS.map("@{}".format)),
)


def compare_reference(answer, text):
    try:
        read = Reference.parse(text)
    except Malformed as error:
        if "error" in answer:
            return BOTH_REFUSE
        return refused(error.detail, {"sha384": "a digest by sha384"})
    # A host with underscores is the head of a path to Go, and dialled all the same.
    host = answer.pop("registry")
    path = answer.pop("repository")
    assert read.name == (f"{host}/{path}" if host else path)
    assert not host or read.registry == host
    assert answer == {
        key: value for key in ("tag", "digest") if (value := getattr(read, key)) is not None
    }
    return EQUAL


def test_references(oracle, truth):
    """The same registry, repository, tag and digest."""
    ask = oracle("names", "reference")
    truth("reference", REFERENCES, lambda text: compare_reference(ask(text.encode()), text))


# Quantities

SUFFIXES = st.sampled_from(
    [
        "",
        "Ki",
        "Mi",
        "Gi",
        "Ti",
        "Pi",
        "Ei",
        "k",
        "M",
        "G",
        "T",
        "P",
        "E",
        "m",
        "u",
        "n",
        "e3",
        "E2",
        "e-3",
        "e+2",
        "e",
        "E",
        "e99",
        "e-99",
        "K",
        "ki",
        "mi",
        "kb",
        "MB",
        "B",
        " ",
        "i",
        "e1.5",
        "Zi",
    ]
)
DIGITS = st.one_of(
    st.integers(0, 2**64).map(str),
    st.integers(0, 2000).map(str),
    st.sampled_from(["", "0", "007", "1" * 21, "9" * 30, str(2**63 - 1), str(2**63), "٣", "1_0"]),
)
QUANTITIES = st.builds(
    lambda sign, whole, part, suffix: sign + whole + part + suffix,
    st.sampled_from(["", "", "", "", "+", "-", " ", "--"]),
    DIGITS,
    st.one_of(st.just(""), DIGITS.map(".{}".format), st.just(".0000000001")),
    SUFFIXES,
)
QUANTITY_CLASSES = {
    "negative": "is negative",
    "fraction suffix": "is a fraction of a byte",
    "8Ei or more": "is not below 8Ei",
    "no digits, or many": "is no quantity",
}


def compare_quantity(answer, text):
    try:
        read = Quantity.parse(text)
    except ValueError as error:
        return BOTH_REFUSE if "error" in answer else _refused_quantity(str(error), text)
    assert answer.get("value") == int(read)
    return EQUAL


def _refused_quantity(detail, text):
    outcome = refused(detail, QUANTITY_CLASSES)
    if outcome.why == "no digits, or many":
        whole, part = re.match(r"[+-]?([0-9]*)\.?([0-9]*)", text).groups()
        assert not whole + part or len(whole) > 20 or len(part) > 9, detail
    return outcome


def test_quantities(oracle, truth):
    """The same number of bytes, fractions rounded up."""
    ask = oracle("names", "quantity")
    truth("quantity", QUANTITIES, lambda text: compare_quantity(ask(text.encode()), text))


# Label selectors

KEYS = st.sampled_from(
    [
        "a",
        "A",
        "app",
        "example.com/app",
        "Example.com/app",
        "/a",
        "a/",
        "a/b/c",
        "",
        "-a",
        "a-",
        "a.b",
        "x" * 63,
        "x" * 64,
        "x" * 253 + "/a",
        "x" * 254 + "/a",
        "x" * 63 + "/a",
        "x" * 64 + "/a",
        "a..b/c",
        "a_b",
        "a_b/c",
        "é",
        "a\n",
        "1",
        "kubernetes.io/metadata.name",
    ]
)
VALUES = st.sampled_from(
    ["", "a", "b", "A", "-a", "a-", "a b", "x" * 63, "x" * 64, "é", "a\n", "a.b_c-d", "."]
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
REQUIREMENTS = st.fixed_dictionaries(
    {
        "key": KEYS,
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "in", "Gt", "", "="]),
    },
    optional={"values": st.lists(VALUES, max_size=3)},
)
SIMPLE_KEYS, SIMPLE_VALUES = st.sampled_from(["a", "b"]), st.sampled_from(["", "a", "b"])
SIMPLE = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(SIMPLE_KEYS, SIMPLE_VALUES, max_size=2),
        "matchExpressions": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {
                        "key": SIMPLE_KEYS,
                        "operator": st.sampled_from(["In", "NotIn"]),
                        "values": st.lists(SIMPLE_VALUES, min_size=1, max_size=2),
                    }
                ),
                st.fixed_dictionaries(
                    {"key": SIMPLE_KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}
                ),
            ),
            max_size=2,
        ),
    },
)
ANY = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(REQUIREMENTS, max_size=2)}
)
SELECTORS = st.one_of(
    st.tuples(SIMPLE, st.dictionaries(SIMPLE_KEYS, SIMPLE_VALUES, max_size=2)),
    st.tuples(ANY, LABELS),
)


def compare_selector(answer, selector, labels):
    try:
        read = msgspec.convert(selector, LabelSelector)
    except ValueError as error:
        return BOTH_REFUSE if "error" in answer else refused(str(error), {})
    assert answer == {"matches": read.matches(labels)}
    return EQUAL


def test_selectors(oracle, truth):
    """The same labels selected, the same selectors refused."""
    ask = oracle("names", "selector")
    truth(
        "selector",
        SELECTORS,
        lambda pair: compare_selector(
            ask(json.dumps({"selector": pair[0], "labels": pair[1]}).encode()), *pair
        ),
    )


# Platforms

PARTS = {
    "os": st.sampled_from(
        ["", "linux", "LINUX", "windows", "macos", "macOS", "L\u0130NUX", "\u03a3"]
    ),
    "architecture": st.one_of(
        st.sampled_from(["amd64", "x86_64", "X86-64", "i386", "386", "aarch64", "arm64", "arm"]),
        st.sampled_from(["armhf", "armel", "ARM64", "riscv64", "s390x", "", "\u0130386", "\u212a"]),
    ),
    "variant": st.one_of(
        st.sampled_from(["", "", "v1", "v2", "v3", "v5", "v6", "v7", "v8", "v9", "V8", "8", "7"]),
        st.sampled_from(
            ["5", "6", "v8.1", "v8.0", "9", "9.0", "v9.0", "v9.2", "1", "hard", "\u212a"]
        ),
    ),
}
NODES = [
    {"os": "linux", "architecture": architecture, "variant": variant}
    for architecture, variants in {
        "amd64": ["", "v1", "v2", "v3", "v4"],
        "arm64": ["", "v8", "v8.5", "v9", "v9.7"],
        "arm": ["v5", "v6", "v7", "v8"],
        "386": [""],
        "riscv64": [""],
        "s390x": [""],
    }.items()
    for variant in variants
]


def compare_platform(answer, parts):
    read = Platform.of(**parts)
    normalised = answer["normalised"]
    assert (read.os, read.architecture, read.variant) == (
        normalised["os"],
        normalised["architecture"],
        normalised.get("variant", ""),
    )
    if read.os != "linux":
        assert not any(answer["runs"])
        return EQUAL
    outcome = EQUAL
    for architecture in {node["architecture"] for node in NODES}:
        there = any(
            ran
            for node, ran in zip(NODES, answer["runs"], strict=True)
            if node["architecture"] == architecture
        )
        if runs(read, architecture) and not there:
            outcome = Refused("variant of no node")
        assert runs(read, architecture) or not there
    return outcome


def test_platforms(oracle, truth):
    """The same platform, and no node that runs an image slimgate would not judge for it."""
    ask = oracle("image", "platform")
    truth(
        "platform",
        st.fixed_dictionaries(PARTS),
        lambda parts: compare_platform(
            ask(json.dumps({"platform": parts, "nodes": NODES}).encode()), parts
        ),
    )
