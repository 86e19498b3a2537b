from __future__ import annotations

import http.client
import inspect
import ssl

import pytest
import urllib3.exceptions as u3

from tests.registry.conftest import soon
from webhook.errors import (
    DeadlineExceeded,
    Forbidden,
    ImageUnknown,
    NotFound,
    RateLimited,
    ServerError,
    TlsError,
    Unauthorized,
    Unreachable,
)
from webhook.limits import Deadline
from webhook.registry import failures

ONLY_OF_POOLS = {
    u3.PoolError, u3.RequestError, u3.MaxRetryError, u3.HostChangedError, u3.TimeoutStateError,
    u3.EmptyPoolError, u3.FullPoolError, u3.ClosedPoolError, u3.ProxySchemeUnknown,
    u3.ProxySchemeUnsupported, u3.UnrewindableBodyError,
}  # fmt: skip
"""What urllib3 raises of its pools, retries and redirects: none of them is used here."""


def _kinds(module, root):
    return {one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, root)}


def test_every_exception_of_urllib3_has_a_meaning():
    """A version of urllib3 with a new one fails here, not in production."""
    ours = {one for one in _kinds(u3, Exception) if one.__module__ == u3.__name__}
    ours -= _kinds(u3, Warning) | {u3.HTTPError}

    assert ours - ONLY_OF_POOLS == {kind for kind in failures.EXCEPTIONS if kind in ours}


@pytest.mark.parametrize(
    "kind", sorted(_kinds(http.client, Exception), key=lambda one: one.__name__)
)
def test_every_exception_of_http_client_has_a_meaning(kind):
    assert issubclass(kind, failures.CAUGHT)


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        pytest.param(
            ConnectionResetError(104, "Connection reset by peer"),
            Unreachable,
            "the connection broke (Connection reset by peer)",
            id="reset",
        ),
        pytest.param(TimeoutError("timed out"), Unreachable, "fell silent", id="silence"),
        pytest.param(http.client.BadStatusLine("x"), ServerError, "BadStatusLine", id="no HTTP"),
        pytest.param(
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), TlsError, "handshake failed", id="TLS"
        ),
        pytest.param(u3.ProtocolError("x", OSError()), Unreachable, "ProtocolError", id="urllib3"),
        pytest.param(u3.InvalidHeader("secret"), ServerError, "InvalidHeader", id="a header"),
    ],
)
def test_exception(error, expected, words):
    found = failures.of_exception(error, "registry.example/app:1", soon())

    assert type(found) is expected
    assert found.detail.startswith("registry.example/app:1: ")
    assert words in found.detail
    assert "secret" not in found.detail


def test_after_the_deadline_any_exception_is_the_deadline():
    over = Deadline.after(-1, lambda: 0.0)

    found = failures.of_exception(ConnectionResetError(), "registry.example/app:1", over)

    assert type(found) is DeadlineExceeded


BODY = b'{"errors":[{"code":"DENIED","message":"\\u001b[31m secret"}]}'


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (429, RateLimited),
        (500, ServerError),
        (503, ServerError),
        (418, ServerError),
        (301, ServerError),
    ],
)
def test_status(status, expected):
    """Who answered, what was asked for, and the registry's code; not its message."""
    found = failures.of_status(
        status, {}, BODY, host="registry.example", what="registry.example/team/app:1"
    )

    assert type(found) is expected
    assert isinstance(found, ImageUnknown)
    assert found.detail == f"registry.example/team/app:1: registry.example answers {status} DENIED"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("", None), ("-1", None), ("1e9", None), ("9999999", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)  # fmt: skip
def test_retry_after(header, seconds):
    found = failures.of_status(429, {"Retry-After": header}, b"", host="h", what="w")

    assert isinstance(found, RateLimited)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(BODY, "DENIED", id="code"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"<html>", None, id="no JSON"),
        pytest.param(b"[1]", None, id="another shape"),
        pytest.param(b'{"errors":[]}', None, id="no errors"),
        pytest.param(b'{"errors":{"code":"X"}}', None, id="no list"),
        pytest.param(b'{"errors":[{"code":5}]}', None, id="no text"),
        pytest.param(b'{"errors":[{"code":"A\\u001b[2J"}]}', None, id="control characters"),
        pytest.param(b'{"errors":[{"code":"Bearer abc"}]}', None, id="a credential"),
        pytest.param(b'{"errors":' + b"[" * 60_000, None, id="deep"),
    ],
)
def test_error_code(body, code):
    assert failures.error_code(body) == code
