"""One kind of object, listed and then watched for as long as the process lives.

The list comes in pages, and of each object only what is asked of it is kept. A watch lasts for
less than a minute at a time, and its socket is given up soon after that: one that is dead, as a
firewall leaves it, is noticed. What the server no longer knows (410, or any error within the
stream) is listed anew; until that is done, what was known before goes on being known.

The client's own ``Watch`` neither times out on a dead socket nor pages, and its informer writes
tracebacks where the API server is away: docs/adr/006-watching.md.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from webhook.cluster.objects import ApiRefused, Document, refused

T = TypeVar("T")

WINDOW = 30
"""Seconds a watch lasts; a quiet one ends after that, and so says that the server is there."""
_SLACK, _CONNECT, _LIST = 10.0, 5.0, 30.0
_PAGE = 500
_LINE = 8 << 20
"""Bytes of one event; etcd takes objects of 1.5 MiB."""
_PAUSES = (0.5, 30.0)
"""Seconds between attempts: at first, and at most."""
_STUCK = 180.0
GONE = 410

Keep = Callable[[Document, T | None], T]
"""What is kept of an object, given what was kept of it before."""

Relisted = Callable[[str], None]
"""Told why a list was had anew: ``start``, ``gone``."""


class Watch(Generic[T]):
    """Objects of one kind by name; cluster-scoped kinds only."""

    def __init__(
        self,
        api: DynamicClient,
        path: str,
        *,
        keep: Keep[T],
        changed: Callable[[], None],
        known: Mapping[str, T] | None = None,
        relisted: Relisted = lambda _why: None,
        report: Callable[[str, str], None] = lambda _word, _text: None,
        window: int = WINDOW,
    ) -> None:
        """Watch ``path``, such as ``/api/v1/namespaces``.

        Args:
            api: the client.
            path: of the collection.
            keep: what to keep of an object.
            changed: called after anything changed.
            known: what was kept before this process began; told to ``keep``, not to others.
            relisted: told of each list.
            report: told once of each new trouble, and when it is over.
            window: seconds.
        """
        self._api, self._path, self._keep, self._changed = api, path, keep, changed
        self._relisted, self._report, self._window = relisted, report, window
        self._before = dict(known or {})
        self._items: dict[str, T] | None = None
        self._lock = threading.Lock()
        self._heard = float("-inf")
        self._beat = time.monotonic()
        self._trouble = ""

    @property
    def items(self) -> Mapping[str, T] | None:
        """What is there, by name; None before the first list is whole."""
        with self._lock:
            return None if self._items is None else dict(self._items)

    def silent(self) -> float:
        """Seconds since the API server was heard of on this; infinite before it ever was."""
        return time.monotonic() - self._heard

    def alive(self) -> bool:
        """Whether the loop still turns, whatever the API server does."""
        return time.monotonic() - self._beat < _STUCK + self._window

    def run(self, stop: threading.Event) -> None:
        """List and watch until ``stop``."""
        version: str | None = None
        failures, why = 0, "start"
        while not stop.is_set():
            self._beat = time.monotonic()
            try:
                if version is None:
                    version = self._list()
                    self._relisted(why)
                    self._settled()
                version = self._follow(version, stop)
                failures = 0
            except ApiRefused as error:
                failures += 1
                if error.status == GONE:
                    version, why = None, "gone"
                    failures = 1
                else:
                    self._troubled(str(error))
                stop.wait(_pause(failures))

    def _list(self) -> str:
        found: dict[str, T] = {}
        page = ""
        while True:
            query = [("limit", str(_PAGE)), *([("continue", page)] if page else [])]
            with self._get(query, _LIST) as response:
                document = _document(response)
            self._word()
            for item in document.get("items") or []:
                name = _name(item)
                found[name] = self._keep(item, self._last(name))
            metadata = document.get("metadata") or {}
            page = metadata.get("continue") or ""
            if not page:
                break
        with self._lock:
            self._items = found
        self._before = {}
        self._changed()
        return str(metadata.get("resourceVersion") or "0")

    def _follow(self, version: str, stop: threading.Event) -> str:
        """One watch; the version to go on from."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(self._window)),
        ]
        with self._get(query, self._window + _SLACK) as response:
            self._word()
            self._settled()
            for line in _lines(response, self._path):
                if stop.is_set():
                    break
                self._beat = time.monotonic()
                version = self._event(line) or version
        self._word()  # it ended in good order
        return version

    def _event(self, event: Document) -> str | None:
        """Take one event in; the version it brings.

        Raises:
            ApiRefused: the server says that it cannot go on; always to be listed anew.
        """
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiRefused(
                f"{self._path}: {item.get('message', 'the watch failed')}", status=GONE
            )
        self._word()
        if kind in {"ADDED", "MODIFIED"}:
            name = _name(item)
            kept = self._keep(item, self._last(name))
            with self._lock:
                assert self._items is not None
                self._items[name] = kept
            self._changed()
        elif kind == "DELETED":
            with self._lock:
                assert self._items is not None
                self._items.pop(_name(item), None)
            self._changed()
        version = (item.get("metadata") or {}).get("resourceVersion")
        return str(version) if version else None

    def _last(self, name: str) -> T | None:
        with self._lock:
            items = self._before if self._items is None else self._items
            return items.get(name)

    def _get(self, query: list[tuple[str, str]], seconds: float) -> Any:
        try:
            return self._api.request(
                "get",
                self._path,
                query_params=query,
                serialize=False,
                _request_timeout=(_CONNECT, seconds),
            )
        except ApiException as error:
            raise refused(self._path, error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _away(self._path, error) from error

    def _word(self) -> None:
        self._heard = time.monotonic()

    def _troubled(self, text: str) -> None:
        if text != self._trouble:
            self._report("watch-error", text)
        self._trouble = text

    def _settled(self) -> None:
        if self._trouble:
            self._report("watch-resumed", self._path)
        self._trouble = ""


def _document(response: Any) -> Document:
    try:
        document = json.loads(response.read())
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _away("list", error) from error
    return document if isinstance(document, dict) else {}


def _lines(response: Any, path: str) -> Iterator[Document]:
    """The events of a stream, one JSON object a line."""
    pending = b""
    try:
        for chunk in response.stream(64 << 10):
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                if line.strip():
                    yield json.loads(line)
            if len(pending) > _LINE:
                raise ApiRefused(f"{path}: an event of more than {_LINE} bytes", status=0)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _away(path, error) from error


def _away(path: str, error: Exception) -> ApiRefused:
    return ApiRefused(f"{path}: {type(error).__name__}: {str(error)[:300]}", status=0)


def _name(item: Document) -> str:
    return str((item.get("metadata") or {}).get("name", ""))


def _pause(failures: int) -> float:
    """Seconds, doubled with each failure, and at random: replicas must not come all at once."""
    first, most = _PAUSES
    longest = min(most, first * float(1 << min(failures - 1, 10)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
