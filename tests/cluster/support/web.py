"""HTTP requests of the tests' own, answered or refused: an error status is an answer here."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Status and body of a response."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    trust: ssl.SSLContext | None = None,
    seconds: float = 30.0,
) -> Answer:
    """Send one request on a connection of its own; raises ``OSError`` where nobody answers."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=seconds, context=trust)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def answers(url: str, *, trust: ssl.SSLContext | None = None, status: int = 200) -> bool:
    """Whether a GET of the address is answered with that status."""
    try:
        return request("GET", url, trust=trust, seconds=5).status == status
    except OSError:
        return False
