"""One JSON line a review, on a stream that is handed in; never a body, never a credential."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import msgspec
import structlog
from gunicorn import glogging

from webhook.errors import ReviewError, StateUnknown
from webhook.metrics import Metrics
from webhook.review.answer import Reviewed
from webhook.store.shelf import TROUBLES, Outcome, Trouble

_TOLD_EVERY = 60.0
"""Seconds between lines about one and the same trouble."""

Log = structlog.typing.FilteringBoundLogger

_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)
_ENCODER = msgspec.json.Encoder(enc_hook=repr)


class _Lines(structlog.WriteLogger):
    """Lines are lost when the stream takes none (a full disk): no pod is refused for that."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def json_log(stream: TextIO) -> Log:
    """A logger of its own, no global configuration; one line a call, safe among threads."""
    log: Log = structlog.wrap_logger(
        _Lines(stream),
        processors=[_line],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return log.bind()  # else that is done anew for each line


def _line(logger: object, level: str, fields: structlog.typing.EventDict) -> str:
    """All in one, for structlog's own processors, one after the other, take twice as long."""
    if "exc_info" in fields:
        fields = structlog.processors.format_exc_info(logger, level, fields)
    fields["level"] = level
    stamped = _STAMP(logger, level, fields)
    try:
        return _ENCODER.encode(stamped).decode()
    except UnicodeEncodeError:  # a path that is not UTF-8
        return json.dumps(stamped, default=repr)


class LogAndCount:
    """The ``Recorder`` of the server."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def reviewed(self, review: Reviewed) -> None:
        """Count the review and write its line; a bug's with the whole traceback."""
        self._metrics.reviewed(review)
        request, decision, error = review.request, review.decision, review.error
        if decision is not None and decision.break_glass:
            write = self._log.bind(break_glass=decision.break_glass).warning
        elif error is None:
            write = self._log.info
        elif isinstance(error, ReviewError | StateUnknown):
            write = self._log.bind(error=str(error)).warning
        else:
            write = self._log.bind(exc_info=error).error
        write(
            "review",
            uid=request.uid,
            operation=request.operation,
            namespace=request.namespace,
            kind=request.kind,
            name=request.name,
            user=request.user,
            dry_run=request.dry_run,
            allowed=review.allowed,
            decision=review.outcome,
            findings=sum(len(j.findings) for j in decision.judgements) if decision else 0,
            ms=round(review.seconds * 1000, 1),
        )


class ShelfLog:
    """The ``Watch`` of the server: every trouble is counted, and of a kind one a minute told."""

    def __init__(self, log: Log, metrics: Metrics, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds, monotonic."""
        self._log, self._clock = log, clock
        self._store = metrics.store(TROUBLES)
        self._told: dict[Trouble, float] = {}

    def looked(self, kind: str, outcome: Outcome) -> None:
        """Count it."""
        self._store.looked(kind, outcome)

    def trouble(self, trouble: Trouble, detail: str) -> None:
        """Count it, and write a line where the last one was long ago."""
        self._store.trouble(trouble)
        now = self._clock()
        if now - self._told.get(trouble, -_TOLD_EVERY) >= _TOLD_EVERY:
            self._told[trouble] = now
            self._log.warning("store", trouble=trouble, detail=detail)


class GunicornLog(glogging.Logger):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's own messages as lines of the same form, on standard error."""

    def setup(self, cfg: object) -> None:
        """Called by gunicorn with its configuration."""
        super().setup(cfg)
        formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                _STAMP,
                structlog.processors.format_exc_info,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter)

    def exception(self, msg: str, *args: object, **kwargs: object) -> None:
        """A client that is too slow is no bug: one line, where gunicorn writes a traceback."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.warning("a client was too slow to send its request")
        else:
            super().exception(msg, *args, **kwargs)
