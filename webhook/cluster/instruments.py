"""What is counted of the cluster: how old, how often listed anew, what stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook.cluster.state import Snapshot
from webhook.judge.policy import breaks_glass


class ClusterInstruments:
    """Labels are the kinds that are watched, and closed lists."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._age = Gauge(
            "slimgate_watch_age_seconds",
            "Since the API server was last heard of on a kind of object.",
            ("resource",),
            registry=registry,
        )
        self._relists = Counter(
            "slimgate_watch_relists",
            "Lists had: at the start, because the API server had moved on (gone), or for an error.",
            ("resource", "cause"),
            registry=registry,
        )
        self._policies = Gauge(
            "slimgate_policies",
            "ImagePolicies: good, judged by the last good version, or broken altogether.",
            ("state",),
            registry=registry,
        )
        self._broken = Gauge(
            "slimgate_policy_broken",
            "1 of an ImagePolicy whose newest version cannot be read.",
            ("policy",),
            registry=registry,
        )
        self._release_glass = Gauge(
            "slimgate_break_glass_release",
            "1 where nothing is enforced anywhere, by the release's own setting.",
            registry=registry,
        )
        self._glass = Gauge(
            "slimgate_break_glass_namespaces",
            "Namespaces where nothing is enforced, by their label.",
            registry=registry,
        )

    def glass_broken(self, everywhere: bool) -> None:  # noqa: FBT001 - it is the value
        """Whether the operator switched enforcement off for all."""
        self._release_glass.set(everywhere)

    def ages(self, silent: Mapping[str, Callable[[], float]]) -> None:
        """Show how long each has been silent, whenever asked."""
        for resource, seconds in silent.items():
            self._age.labels(resource).set_function(seconds)

    def relisted(self, resource: str) -> Callable[[str], None]:
        """Counts lists of one kind."""
        for cause in ("start", "gone", "error"):
            self._relists.labels(resource, cause)
        return lambda cause: self._relists.labels(resource, cause).inc()

    def known(self, snapshot: Snapshot) -> None:
        """What stands now."""
        broken = [one for one in snapshot.policies if one.problems]
        lost = sum(one.document is None for one in broken)
        self._policies.labels("good").set(len(snapshot.policies) - len(broken))
        self._policies.labels("last-good").set(len(broken) - lost)
        self._policies.labels("broken").set(lost)
        self._broken.clear()  # of those that were deleted
        for one in snapshot.policies:
            self._broken.labels(one.name).set(bool(one.problems))
        self._glass.set(sum(breaks_glass(one.labels) for one in snapshot.namespaces))
