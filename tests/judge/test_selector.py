"""Label selectors, as apimachinery's LabelSelectorAsSelector."""

from __future__ import annotations

import pytest

from webhook.judge.selector import LabelSelector, Requirement

LABELS = {"env": "prod", "team": "web", "empty": ""}


def where(operator, key, *values):
    return LabelSelector(
        match_expressions=(Requirement(key=key, operator=operator, values=values),)
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(LabelSelector(), True, id="empty selects all"),
        pytest.param(LabelSelector(match_labels={"env": "prod"}), True, id="equal"),
        pytest.param(LabelSelector(match_labels={"env": "dev"}), False, id="not equal"),
        pytest.param(LabelSelector(match_labels={"none": ""}), False, id="absent is not empty"),
        pytest.param(LabelSelector(match_labels={"empty": ""}), True, id="empty value"),
        pytest.param(where("In", "env", "dev", "prod"), True, id="In"),
        pytest.param(where("In", "env", "dev"), False, id="In, other value"),
        pytest.param(where("In", "none", "x"), False, id="In, absent"),
        pytest.param(where("NotIn", "env", "prod"), False, id="NotIn"),
        pytest.param(where("NotIn", "env", "dev"), True, id="NotIn, other value"),
        pytest.param(where("NotIn", "none", "x"), True, id="NotIn is met by an absent label"),
        pytest.param(where("Exists", "empty"), True, id="Exists"),
        pytest.param(where("Exists", "none"), False, id="Exists, absent"),
        pytest.param(where("DoesNotExist", "none"), True, id="DoesNotExist"),
        pytest.param(where("DoesNotExist", "env"), False, id="DoesNotExist, there"),
        pytest.param(
            LabelSelector(
                match_labels={"env": "prod"},
                match_expressions=(Requirement(key="team", operator="In", values=("db",)),),
            ),
            False,
            id="all must be met",
        ),
    ],
)
def test_matches(selector, expected):
    """Requirements are and-ed."""
    assert selector.matches(LABELS) == expected


@pytest.mark.parametrize(
    ("operator", "key", "values", "fault"),
    [
        ("In", "a", (), "In needs values"),
        ("NotIn", "a", (), "NotIn needs values"),
        ("Exists", "a", ("x",), "Exists takes no values"),
        ("DoesNotExist", "a", ("x",), "DoesNotExist takes no values"),
        ("Exists", "", (), "is no label key"),
        ("Exists", "a b", (), "is no label key"),
        ("Exists", "/a", (), "is no label key"),
        ("Exists", "Upper.io/a", (), "is no label key"),
        ("Exists", "x" * 64, (), "is no label key"),
        ("In", "a", ("-",), "is no label value"),
        ("In", "a", ("x" * 64,), "is no label value"),
    ],
)
def test_faults(operator, key, values, fault):
    """What the API server would refuse."""
    with pytest.raises(ValueError, match=fault):
        Requirement(key=key, operator=operator, values=values)


@pytest.mark.parametrize("key", ["a", "A-b_c.d", "slimgate.dev/policy", "x.y-z/" + "k" * 63])
def test_keys(key):
    """Names with and without a prefix."""
    assert where("Exists", key).matches({key: "1"})
    assert LabelSelector(match_labels={key: ""}).matches({key: ""})
