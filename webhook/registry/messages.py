"""What is sent, and what comes back: a Request is a value, a Response is still to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from urllib3 import HTTPResponse

from webhook.errors import ImageError, LimitExceeded
from webhook.limits import Deadline
from webhook.registry import failures
from webhook.registry.connection import Endpoint

CHUNK_BYTES = 256 * 1024
REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be sent."""

    url: str
    what: str
    """For messages: ``registry.example/team/app:1``."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """All but ``Accept`` are dropped when a redirect leads to another host or scheme."""
    body: bytes | None = field(default=None, repr=False)
    whose: str = ""
    """Whose credentials it has: ``Secret team/regcred``; empty: it has none."""
    redirects: int = REDIRECTS


class Response:
    """An answer whose body is still to be read. Close it, or use it in a ``with`` block."""

    def __init__(
        self, raw: HTTPResponse, endpoint: Endpoint, what: str, deadline: Deadline,
        done: Callable[[bool], None],
    ) -> None:  # fmt: skip
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.endpoint = endpoint
        self.elsewhere = False
        """Whether a redirect led to another host or scheme: this is not who was asked."""
        self._raw, self._what, self._deadline, self._done = raw, what, deadline, done
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self, *, reusable: bool = False) -> None:
        """Give the connection back, or close it if there may be bytes left on it."""
        if self._open:
            self._open = False
            self._done(reusable)

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes, undecoded, in pieces of at most ``CHUNK_BYTES``."""
        try:
            for chunk in self._raw.stream(CHUNK_BYTES, decode_content=False):
                if self._deadline.over():
                    raise TimeoutError
                yield chunk
        except failures.CAUGHT as error:
            raise failures.of_exception(error, self._what, self._deadline) from error
        else:
            self.close(reusable=True)
        finally:
            self.close()

    def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            LimitExceeded: it has more than ``limit`` bytes.
        """
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                self.close()
                raise LimitExceeded(f"{self._what}: the answer has more than {limit} bytes")
        return bytes(body)

    def error(self) -> ImageError:
        """The error that this status means; reads the body."""
        try:
            body = self.read(failures.ERROR_BODY_BYTES)
        except ImageError:  # the status says enough
            body = b""
        return failures.of_status(
            self.status, self.headers, body, host=self.endpoint.name, what=self._what
        )
