"""One real cluster with two nodes, for all tests here; skipped with its reason where none can be.

``SLIMGATE_REQUIRE_NODES=1`` makes the reason an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.support.nodes import RealCluster, obstacle, real_cluster

REQUIRED = "SLIMGATE_REQUIRE_NODES"
KEPT = pytest.StashKey[RealCluster]()


@pytest.fixture(scope="session")
def nodes_possible() -> None:
    """Skip where this machine can have no nodes."""
    if reason := obstacle():
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def real(nodes_possible, provide, tmp_path_factory, request) -> Iterator[RealCluster]:
    """The cluster: two nodes, Ready; nothing but the default namespaces."""
    with real_cluster(tmp_path_factory.mktemp("nodes"), provide, nodes=2) as one:
        request.config.stash[KEPT] = one
        yield one
        del request.config.stash[KEPT]


def pytest_collection_modifyitems(items):
    """Who uses the cluster comes last: others may have one of their own, one at a time."""
    items.sort(key=lambda item: "real" in item.fixturenames)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the cluster looks like beside a test that failed in it."""
    report = yield
    if report.failed and (one := item.config.stash.get(KEPT, None)) is not None:
        report.sections.append(("the cluster", one.diagnosis()))
    return report
