"""What is known of a cluster: believed for as long as it may be, and then not at all."""

from __future__ import annotations

import pytest

from webhook.cluster.state import NamespaceState, Snapshot, heard, write
from webhook.errors import StateUnknown
from webhook.judge.state import observed
from webhook.wiring.knowledge import InCluster

POLICY = {
    "apiVersion": "slimgate.dev/v1alpha1",
    "kind": "ImagePolicy",
    "metadata": {"name": "team", "generation": 1},
    "spec": {"action": "Enforce", "checks": {"nonRoot": {}}},
}
SNAPSHOT = Snapshot(
    policies=(observed(POLICY, None),),
    namespaces=(NamespaceState(name="prod", labels={"env": "prod"}),),
    platforms=("linux/amd64",),
)


def known(folder, seconds_ago):
    """A snapshot of a cluster that was last heard of so long ago; believed for a minute."""
    write(folder, SNAPSHOT)
    heard(folder, seconds_ago)
    return InCluster(folder, max_stale=60.0)


def test_what_was_known_judges_while_it_is_young_enough(tmp_path):
    cluster = known(tmp_path, 50)
    assert [policy.name for policy in cluster.policies()] == ["team"]
    assert cluster.namespace("prod").labels["env"] == "prod"
    assert cluster.platforms() == {"linux/amd64"}


def test_what_is_too_old_is_unknown(tmp_path):
    """Not as it was, and not as if there were no policy."""
    cluster = known(tmp_path, 70)
    for asked in (cluster.policies, cluster.platforms, lambda: cluster.namespace("prod")):
        with pytest.raises(StateUnknown, match="has not heard of the API server for 7"):
            asked()
    assert cluster.missing() is None  # ready all the same: it answers, and says so
    heard(tmp_path, 0)
    assert cluster.policies()


def test_before_the_first_word_it_is_not_ready(tmp_path):
    cluster = InCluster(tmp_path, max_stale=60.0)
    assert cluster.missing() == "the cluster is not known yet"
    with pytest.raises(StateUnknown, match="is not known yet"):
        cluster.policies()


@pytest.mark.parametrize("damage", [b"", b'{"policies": [', b'{"policies": 7}'])
def test_a_damaged_snapshot_is_none(tmp_path, damage):
    """The one before goes on; where there was none, nothing is known."""
    cluster = known(tmp_path, 0)
    assert cluster.policies()
    (tmp_path / "snapshot.json").write_bytes(damage)
    assert [policy.name for policy in cluster.policies()] == ["team"]
    assert InCluster(tmp_path, max_stale=60.0).missing() is not None


def test_a_namespace_that_nobody_can_look_up_is_unknown(tmp_path):
    """It was made just now, and the controller that would read it is away."""
    with pytest.raises(StateUnknown):
        known(tmp_path, 0).namespace("made-just-now")
