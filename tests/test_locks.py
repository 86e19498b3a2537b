"""The locks hold hashes and no addresses, and everything that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
DEV = PROJECT["dependency-groups"]["dev"]


def name(requirement):
    """The distribution's normalised name."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def locked(lock):
    """Name → its pinned line and hashes."""
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^(\S+==\S+.*(?:\n    --hash.*)*)", text, re.MULTILINE)
    return {name(entry): entry for entry in entries}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_hashes_and_no_addresses(lock):
    """Any mirror serves, and none can serve something else."""
    assert "://" not in (ROOT / lock).read_text()
    entries = locked(lock)
    assert entries
    assert [one for one, entry in entries.items() if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("requirements.lock", RUNTIME), ("requirements-dev.lock", [*RUNTIME, *DEV])],
    ids=["runtime", "dev"],
)
def test_nothing_is_missing(lock, wanted):
    """``make lock`` was run after pyproject.toml changed."""
    assert {name(one) for one in wanted} <= locked(lock).keys()


def test_one_version_for_both():
    """What is tested is what is shipped."""
    dev = locked("requirements-dev.lock")
    pins = {one: entry.splitlines()[0] for one, entry in locked("requirements.lock").items()}
    assert pins == {one: dev[one].splitlines()[0] for one in pins}
