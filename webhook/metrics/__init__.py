"""What is counted, as Prometheus reads it.

Labels are few and fixed: their values come from policies and from closed lists, never from a
pod, an image or a request.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import date

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from webhook.errors import ImageRefused, ImageUnknown
from webhook.judge.decision import Decision
from webhook.review.admission import RESOURCES
from webhook.review.answer import Reviewed

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGE_REASONS = frozenset(
    error.reason for family in (ImageRefused, ImageUnknown) for error in family.__subclasses__()
)


Expiry = tuple[str, str, date]
"""Of an exception: its policy, its reason, its last valid day (UTC)."""


class _Expiries(Collector):
    def __init__(self, read: Callable[[], Iterable[Expiry]], today: Callable[[], date]) -> None:
        self._read, self._today = read, today

    def collect(self) -> Iterable[Metric]:
        found = GaugeMetricFamily(
            "slimgate_exception_expiry_days",
            "Days an exception of a policy is still valid; below 0, it is over.",
            labels=("policy", "reason"),
        )
        first: dict[tuple[str, str], date] = {}
        for policy, reason, expires in self._read():
            first[policy, reason] = min(expires, first.get((policy, reason), expires))
        for labels, expires in first.items():
            found.add_metric(labels, (expires - self._today()).days)
        yield found


class _Ends(Collector):
    def __init__(self, read: Callable[[], float | None]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        found = GaugeMetricFamily(
            "slimgate_certificate_expiry_timestamp_seconds",
            "When a certificate ends, in seconds since 1970.",
            labels=("certificate",),
        )
        if (ends := self._read()) is not None:
            found.add_metric(("served",), ends)
        yield found


class StoreMetrics:
    """Of where facts are kept besides memory."""

    def __init__(self, registry: CollectorRegistry, troubles: Iterable[str]) -> None:
        self._lookups = Counter(
            "slimgate_store_lookups",
            "Facts that were not in memory: found in the store (hit), found out anew (miss), or "
            "there but not as we had put them (broken).",
            ("facts", "outcome"),
            registry=registry,
        )
        self._troubles = Counter(
            "slimgate_store_troubles",
            "What the store could not do; reviews go on without it.",
            ("trouble",),
            registry=registry,
        )
        for trouble in troubles:  # there from the start, for rate() and absent()
            self._troubles.labels(trouble)

    def looked(self, facts: str, outcome: str) -> None:
        """Facts of a kind (images, layers, files) were looked for."""
        self._lookups.labels(facts, outcome).inc()

    def trouble(self, trouble: str) -> None:
        """Something went wrong."""
        self._troubles.labels(trouble).inc()


class Metrics:
    """The counters of one process, in a registry of their own.

    Reviews counted are decisions, not pods: one that was admitted may still not be created, and
    dry runs count too.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._reviews = Counter(
            "slimgate_reviews",
            "AdmissionReviews answered.",
            ("operation", "resource", "decision"),
            registry=registry,
        )
        self._seconds = Histogram(
            "slimgate_review_seconds",
            "Time to answer an AdmissionReview.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._findings = Counter(
            "slimgate_findings",
            "Findings, of all containers and platforms.",
            ("check", "result", "policy"),
            registry=registry,
        )
        self._image_errors = Counter(
            "slimgate_image_errors",
            "Images that could not be judged, once a review.",
            ("reason",),
            registry=registry,
        )
        self._break_glass = Counter(
            "slimgate_break_glass_reviews",
            "AdmissionReviews answered while break-glass was on: nothing is enforced.",
            ("by",),
            registry=registry,
        )
        for by in ("namespace", "release"):  # there from the start, for rate() and absent()
            self._break_glass.labels(by)
        self._deaths = Counter(
            "slimgate_reader_deaths",
            "Processes that died while they read a layer: by their own fault (crashed), by "
            "another's signal or for want of memory (killed), after their time (late), with "
            "whoever begins them (gone).",
            ("death",),
            registry=registry,
        )
        self._in_flight = Gauge(
            "slimgate_reviews_in_flight", "Reviews being answered.", registry=registry
        )
        build = Gauge("slimgate_build_info", "1.", ("version",), registry=registry)
        build.labels(version).set(1)

    def reviewed(self, review: Reviewed) -> None:
        """Count one review, its findings and the images that could not be read."""
        request = review.request
        known = (request.group, request.resource) in RESOURCES
        resource = request.resource if known else "other"
        self._reviews.labels(request.operation, resource, review.outcome).inc()
        self._seconds.observe(review.seconds)
        if review.decision is not None:
            self._count(review.decision)

    def in_flight(self) -> AbstractContextManager[object]:
        """Count a review as being answered for as long as the context lasts."""
        return self._in_flight.track_inprogress()

    def exceptions(self, read: Callable[[], Iterable[Expiry]], today: Callable[[], date]) -> None:
        """Count the exceptions of policies down, as they stand whenever the metrics are read.

        Of several of one policy with one reason, the first to expire counts.
        """
        self._registry.register(_Expiries(read, today))

    def certificate(self, ends: Callable[[], float | None]) -> None:
        """Show when what is served ends, in seconds since 1970; None: there is none yet."""
        self._registry.register(_Ends(ends))

    def snapshot_age(self, seconds: Callable[[], float]) -> None:
        """Show how old what is known of the cluster is."""
        Gauge(
            "slimgate_snapshot_age_seconds",
            "Since the API server was last heard of: how old what pods are judged by may be.",
            registry=self._registry,
        ).set_function(seconds)

    def store(self, troubles: Iterable[str]) -> StoreMetrics:
        """Count what is looked for where facts are kept, and what goes wrong there."""
        return StoreMetrics(self._registry, troubles)

    def readers(self, deaths: Iterable[str]) -> Callable[[str], None]:
        """How to count how the processes that read layers die, in one of these ways."""
        for death in deaths:  # there from the start, as above
            self._deaths.labels(death)
        return lambda death: self._deaths.labels(death).inc()

    def exposition(self) -> bytes:
        """All of it in the text format (``CONTENT_TYPE``)."""
        return generate_latest(self._registry)

    def _count(self, decision: Decision) -> None:
        found = [(judged, finding) for judged in decision.judgements for finding in judged.findings]
        if decision.break_glass:
            self._break_glass.labels(decision.break_glass).inc()
        tally = Tally((f.check, f.result, judged.policy) for judged, f in found)
        for labels, times in tally.items():
            self._findings.labels(*labels).inc(times)
        unread = {(j.image, f.reason) for j, f in found if f.reason in _IMAGE_REASONS}
        for _, reason in unread:
            self._image_errors.labels(reason).inc()
