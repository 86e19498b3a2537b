"""The image config: what the builder says of the image.

All of it is a claim; what a node acts upon (user, command, platform, diff_ids) is read as
containerd reads it. ``config.Labels`` is a map: its keys are not folded.
Source: image-spec config.md and specs-go/v1/config.go; Go ``time.Time.UnmarshalJSON``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from webhook.errors import LimitExceeded, Malformed
from webhook.image import strictjson
from webhook.image.digest import checked
from webhook.image.platform import Platform
from webhook.image.strictjson import Struct
from webhook.limits import Limits

_WHAT: Final = "the image config"
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    """One build step (a claim)."""

    created_by: str
    empty_layer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The fields of the OCI image config that matter for running and judging."""

    digest: str
    platform: Platform
    diff_ids: tuple[str, ...]
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str | None = None
    """As written; ``datetime.fromisoformat`` reads it."""
    history: tuple[HistoryStep, ...] = ()

    def variable(self, name: str) -> str | None:
        """The value of an environment variable: the last one, as for a process; None: not set."""
        values = (entry.removeprefix(f"{name}=") for entry in reversed(self.env)
                  if entry.startswith(f"{name}="))  # fmt: skip
        return next(values, None)


def parse_config(body: bytes, digest: str, limits: Limits) -> ImageConfig:
    """Read an image config.

    Args:
        body: the document, its digest proved by ``digest.verified``.
        digest: of ``body``.
        limits: ``config_bytes``, ``json_depth``, ``layers``.

    Raises:
        Malformed: containerd would refuse it: such an image does not start.
        LimitExceeded: too large, or too many diff_ids.
    """
    document = Struct(
        strictjson.loads(body, what=_WHAT, max_bytes=limits.config_bytes, depth=limits.json_depth),
        _WHAT,
    )
    run = document.struct("config")
    _check_rest(document, run)
    return ImageConfig(
        digest=digest,
        platform=Platform.read(document),
        diff_ids=_diff_ids(document.struct("rootfs"), limits),
        user=run.string("User"),
        entrypoint=run.strings("Entrypoint"),
        cmd=run.strings("Cmd"),
        env=run.strings("Env") or (),
        working_dir=run.string("WorkingDir"),
        labels=run.string_map("Labels"),
        created=_time(document, "created"),
        history=tuple(map(_step, document.structs("history"))),
    )


def _check_rest(document: Struct, run: Struct) -> None:
    """What nobody acts upon: of another type than Go's it keeps the image from being pulled."""
    document.string("author")
    run.check_set("ExposedPorts")
    run.check_set("Volumes")
    run.string("StopSignal")
    run.boolean("ArgsEscaped")


def _diff_ids(rootfs: Struct, limits: Limits) -> tuple[str, ...]:
    rootfs.string("type")
    diff_ids = rootfs.strings("diff_ids") or ()
    if len(diff_ids) > limits.layers:
        raise LimitExceeded(f"{_WHAT} has {len(diff_ids)} diff_ids, the limit is {limits.layers}")
    return tuple(
        checked(diff_id, f"{rootfs.path}.diff_ids[{number}]")
        for number, diff_id in enumerate(diff_ids)
    )


def _step(step: Struct) -> HistoryStep:
    _time(step, "created")  # a bad date there, too, keeps the image from being pulled
    step.string("author")
    step.string("comment")
    return HistoryStep(
        created_by=step.string("created_by"), empty_layer=step.boolean("empty_layer")
    )


def _time(struct: Struct, name: str) -> str | None:
    """A date as RFC 3339 has it, None when absent.

    Go also takes a one-digit hour, a comma before the fraction and the year 0000; no builder
    writes them, and they are refused.
    """
    if struct.absent(name):
        return None
    text = struct.string(name)
    try:
        if _RFC3339.fullmatch(text):
            datetime.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise Malformed(f"{struct.path}.{name} is no RFC 3339 date: {text[:100]!r}")
