"""One kind of object, listed and then watched for as long as the process lives.

The list comes in pages, and of each object only what is asked of it is kept. A watch lasts for
less than a minute at a time, and its socket is given up soon after that: one that is dead, as a
firewall leaves it, is noticed. What the server no longer knows (410, 404, or any error within the
stream) is listed anew; until that is done, what was known before stays known, and grows old.

The client's own ``Watch`` neither times out on a dead socket nor pages, and its informer writes
tracebacks where the API server is away: docs/adr/006-watching.md.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from webhook.cluster.lease import boottime
from webhook.cluster.objects import NOT_FOUND, ApiRefused, Document, refused

T = TypeVar("T")

WINDOW = 30
"""Seconds a watch lasts; a quiet one ends after that, and so says that the server is there."""
_SLACK, _CONNECT, _LIST = 10.0, 5.0, 30.0
"""Seconds: of silence past the window, to connect, and of silence within a list."""
_PAGE = 200
"""Objects: of namespaces with all the annotations they can have, 50 MiB."""
MAX_LINE, MAX_PAGE = 8 << 20, 256 << 20
"""Bytes of one event, and of one page of a list; etcd takes objects of 1.5 MiB."""
_PAUSES = (0.5, 10.0)
"""Seconds between attempts: at first, and at most; reviews wait for it when the server is back."""
_BRIEF = 1.0
_STUCK = 180.0
GONE = 410
_REFUSED = 400

Keep = Callable[[Document, T | None], T]
"""What is kept of an object, given what was kept of it before."""

Relisted = Callable[[str], None]
"""Told why a list was had anew: ``start``, ``gone`` or ``error``."""


class _LostError(ApiRefused):
    """An error within a stream: it cannot be gone on with, whatever its status says."""


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
        slack: float = _SLACK,
        brief: float = _BRIEF,
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
            window: seconds that the server is asked to let a watch last.
            slack: seconds without a word after which a watch is given up, beyond the window.
            brief: seconds: a watch that ended sooner, and brought nothing, is no success.
        """
        self._api, self._path, self._keep, self._changed = api, path, keep, changed
        self._relisted, self._report = relisted, report
        self._window, self._slack, self._brief = window, slack, brief
        self._before = dict(known or {})
        self._items: dict[str, T] | None = None
        self._lock = threading.Lock()
        self._version: str | None = None
        self._heard = float("-inf")
        self._beat = boottime()
        self._trouble: ApiRefused | None = None
        self._brought = False
        self._opened: float | None = None
        """When the watch that is open now was taken."""

    @property
    def items(self) -> Mapping[str, T] | None:
        """What is there, by name; None before the first list is whole."""
        with self._lock:
            return None if self._items is None else dict(self._items)

    def silent(self) -> float:
        """Seconds since ``items`` were what the API server has; infinite before they ever were.

        A watch that it took tells, by its silence, that nothing changed; not so one that it ends
        at once.
        """
        now, opened = boottime(), self._opened
        quiet = opened is not None and now - opened >= self._brief
        return now - (max(self._heard, opened) if quiet and opened is not None else self._heard)

    def alive(self) -> bool:
        """Whether the loop still turns, whatever the API server does."""
        return boottime() - self._beat < _STUCK + self._window

    def trouble(self) -> str | None:
        """What goes wrong now, in the API server's words; None: nothing."""
        return None if (trouble := self._trouble) is None else str(trouble)

    def refused(self) -> bool:
        """Whether the API server is there, and does not let us: no matter of this process."""
        return (trouble := self._trouble) is not None and trouble.status >= _REFUSED

    def run(self, stop: threading.Event) -> None:
        """List and watch until ``stop``."""
        failures, why = 0, "start"
        while not stop.is_set():
            self._beat, self._brought = boottime(), False
            try:
                if self._version is None:
                    self._version = self._list()
                    self._relisted(why)
                if self._follow(self._version, stop):
                    failures = 0
                    continue
            except ApiRefused as error:
                failures = 0 if self._brought else failures
                self._troubled(error)
                if isinstance(error, _LostError) or error.status in {GONE, NOT_FOUND}:
                    self._version = None
                    if self._items is not None:
                        why = "gone" if error.status in {GONE, NOT_FOUND} else "error"
            failures += 1
            stop.wait(_pause(failures))

    def _list(self) -> str:
        """All of it, page by page; the version to watch from.

        Heard of is only what has all pages: the first alone brings what was known up to date no
        more than none does.
        """
        begun, found, page = boottime(), dict[str, T](), ""
        while True:
            self._beat = boottime()
            query = [("limit", str(_PAGE)), *([("continue", page)] if page else [])]
            with self._get(query, _LIST) as response:
                items, version, page = _listed(self._path, response)
            for item in items:
                name = _name(item)
                found[name] = self._keep(item, self._last(name))
            if not page:
                break
        with self._lock:
            changed, self._items = self._items != found, found
        self._before = {}
        self._heard = begun
        if changed:
            self._changed()
        return version

    def _follow(self, version: str, stop: threading.Event) -> bool:
        """One watch, to its end in good order; False where that came at once, with nothing."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(self._window)),
        ]
        begun = boottime()
        with self._get(query, self._window + self._slack) as response, self._open():
            for line in _lines(response, self._path):
                self._beat = boottime()
                self._event(line)
                if stop.is_set():
                    return True
        good = self._brought or boottime() - begun >= min(self._brief, self._window)
        if good:
            self._word()
        return good

    @contextmanager
    def _open(self) -> Iterator[None]:
        self._opened = boottime()
        try:
            yield
        finally:
            opened, self._opened = self._opened, None
            if boottime() - opened >= self._brief:
                self._heard = max(self._heard, opened)

    def _event(self, event: Document) -> None:
        """Take one event in.

        Raises:
            ApiRefused: the server says that it cannot go on, or this is no event.
        """
        kind, item = str(event.get("type")), _mapping(event.get("object"))
        if kind == "ERROR":
            text, code = item.get("message", "the watch failed"), item.get("code")
            status = code if isinstance(code, int) else 0
            raise _LostError(f"{self._path}: {status} {str(text)[:500]}", status=status)
        version = _mapping(item.get("metadata")).get("resourceVersion")
        if kind not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"} or not version:
            raise _LostError(f"{self._path}: an event that is none: {kind[:50]}", status=0)
        name = _name(item)
        if kind in {"ADDED", "MODIFIED"}:
            self._put(name, self._keep(item, self._last(name)))
        elif kind == "DELETED":
            self._drop(name)
        self._version = str(version)
        self._word()

    def _put(self, name: str, kept: T) -> None:
        """Nodes say every few seconds that they are there: that is no change."""
        with self._lock:
            assert self._items is not None
            changed = name not in self._items or self._items[name] != kept
            self._items[name] = kept
        if changed:
            self._changed()

    def _drop(self, name: str) -> None:
        with self._lock:
            assert self._items is not None
            self._items.pop(name, None)
        self._changed()

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
        self._heard, self._brought = boottime(), True
        if self._trouble is not None:
            self._report("watch-resumed", self._path)
        self._trouble = None

    def _troubled(self, error: ApiRefused) -> None:
        """A version that is too old is of every day: nobody needs to be told."""
        if error.status != GONE and str(error) != self.trouble():
            self._report("watch-error", str(error))
        self._trouble = error


def _listed(path: str, response: Any) -> tuple[list[Any], str, str]:
    """A page: its objects, its version, and how to ask for the next (empty: it is the last).

    Raises:
        ApiRefused: it is none. What is no list must not be taken for an empty one.
    """
    try:
        body = response.read(MAX_PAGE + 1)
        document = json.loads(body) if len(body) <= MAX_PAGE else {}
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _away(path, error) from error
    document = _mapping(document)
    items, metadata = document.get("items", ""), _mapping(document.get("metadata"))
    version, page = metadata.get("resourceVersion"), metadata.get("continue") or ""
    if not str(document.get("kind", "")).endswith("List") or not version:
        raise ApiRefused(f"{path}: the answer is no list, or too large a one", status=0)
    whole = isinstance(items, list | None) and all(isinstance(one, dict) for one in items or ())
    if not whole or not isinstance(page, str):
        raise ApiRefused(f"{path}: the list makes no sense", status=0)
    return items or [], str(version), page


def _lines(response: Any, path: str) -> Iterator[Document]:
    """The events of a stream, one JSON object a line."""
    pending: list[bytes] = []
    try:
        for chunk in response.stream(64 << 10):
            first, *rest = chunk.split(b"\n")
            pending.append(first)
            for more in rest:
                line, pending = b"".join(pending), [more]
                if line.strip():
                    yield _mapping(json.loads(line))
            if sum(map(len, pending)) > MAX_LINE:
                raise ApiRefused(f"{path}: an event of more than {MAX_LINE} bytes", status=0)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _away(path, error) from error
    if b"".join(pending).strip():
        raise ApiRefused(f"{path}: the watch ended within an event", status=0)


def _away(path: str, error: Exception) -> ApiRefused:
    return ApiRefused(f"{path}: {type(error).__name__}: {str(error)[:300]}", status=0)


def _name(item: object) -> str:
    return str(_mapping(_mapping(item).get("metadata")).get("name", ""))


def _mapping(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def _pause(failures: int) -> float:
    """Seconds, doubled with each failure, and at random: replicas must not come all at once."""
    first, most = _PAUSES
    longest = min(most, first * float(1 << min(failures - 1, 10)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
