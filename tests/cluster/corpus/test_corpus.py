"""A real containerd agrees: who images run as, whether they start, and which files are shells.

``make corpus`` asks about every image, some minutes, and writes docs/corpus.md; by default it is
one in twenty-five.
"""

from __future__ import annotations

import os

import pytest

from tests.cluster.corpus import debian, images, page
from tests.cluster.corpus.compare import REASONS, compare
from tests.cluster.corpus.images import CATALOGUE, LOOKALIKES, SHELLS
from tests.cluster.corpus.node import containerd, obstacle

pytestmark = pytest.mark.nodes
WRITE = "SLIMGATE_CORPUS"
"""Set: every image, and the page is written."""
FEW = slice(None, None, 25)
"""Each of the 16 forms of shells, and most of the shells."""


@pytest.fixture(scope="module")
def node(tmp_path_factory, provide):
    """A containerd of our own."""
    if reason := obstacle():
        _impossible(reason)
    with containerd(tmp_path_factory.mktemp("corpus") / "node", provide(images.PROBE)) as one:
        yield one


def _impossible(reason):
    if os.environ.get("SLIMGATE_REQUIRE_NODES"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def rows(node, provide, tmp_path_factory):
    """What became of each image."""
    try:
        debian.bring(images.PACKAGES)
    except debian.Unavailable as reason:
        _impossible(str(reason))
    built = {program: provide(program).read_bytes() for program in images.GO}
    members = list(images.corpus(built))
    chosen = members if os.environ.get(WRITE) else members[FEW]
    return list(compare(node, chosen, tmp_path_factory.mktemp("images")))


def test_the_probe_sees(rows):
    """Where there is a shell for sure it finds one, and where there is none, none."""
    wrong = [
        f"{row.member.name}: {row.seen}"
        for row in rows
        if row.member.shell is not None and bool(row.seen.shells) is not row.member.shell
    ]
    assert not wrong, "\n".join(wrong)


def test_the_images_were_run(rows):
    """A containerd that takes none would make all agree."""
    real = [row for row in rows if row.member.group in {SHELLS, LOOKALIKES}]
    tricky = [row for row in rows if row.member.group == CATALOGUE]
    assert all(row.seen.started for row in real)
    assert sum(row.seen.uid is not None for row in tricky) > 0.6 * len(tricky)


def test_containerd_agrees(rows):
    wrong = [f"{row.member.name}: {'; '.join(row.differences)}" for row in rows if row.differences]
    assert not wrong, "\n".join(wrong)


def test_every_explanation_is_needed(rows):
    """One that explains a difference which is gone would hide the next."""
    needed = {row.member.name for row in rows if row.apart}
    assert REASONS.keys() & {row.member.name for row in rows} <= needed


def test_the_page_is_fresh(rows):
    """What happened is what docs/corpus.md says."""
    if os.environ.get(WRITE):
        page.PAGE.write_text(page.text(rows))
    written = page.PAGE.read_text().splitlines()
    assert [line for line in map(page.line, rows) if line not in written] == []
