"""The HTTP face: ``POST /validate``, the probes and the metrics.

Knows content types, sizes, ``?timeout=`` and how many reviews may be under way. Does not know
what is in a review: ``answer`` is handed in. No client is ever shown a stack trace.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug import Request, Response
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    ServiceUnavailable,
    UnsupportedMediaType,
)
from werkzeug.http import parse_options_header
from werkzeug.wsgi import get_content_length, get_input_stream

from webhook.errors import Busy, ReviewError
from webhook.limits import MIB, Deadline, WouldWait
from webhook.metrics import CONTENT_TYPE, Metrics
from webhook.review.admission import MAX_BODY
from webhook.server.log import Log
from webhook.server.places import PATIENCE, STUCK, Places

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

Answer = Callable[[bytes, Deadline], bytes]
"""AdmissionReview in, AdmissionReview out; raises ``ReviewError`` and ``Busy``."""

Ready = Callable[[], str | None]
"""None when ready, else why not. Never depends on a registry."""

DEFAULT_TIMEOUT = 10.0
MAX_TIMEOUT = 30.0
"""Seconds; what Kubernetes takes at most as ``timeoutSeconds``."""
_MARGIN = 1.0
"""Seconds kept back: the API server rounds its timeout up to a whole one, and the way back
takes time too."""

_VALIDATE = "/validate"
AT_ONCE = "slimgate.at_once"
"""In the environ of a request: it is answered without waiting for anything, or not at all
(``WouldWait``). Its body is whole, and bounded."""
LARGE, _LARGE_AT_ONCE = MIB, 4
"""Bytes from which a body is large, and how many of those are held at once: memory is bounded
though there are many threads, and few places to be had for what is honest as well."""

_JSON = "application/json"
_REMEMBERED = 64
"""Of queries and content types: clients hardly differ in them."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(h|ms|m|s|us|µs|ns)", re.ASCII)


def create_app(
    answer: Answer,
    *,
    metrics: Metrics,
    ready: Ready,
    log: Log,
    clock: Callable[[], float],
    max_in_flight: int,
    stuck: float = STUCK,
    patience: float = PATIENCE,
) -> Flask:
    """The WSGI application; raises ``WouldWait`` where the environ has ``AT_ONCE``.

    Args:
        answer: one review to its answer, before the deadline.
        metrics: what ``/metrics`` shows.
        ready: asked by ``/readyz``.
        log: for what was refused, and for bugs.
        clock: monotonic; deadlines are on it.
        max_in_flight: reviews under way at once; further ones get 503 and come again. There
            must be more threads than that.
        stuck: seconds past their deadline after which reviews in all places fail ``/healthz``.
        patience: seconds that a review waits for a place.
    """
    app = Flask(__name__, static_folder=None)
    places = Places(max_in_flight, clock, stuck=stuck, patience=patience)
    large = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    def validate(environ: dict[str, Any]) -> bytes:
        if environ["REQUEST_METHOD"] != "POST":
            raise MethodNotAllowed
        if not _is_json(environ.get("CONTENT_TYPE", "")):
            raise UnsupportedMediaType("Content-Type must be application/json")
        budget, patient = _budget(environ.get("QUERY_STRING", "")), AT_ONCE not in environ
        deadline = Deadline(clock() + budget, clock, patient)
        if not patient:  # what waits for nothing needs no place, and is small and whole
            with places.spared(deadline), metrics.in_flight():
                return answer(environ["wsgi.input"].read(), deadline)
        with _room(get_content_length(environ), large):
            # A byte more: a chunked body is cut there without a word, and must be seen as too long.
            body = get_input_stream(environ, max_content_length=MAX_BODY + 1).read()
            with places.taken(deadline), metrics.in_flight():
                return answer(body, deadline)

    _add_probes(app, metrics, ready, places)
    app.register_error_handler(Exception, lambda error: _refusal(error, request.path, log))
    others = app.wsgi_app

    def reviews_first(environ: dict[str, Any], start_response: StartResponse) -> Any:
        """Flask, and requests and responses as objects, would take a third of a review's time."""
        if environ["PATH_INFO"] != _VALIDATE:
            if AT_ONCE in environ:
                raise WouldWait
            return others(environ, start_response)
        try:
            answered = validate(environ)
        except WouldWait:
            raise
        except Exception as error:  # noqa: BLE001 - no client sees a stack trace; the log has it
            return _refusal(error, _VALIDATE, log)(environ, start_response)
        length = str(len(answered))
        start_response("200 OK", [("Content-Type", _JSON), ("Content-Length", length)])
        return (answered,)

    app.wsgi_app = reviews_first  # type: ignore[method-assign] # as Flask's documentation has it
    return app


def seconds(duration: str) -> float | None:
    """A Go duration (``10s``, ``1m30s``, ``1.5s``) in seconds; None when it is none."""
    parts = list(_PART.finditer(duration))
    if not parts or "".join(part[0] for part in parts) != duration:
        return None
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)


@contextmanager
def _room(length: int | None, large: threading.BoundedSemaphore) -> Iterator[None]:
    """Room in memory for a body, before it is read; of unknown length, it may be large."""
    if length is not None and length < LARGE:
        yield
        return
    if not large.acquire(blocking=False):
        raise Busy(f"{_LARGE_AT_ONCE} large reviews are under way")
    try:
        yield
    finally:
        large.release()


def _add_probes(app: Flask, metrics: Metrics, ready: Ready, places: Places) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        if places.stuck():
            return _text("every review is stuck", 503)
        return _text("ok", 200)

    @app.get("/readyz")
    def readyz() -> Response:
        missing = ready()
        return _text("ok", 200) if missing is None else _text(missing, 503)

    @app.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)


@lru_cache(_REMEMBERED)
def _is_json(content_type: str) -> bool:
    return parse_options_header(content_type)[0].lower() == _JSON


@lru_cache(_REMEMBERED)
def _budget(query: str) -> float:
    """Seconds to answer in: a second less than the client waits, but at least half of it."""
    timeout = Request({"QUERY_STRING": query}).args.get("timeout")
    wanted = DEFAULT_TIMEOUT if timeout is None else seconds(timeout)
    if not wanted:
        raise BadRequest("timeout must be a duration such as 10s")
    waits = min(wanted, MAX_TIMEOUT)
    return max(waits - _MARGIN, waits / 2)


def _refusal(error: Exception, path: str, log: Log) -> Response:
    """Why there is no answer, in a line."""
    if isinstance(error, HTTPException):
        detail, status = error.description or error.name, error.code or 500
    elif isinstance(error, ReviewError):
        detail, status = str(error), error.status
    elif isinstance(error, Busy):
        detail, status = str(error), ServiceUnavailable.code
    else:
        log.error("request failed", path=path, exc_info=error)
        return _text("internal error; the log says more", 500)
    log.warning("request refused", path=path, status=status, detail=detail)
    response = _text(detail, status)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = "1"  # client-go tries again where it stands
    return response


def _text(text: str, status: int) -> Response:
    return Response(text + "\n", status=status, content_type="text/plain; charset=utf-8")
