"""What ``check`` is asked about: images by themselves, and the workloads of manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from webhook.cli.output import note
from webhook.errors import Malformed, ReviewError, UsageError
from webhook.image.platform import Platform
from webhook.pod import Container, Workload
from webhook.review.workload import workload_of
from webhook.settings import Settings
from webhook.wiring import KubernetesObject, Sources, read_objects

_NAMESPACE = "default"
_STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A workload, and how and where it was named."""

    workload: Workload
    image: str | None = None
    """The argument, where an image was asked for by itself."""
    file: str | None = None
    """None for standard input, too: no report could lead there."""
    line: int | None = None


def images_asked(
    arguments: Iterable[str], sources: Sources, platforms: tuple[Platform, ...]
) -> Iterator[Asked]:
    """Each image as the one container of a pod that says nothing else."""
    for argument in arguments:
        workload = Workload(
            kind="Image",
            name=argument,
            namespace=_NAMESPACE,
            containers=(Container(name="image", image=image_name(argument, sources)),),
        )
        yield Asked(workload=_landing(workload, platforms), image=argument)


def manifests_asked(
    paths: Iterable[Path], platforms: tuple[Platform, ...], settings: Settings
) -> Iterator[Asked]:
    """The workloads of manifests; templates as the pods they create.

    Raises:
        UsageError: a file cannot be read, or an object in it is malformed.
    """
    for path in paths:
        for found in read_objects(path):
            workload = _workload(found)
            if workload is None:
                if not settings.quiet:
                    title = f"{found.kind}/{found.name}"
                    note(f"{found.file}:{found.line}: {title} creates no pods, skipped")
                continue
            workload = _landing(workload, platforms)
            if path == _STANDARD_INPUT:
                yield Asked(workload=workload)
            else:
                yield Asked(workload=workload, file=found.file, line=found.line)


def image_name(argument: str, sources: Sources) -> str:
    """As the evaluation is to look it up; what is no name at all it says itself."""
    try:
        return str(sources.open(argument))
    except Malformed:
        return argument


def _workload(found: KubernetesObject) -> Workload | None:
    try:
        workload = workload_of(found.document, namespace=found.namespace or _NAMESPACE)
    except ReviewError as error:
        raise UsageError(f"{found.file}:{found.line}: {error}") from error
    return None if workload is None else replace(workload, template=False)


def _landing(workload: Workload, platforms: tuple[Platform, ...]) -> Workload:
    """The workload as if it could only land on these platforms."""
    if not platforms:
        return workload
    systems = {platform.os for platform in platforms}
    if len(systems) > 1:
        raise UsageError("--platform: a workload runs on one operating system")
    return replace(
        workload,
        os=systems.pop(),
        architectures=frozenset(platform.architecture for platform in platforms),
    )
