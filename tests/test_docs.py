"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import docs
from webhook import errors

PAGES = docs.pages()


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name):
    """``make docs`` was run after the code changed."""
    assert (docs.DOCS / name).read_text() == PAGES[name]


@pytest.mark.parametrize("path", docs.chart_files())
def test_the_charts_crd_is_fresh(path):
    """The same for what the chart has of the types."""
    assert (docs.CHART / path).read_text() == docs.chart_files()[path]


def _reasons(kind: type[errors.ImageError] = errors.ImageError) -> set[str]:
    below = [_reasons(one) for one in kind.__subclasses__()]
    return set().union(*below) if below else {kind.reason}


def test_every_reason_has_its_section():
    """docs/errors.md explains each reason an image cannot be judged, and no other."""
    headings = re.findall(r"^### `(\w+)`", (docs.DOCS / "errors.md").read_text(), re.MULTILINE)
    assert set(headings) == _reasons()
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize(
    "page",
    sorted(docs.DOCS.parent.glob("*.md")) + sorted(docs.DOCS.rglob("*.md")),
    ids=lambda page: str(page.relative_to(docs.DOCS.parent)),
)
def test_links_lead_somewhere(page):
    """Links between our own files are not broken."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_architecture_names_every_room():
    """docs/architecture.md has each package and module of the layering contract."""
    text = (docs.DOCS / "architecture.md").read_text()
    root = Path(docs.DOCS.parent, "webhook")
    rooms = {
        path.stem
        for path in root.iterdir()
        if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
    }
    assert {room for room in rooms if f"`{room}" not in text} == set()
