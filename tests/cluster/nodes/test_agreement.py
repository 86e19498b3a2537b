"""kubelet agrees."""

import time

import pytest

from tests.catalogue import page
from tests.cluster.nodes import agreement

pytestmark = pytest.mark.nodes


def test_kubelet_agrees(real, tmp_path):
    t = time.time()
    references = agreement.pushed(real, page.CASES)
    print("pushed", len(references), time.time() - t)
    rows = agreement.compare(real, references, tmp_path)
    print("compared", time.time() - t)
    for row in rows:
        print(
            row.agrees,
            "|",
            row.case.name,
            "|",
            *(f"{a} => {b}  ;;" for a, b in zip(row.said, row.done)),
        )
    from collections import Counter

    print(Counter(r.agrees for r in rows))
