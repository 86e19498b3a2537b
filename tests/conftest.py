"""For all tests: how they are dealt out to the workers of pytest-xdist."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One file, one worker, since its tests share fixtures; all of the nodes' tests together.

    The nodes come last, when other workers have little or nothing left to do: what is measured
    there is measured beside nothing else.
    """
    items.sort(key=lambda item: item.get_closest_marker("nodes") is not None)
    for item in items:
        nodes = item.get_closest_marker("nodes") is not None
        item.add_marker(pytest.mark.xdist_group("nodes" if nodes else item.nodeid.split("::")[0]))
