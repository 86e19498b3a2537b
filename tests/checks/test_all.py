"""The list of checks: nothing missing, nothing extra, each with its page and its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webhook import checks
from webhook.checks import ALL

HERE = Path(__file__).parent
CODE = Path(checks.__file__).parent
SECTIONS = ("What it asks", "Why", "What it flags", "Remedy", "Options")


def module(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def test_list_and_files_agree():
    """A check that nobody lists is never asked."""
    files = {path.stem for path in CODE.glob("*.py")} - {"__init__", "check"}
    assert {module(check.name) for check in ALL} == files


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_has_page_and_tests(check):
    """The docstring is the check's page in the documentation."""
    code = (CODE / f"{module(check.name)}.py").read_text()
    page = code.split('"""')[1]

    assert page.startswith(f"{check.name}: ")
    assert [part for part in SECTIONS if f"\n{part}\n" not in page] == []
    assert (HERE / f"test_{module(check.name)}.py").is_file()


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_options_are_on_the_page(check):
    """Every option of the schema is explained."""
    page = (CODE / f"{module(check.name)}.py").read_text().split('"""')[1]
    options = page.split("\nOptions\n")[1]
    for field in check.options.__struct_encode_fields__:
        assert f"``{field}" in options, field
