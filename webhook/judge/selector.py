"""Label selectors, exactly as k8s.io/apimachinery's ``LabelSelectorAsSelector`` reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from webhook.checks.check import MANY

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(
    r"(?=.{1,253}/)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/", re.ASCII
)


class Requirement(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """One of ``matchExpressions``."""

    key: str
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value is compared; NotIn is met by an absent label, too."""
    values: Annotated[tuple[str, ...], MANY] = ()
    """With In and NotIn only."""

    def __post_init__(self) -> None:
        _check_key(self.key)
        for value in self.values:
            _check_value(value)
        if self.operator in {"In", "NotIn"} and not self.values:
            raise ValueError(f"{self.operator} needs values")
        if self.operator in {"Exists", "DoesNotExist"} and self.values:
            raise ValueError(f"{self.operator} takes no values")

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it; ``NotIn`` is met by an absent label, too."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "Exists")


class LabelSelector(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """All of its requirements must be met; without any it matches everything."""

    match_labels: Annotated[dict[str, str], MANY] = {}
    """Labels the namespace must have, key and value."""
    match_expressions: Annotated[tuple[Requirement, ...], MANY] = ()
    """What else its labels must meet."""

    def __post_init__(self) -> None:
        for key, value in self.match_labels.items():
            _check_key(key)
            _check_value(value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


def _check_key(key: str) -> None:
    prefix = _PREFIX.match(key)
    if not _NAME.fullmatch(key, prefix.end() if prefix else 0):
        raise ValueError(f'"{key}" is no label key')


def _check_value(value: str) -> None:
    if value and not _NAME.fullmatch(value):
        raise ValueError(f'"{value}" is no label value')
