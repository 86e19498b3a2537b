"""kubelet agrees: slimgate's word on who a container runs as, and whether, against a real node's.

``SLIMGATE_WRITE=1 make test-cluster`` writes docs/kubelet.md anew.
"""

from __future__ import annotations

import os

import pytest

from tests.catalogue.page import CASES
from tests.cluster.nodes import agreement

pytestmark = pytest.mark.nodes


@pytest.fixture(scope="module")
def rows(real, tmp_path_factory):
    """Every image that a registry takes."""
    references = agreement.pushed(real, CASES)
    return agreement.compare(real, references, tmp_path_factory.mktemp("agreement"))


def test_nearly_every_image_was_run(rows):
    """A registry that takes none would make all agree."""
    assert len(rows) > 220
    assert sum(row.done[0].uid is not None for row in rows) > 150


def test_kubelet_agrees(rows):
    different = [f"{row.case.name}: {row.said} {row.done}" for row in rows if not row.verdict]
    assert not different, "\n".join(different)


def test_every_explanation_is_needed(rows):
    """One that explains a difference which is gone would hide the next."""
    explained = agreement.VERSIONS
    assert {row.case.name for row in rows if row.verdict in explained.values()} == set(explained)


def test_the_page_is_fresh(rows, real):
    """What happened is what docs/kubelet.md says."""
    text = agreement.page(real, rows)
    if os.environ.get("SLIMGATE_WRITE"):
        agreement.PAGE.write_text(text)
    assert agreement.PAGE.read_text() == text
