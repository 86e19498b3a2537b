"""Globs on image names, and patterns of tags."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.image.globs import Glob, TagGlob, matches


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        pytest.param("*", "docker.io/library/nginx", True, id="everything"),
        pytest.param("docker.io/library/nginx", "docker.io/library/nginx", True, id="literal"),
        pytest.param("docker.io/library/nginx", "docker.io/library/nginx2", False, id="whole"),
        pytest.param("registry.test/*", "registry.test/a/b/c", True, id="* crosses /"),
        pytest.param("registry.test/*", "registry.test.evil/a", False, id="host is literal"),
        pytest.param("registry.test/*", "evil/registry.test/a", False, id="host comes first"),
        pytest.param("registry.test/*/x", "registry.test/a/b/x", True, id="in the middle"),
        pytest.param("registry.test/a*b*c", "registry.test/abbc", True, id="two stars"),
        pytest.param("registry.test/ab*ba", "registry.test/aba", False, id="no overlap"),
        pytest.param("*.corp.test/*", "a.b.corp.test/x", True, id="below the domain"),
        pytest.param("*.corp.test/*", "corp.test/x", False, id="not the domain itself"),
        pytest.param("*.corp.test/*", "evilcorp.test/x", False, id="not another domain"),
        pytest.param("*.corp.test/*", "x.test/a.corp.test/x", False, id="never in the path"),
        pytest.param("registry.test/*", "Registry.Test/x", True, id="hosts have no case"),
        pytest.param("localhost:5000/*", "localhost:5000/x", True, id="port"),
        pytest.param("localhost:5000/*", "localhost:5001/x", False, id="another port"),
    ],
)
def test_matches(glob, name, expected):
    """The whole normalised name, host and path apart."""
    assert Glob.parse(glob).matches(name) == expected


@pytest.mark.parametrize(
    ("glob", "fault"),
    [
        pytest.param("nginx", "(try docker.io/library/nginx)", id="familiar name"),
        pytest.param("team/app", "(try docker.io/team/app)", id="familiar path"),
        pytest.param("registry.test", "(try registry.test/*)", id="host only"),
        pytest.param("docker.io/nginx", "write docker.io/library/nginx", id="never matches"),
        pytest.param("index.docker.io/a/b", "write docker.io/a/b", id="the old name"),
        pytest.param("*/nginx", "names no registry", id="any host"),
        pytest.param("registry.*/x", "names no registry", id="open host"),
        pytest.param("*registry.test/x", "names no registry", id="half a host"),
        pytest.param("registry.test/app:1", "without tag and digest", id="tag"),
        pytest.param("registry.test/app@sha256:a", "without tag and digest", id="digest"),
        pytest.param("registry.test/[ab]", "* is the only wildcard", id="brackets"),
        pytest.param("registry.test/App", "in lower case", id="upper case"),
        pytest.param("registry.test/", "is no glob", id="no path"),
        pytest.param("", "is no glob", id="empty"),
        pytest.param(7, "is no glob", id="a number"),
    ],
)
def test_faults(glob, fault):
    """What could never match, or would match more than it seems to, is refused."""
    with pytest.raises(ValueError, match=re.escape(fault)):
        Glob.parse(glob)


def test_tag_patterns():
    """Tags have no host: * stands anywhere."""
    assert TagGlob.parse("*-debug").matches("1.2-debug")
    assert not TagGlob.parse("latest").matches("latest2")
    with pytest.raises(ValueError, match="is no tag"):
        TagGlob.parse("a/b")


def test_no_backtracking():
    """A pattern that would take a backtracking matcher for ever is answered at once."""
    begin = time.process_time()
    assert not matches("a*" * 200 + "b", "a" * 4000)
    assert time.process_time() - begin < 5


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_like_a_regular_expression(pattern, text):
    """The same answers as a backtracking matcher, where that one ends."""
    expected = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
    assert matches(pattern, text) == expected
