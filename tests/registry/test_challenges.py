from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry.challenges import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param('Basic realm="x"', [("basic", {"realm": "x"})], id="basic"),
        pytest.param("Basic", [("basic", {})], id="scheme alone"),
        pytest.param(
            'Bearer realm="https://auth.example/token",service="registry.example",'
            'scope="repository:team/app:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:team/app:pull,push",
                    },
                )
            ],
            id="commas within quotes",
        ),
        pytest.param('bEARER REALM="x"', [("bearer", {"realm": "x"})], id="any case"),
        pytest.param(
            'Bearer  realm = "x" ,\tservice= y',
            [("bearer", {"realm": "x", "service": "y"})],
            id="odd white space",
        ),
        pytest.param(
            r'Basic realm="a \"b\" \\ c"', [("basic", {"realm": r'a "b" \ c'})], id="quoted pairs"
        ),
        pytest.param('Basic realm=""', [("basic", {"realm": ""})], id="empty quotes"),
        pytest.param(
            'Basic realm="x", Bearer realm="y",scope="z"',
            [("basic", {"realm": "x"}), ("bearer", {"realm": "y", "scope": "z"})],
            id="two challenges",
        ),
        pytest.param(
            'Negotiate, Basic realm="x"',
            [("negotiate", {}), ("basic", {"realm": "x"})],
            id="one without parameters",
        ),
        pytest.param(
            'Negotiate YWJj==, Basic realm="x"',
            [("negotiate", {}), ("basic", {"realm": "x"})],
            id="token68",
        ),
        pytest.param(",, ,Basic realm=x,", [("basic", {"realm": "x"})], id="empty elements"),
        pytest.param(
            'Basic realm="x",realm="y"', [("basic", {"realm": "x"})], id="twice: the first"
        ),
        pytest.param('Basic realm="x', [("basic", {})], id="no closing quote"),
        pytest.param('realm="x"', [], id="no scheme"),
        pytest.param('Basic realm="x" Bearer realm="y"', [("basic", {})], id="no comma between"),
    ],
)
def test_header(header, expected):
    assert [(one.scheme, one.parameters) for one in parse_challenges(header)] == expected


@given(st.text(max_size=200))
def test_any_text_gives_challenges(text):
    """However odd, it ends and does not raise."""
    assert all(isinstance(one, Challenge) for one in parse_challenges(text))


@given(st.text(alphabet=',"\\ =aA\t', max_size=200))
def test_any_text_of_its_own_signs(text):
    for one in parse_challenges(text):
        assert one.scheme == one.scheme.lower()
