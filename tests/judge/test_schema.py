"""The JSON Schema says what the reader of files says."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from tests.judge.documents import text
from webhook.checks import ALL
from webhook.errors import PolicyError
from webhook.judge.load import BUILTIN, builtin, parse_policies
from webhook.judge.schema import policy_schema

VALIDATOR = jsonschema.Draft202012Validator(policy_schema())


def test_is_a_schema():
    """It follows its own draft."""
    jsonschema.Draft202012Validator.check_schema(policy_schema())


def test_has_every_check():
    """A new check is in it by itself."""
    checks = policy_schema()["$defs"]["Checks"]
    assert list(checks["properties"]) == [check.name for check in ALL]
    assert checks["additionalProperties"] is False


@pytest.mark.parametrize("name", BUILTIN)
def test_shipped(name):
    """The shipped policies are valid."""
    VALIDATOR.validate(yaml.safe_load(builtin(name).read_text()))


@pytest.mark.parametrize(
    "spec",
    [
        "action: Enforce\nchecks: {noShell: {}}",
        "action: Enforce\nchecks: {size: {compressed: 150Mi, layers: 4}}",
        "action: Enforce\nchecks: {size: {compressed: 1048576}}",
        "action: enforce\nchecks: {noShell: {}}",
        "action: Enforce\nchecks: {noShell: null}",
        "action: Enforce\nchecks: {noshell: {}}",
        "action: Enforce\nonUnknown: null\nchecks: {noShell: {}}",
        "action: Enforce\nchecks: {size: {layers: 0}}",
        "action: Enforce\nchecks: {age: {}}",
        "action: Enforce\nchecks: {age: {maxDays: 9, undated: Maybe}}",
        "action: Enforce\nchecks: {noShell: {}}\nexceptions: [{}]",
        "action: Enforce\nchecks: {noShell: {}}\nextra: 1",
        "action: Enforce\nchecks: {noShell: {}}\nrules: [{name: A, expression: x, message: m}]",
    ],
)
def test_agrees_with_the_reader(spec):
    """Where types decide, both accept or both refuse."""
    document = text(spec)
    try:
        parse_policies(document, "f")
    except PolicyError:
        accepted = False
    else:
        accepted = True
    assert VALIDATOR.is_valid(yaml.safe_load(document)) == accepted
