"""What the entrances work with, built from ``Settings``."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from webhook.evaluate import evaluate
from webhook.gather.credentials import PodCredentials
from webhook.gather.gatherer import Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.reading import Here, Reading
from webhook.gather.source import Images
from webhook.image.facts import LayerRef
from webhook.judge.decision import BreakGlass, Decision
from webhook.judge.policy import breaks_glass
from webhook.limits import Deadline, Limits
from webhook.pod import Workload
from webhook.reader.client import Apart
from webhook.reader.own import Own
from webhook.settings import Settings
from webhook.wiring.bases import known_bases
from webhook.wiring.caches import Shelved, caches
from webhook.wiring.knowledge import Knowledge
from webhook.wiring.sources import Sources

_OPENING_IN_ALL = 128
"""Threads for manifests and configs, of all registries together: they mostly wait."""
_OPENING_SPARE = 384
"""And one each for registries that have none."""

Observe = Callable[[LayerRef, int], None]
Judge = Callable[[Workload, Deadline], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """Where images come from, raw and read."""

    sources: Sources
    images: Images
    limits: Limits
    observe: Observe
    lanes: tuple[Lanes, ...]

    def close(self) -> None:
        """Give up what nobody waits for any more; what is being read runs out by itself."""
        for lanes in self.lanes:
            lanes.close()
        self.sources.close()


def build(
    settings: Settings,
    observe: Observe = lambda _layer, _count: None,
    *,
    second_core: bool = False,
    pods: PodCredentials | None = None,
    reader: Reading[Any] | None = None,
    shelved: Shelved | None = None,
) -> Wired:
    """Everything that reads images; to be closed, and built in the process that uses it.

    Args:
        settings: what slimgate was told.
        observe: told the compressed bytes of each chunk of a layer that is read.
        second_core: whether reading may take another core, where there is one.
        reader: who reads layers; None: this process.
        pods: who knows the credentials of pods; then each is told only what it may read. None:
            all ask as one.
        shelved: where facts are kept besides this process's memory; closed by whoever opened it.

    Raises:
        UsageError: the settings name a file that is not what it should be.
    """
    bases = known_bases(settings.bases)
    sources = Sources(settings, pods)
    opening = Lanes(settings.opening_threads, _OPENING_IN_ALL, spare=_OPENING_SPARE, name="opening")
    reading = Lanes(settings.reading_threads, 2 * settings.reading_threads, name="reading")
    images = Gatherer(
        sources,
        caches=caches(
            tag_seconds=settings.tag_seconds,
            limits=settings.limits,
            bases=bases,
            shelved=shelved,
            packed=isinstance(reader, Apart),
        ),
        limits=settings.limits,
        opening=opening,
        reading=reading,
        clock=time.monotonic,
        background=settings.timeout,
        near=sources.near,
        waiters=settings.waiters,
        observe=observe,
        bases=bases,
        reader=reader or Here(settings.limits, second_core and len(os.sched_getaffinity(0)) > 1),
        on_behalf=None if pods is None else sources.on_behalf,
    )
    return Wired(
        sources=sources,
        images=images,
        limits=settings.limits,
        observe=observe,
        lanes=(opening, reading),
    )


def read_apart(settings: Settings, path: Path | None, died: Callable[[str], None]) -> Apart:
    """Layers are read by the process that listens on ``path``, or by one that is begun here.

    ``died`` is told of ``webhook.reader.messages.DEATHS`` how one died that read a layer.
    """
    if path is not None:
        return Apart(path, settings.limits, died=died)
    own = Own()
    atexit.register(own.close)
    return Apart(own.path, settings.limits, restart=own.restart, died=died)


def judge_by(
    knowledge: Knowledge, images: Images, *, audit_only: bool, break_glass: bool = False
) -> Judge:
    """The webhook's judge: a workload, before a deadline, to the decision on it.

    It raises ``StateUnknown`` where ``knowledge`` does, and ``WouldWait`` as its deadline has it.
    """

    def judge(workload: Workload, deadline: Deadline) -> Decision:
        at = knowledge.at(workload.namespace, deadline)
        judgements = evaluate(
            replace(workload, nodes=at.platforms),
            at.policies,
            images,
            deadline,
            namespace=at.namespace,
            today=today(),
        )
        broken: BreakGlass = "namespace" if breaks_glass(at.namespace.labels) else ""
        return Decision(
            judgements=judgements,
            audit_only=audit_only,
            break_glass="release" if break_glass else broken,
        )

    return judge


def today() -> date:
    """The day in UTC: what exceptions expire by."""
    return datetime.now(UTC).date()
