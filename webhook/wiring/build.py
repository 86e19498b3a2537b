"""What the entrances work with, built from ``Settings``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

from webhook.evaluate import evaluate
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.source import Images
from webhook.image.facts import Files, LayerRef
from webhook.image.layer import Layer
from webhook.judge.decision import Decision
from webhook.judge.policy import Policy
from webhook.limits import Deadline, Limits
from webhook.pod import Workload
from webhook.settings import Settings
from webhook.store.memory import Memory
from webhook.wiring.documents import Namespaces
from webhook.wiring.sources import Sources

_IMAGES = 20_000
"""Tags, images and failures that are remembered."""
_ENTRIES = 1_000_000
"""Files of all layers, and of all merged file systems, that are remembered."""
_FAILURE_SECONDS = 5.0

Observe = Callable[[LayerRef, int], None]
Judge = Callable[[Workload, Deadline], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """Where images come from, raw and read."""

    sources: Sources
    images: Images
    limits: Limits
    observe: Observe
    pools: tuple[Executor, ...]

    def close(self) -> None:
        """Give up what nobody waits for any more; what is being read runs out by itself."""
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)
        self.sources.close()


def build(settings: Settings, observe: Observe = lambda _layer, _count: None) -> Wired:
    """Everything that reads images; to be closed, and built in the process that uses it.

    ``observe`` is told the compressed bytes of each chunk of a layer that is read.
    """
    sources = Sources(settings)
    opening = ThreadPoolExecutor(settings.opening_threads, "opening")
    reading = ThreadPoolExecutor(settings.reading_threads, "reading")
    images = Gatherer(
        sources,
        caches=_caches(settings),
        limits=settings.limits,
        opening=opening,
        reading=reading,
        clock=time.monotonic,
        background=settings.timeout,
        near=sources.near,
        waiters=settings.waiters,
        observe=observe,
    )
    return Wired(
        sources=sources,
        images=images,
        limits=settings.limits,
        observe=observe,
        pools=(opening, reading),
    )


def _caches(settings: Settings) -> Caches:
    clock = time.monotonic
    return Caches(
        tags=Memory(capacity=_IMAGES, clock=clock, seconds=settings.tag_seconds),
        images=Memory(capacity=_IMAGES, clock=clock),
        layers=Memory(capacity=_ENTRIES, clock=clock, weigh=_weight_of_layer),
        files=Memory(capacity=_ENTRIES, clock=clock, weigh=_weight_of_files),
        failures=Memory(capacity=_IMAGES, clock=clock, seconds=_FAILURE_SECONDS),
    )


def _weight_of_layer(layer: Layer) -> int:
    return 1 + len(layer.entries)


def _weight_of_files(files: Files) -> int:
    return 1 + len(files.programs.executables) + len(files.programs.links)


def judge_by(
    policies: Sequence[Policy], namespaces: Namespaces, images: Images, *, audit_only: bool
) -> Judge:
    """The webhook's judge: a workload, before a deadline, to the decision on it."""

    def judge(workload: Workload, deadline: Deadline) -> Decision:
        judgements = evaluate(
            workload,
            policies,
            images,
            deadline,
            namespace=namespaces(workload.namespace),
            today=today(),
        )
        return Decision(judgements=judgements, audit_only=audit_only)

    return judge


def today() -> date:
    """The day in UTC: what exceptions expire by."""
    return datetime.now(UTC).date()
