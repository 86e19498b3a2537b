"""What a failure on the way to a registry means: one error of ``webhook.errors`` for each.

Every message names the registry and what was asked of it, and says what to do. None repeats
what a registry said, but for its own error code (``TOOMANYREQUESTS``): bodies and URLs of
the wild hold tokens, and terminal escapes.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping

import urllib3.exceptions as u3

from webhook.errors import (
    DeadlineExceeded,
    DnsError,
    Forbidden,
    ImageError,
    ImageUnknown,
    NotFound,
    RateLimited,
    ServerError,
    TlsError,
    Unauthorized,
    Unreachable,
)
from webhook.limits import Deadline

ERROR_BODY_BYTES = 64 * 1024
"""So much of an error's body is read."""
TEMPORARY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""The same request may well succeed a little later (go-containerregistry's list)."""
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class NotTlsError(TlsError):
    """The other side does not speak TLS at all: plain http, most likely."""

    remedy = "if the registry is meant to be plain http, say so with --plain-http"


EXCEPTIONS: Mapping[type[Exception], type[ImageUnknown]] = {
    u3.SSLError: TlsError,
    u3.ProxyError: Unreachable,
    u3.NewConnectionError: Unreachable,
    u3.NameResolutionError: DnsError,
    u3.TimeoutError: Unreachable,
    u3.ReadTimeoutError: Unreachable,
    u3.ConnectTimeoutError: Unreachable,
    u3.ProtocolError: Unreachable,
    u3.IncompleteRead: Unreachable,
    u3.InvalidChunkLength: ServerError,
    u3.ResponseNotChunked: ServerError,
    u3.BodyNotHttplibCompatible: ServerError,
    u3.HeaderParsingError: ServerError,
    u3.InvalidHeader: ServerError,
    u3.DecodeError: ServerError,
    u3.ResponseError: ServerError,
    u3.LocationValueError: ServerError,
    u3.LocationParseError: ServerError,
    u3.URLSchemeUnknown: ServerError,
    ssl.SSLError: TlsError,
    socket.gaierror: DnsError,
    http.client.RemoteDisconnected: Unreachable,
    http.client.IncompleteRead: Unreachable,
    http.client.HTTPException: ServerError,
    OSError: Unreachable,
}
"""What is meant by each exception of the libraries below; the nearest base class counts."""

CAUGHT = tuple(EXCEPTIONS)


def of_exception(error: Exception, what: str, deadline: Deadline) -> ImageUnknown:
    """The error that a library's exception means; ``what`` is what was being done."""
    cause = _root(error)
    if deadline.over():
        return DeadlineExceeded(f"{what}: not finished in time")
    if isinstance(cause, ssl.SSLError):
        return _tls(cause, what)
    if isinstance(cause, TimeoutError):
        return Unreachable(f"{what}: the registry fell silent")
    kinds = (EXCEPTIONS.get(base) for base in (*type(cause).__mro__, *type(error).__mro__))
    kind = next(filter(None, kinds))
    if kind is Unreachable:
        return Unreachable(f"{what}: the connection broke ({_plainly(cause)})")
    return kind(f"{what}: the answer is not one a registry should give ({_plainly(cause)})")


def is_temporary(error: ImageError) -> bool:
    """Whether a connection broke that may well hold on the next try."""
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    broken = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, u3.ProtocolError)
    return isinstance(cause, (*broken, http.client.IncompleteRead))


def of_status(
    status: int, headers: Mapping[str, str], body: bytes, *, host: str, what: str
) -> ImageUnknown:
    """The error that a registry's answer means.

    ``host`` is who answered, ``what`` what was asked for: ``registry.example/team/app:1``.
    """
    code = error_code(body)
    said = f"{what}: {host} answers {status}{f' {code}' if code else ''}"
    match status:
        case 401:
            return Unauthorized(said)
        case 403:
            return Forbidden(said)
        case 404:
            return NotFound(said)
        case 429:
            wait = retry_after(headers)
            asked = "" if wait is None else f", to be asked again in {wait:.0f} s"
            return RateLimited(said + asked, retry_after=wait)
    return ServerError(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the Retry-After header; None where it does not say them.

    The header's other form, a date, is not understood: it would need the registry's clock
    to agree with ours.
    """
    text = headers.get("Retry-After", "").strip()
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def wait_asked_for(status: int, headers: Mapping[str, str]) -> float:
    """Seconds to wait at least before the same request may succeed; infinity: it will not.

    Whoever says 429 and not for how long is left alone.
    """
    if status not in TEMPORARY_STATUSES:
        return float("inf")
    asked = retry_after(headers)
    if asked is None:
        return float("inf") if status == 429 else 0.0  # noqa: PLR2004
    return asked


def error_code(body: bytes) -> str | None:
    """The registry's own word (distribution-spec, "Error Codes"), where it gave one."""
    try:
        code = json.loads(body)["errors"][0]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _tls(error: ssl.SSLError, what: str) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(f"{what}: its certificate is not trusted ({error.verify_message})")
    reason = getattr(error, "reason", None) or type(error).__name__
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return NotTlsError(f"{what}: it does not speak TLS")
    return TlsError(f"{what}: the TLS handshake failed ({reason})")


def _root(error: BaseException) -> BaseException:
    """What lies under urllib3's wrapping."""
    while isinstance(error, u3.HTTPError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _plainly(error: BaseException) -> str:
    """The error's kind, and its words only where the operating system wrote them."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
