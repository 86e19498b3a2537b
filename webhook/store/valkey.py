"""A shelf that several replicas share: Valkey, or Redis, by its own protocol.

A server that is not there, or says no, is a miss: it is asked again after some seconds, and costs
nothing until then. What it holds is believed only by its seal (``webhook.store.codec``); how long,
and how much, is its own affair (``maxmemory``, ``maxmemory-policy allkeys-lru``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection
from redis.retry import Retry

from webhook.limits import MIB
from webhook.store.shelf import Rest, Shelf, Watch, kind_of

T = TypeVar("T")

_PREFIX: Final = "slimgate:"
_DAYS: Final = 14 * 86_400
"""Seconds after which what nobody asked for is gone: old editions', too."""
_MOST: Final = 16 * MIB
"""Bytes of an entry; a bigger one would keep the server from answering others."""
_REST: Final = 5.0
"""Seconds without an attempt, where nobody answers."""

_PUT: Final = """
if ARGV[3] ~= '' and (redis.call('GET', KEYS[2]) or '0') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is, and how to speak to it."""

    host: str
    port: int = 6379
    tls: bool = False
    ca_file: Path | None = None
    """PEM; None: the system's. Its certificate must be of ``host``."""
    username: str = ""
    password: str = field(default="", repr=False)
    timeout: float
    """Seconds for a connection, and for each answer."""


class Valkey(Shelf):
    """What replicas share; safe for threads."""

    def __init__(self, server: Server, *, watch: Watch, clock: Callable[[], float]) -> None:
        """Connect when first asked.

        Args:
            server: where it is.
            watch: is told what goes wrong.
            clock: monotonic seconds.
        """
        self._where = f"{server.host}:{server.port}"
        self._watch, self._rest = watch, Rest(_REST, clock)
        self._redis = Redis(
            host=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            ssl=server.tls,
            ssl_ca_certs=None if server.ca_file is None else str(server.ca_file),
            socket_connect_timeout=server.timeout,
            socket_timeout=server.timeout,
            # A connection that the server closed meanwhile is made once more; no more than that.
            retry=Retry(NoBackoff(), 1, (NoConnection,)),
            protocol=2,
            driver_info=None,
        )

    def get(self, name: str) -> bytes | None:
        """As ``Shelf.get``; what is asked for is kept for longer."""

        def read(redis: Redis) -> bytes | None:
            with redis.pipeline(transaction=False) as both:
                # Not all of what anybody may have put there.
                both.getrange(_PREFIX + name, 0, _MOST)
                both.expire(_PREFIX + name, _DAYS)  # which a server that may only read refuses
                data, _ = both.execute(raise_on_error=False)
            if isinstance(data, RedisError):
                raise data
            return cast("bytes", data) or None

        return self._ask(read, None)

    def put(self, name: str, data: bytes, generation: int | None = None) -> None:
        """As ``Shelf.put``."""
        if len(data) > _MOST:
            return
        keys = _PREFIX + name, _generations(kind_of(name))
        since = "" if generation is None else str(generation)
        self._ask(lambda redis: redis.eval(_PUT, 2, *keys, cast("str", data), _DAYS, since), None)

    def generation(self, kind: str) -> int:
        """As ``Shelf.generation``."""
        return self._ask(lambda redis: int(cast("Any", redis.get(_generations(kind))) or 0), 0)

    def forget(self, name: str) -> None:
        """As ``Shelf.forget``."""

        def remove(redis: Redis) -> None:
            with redis.pipeline(transaction=True) as both:
                both.delete(_PREFIX + name)
                both.incr(_generations(kind_of(name)))
                both.execute()

        self._ask(remove, None)

    def claim(self, name: str, holder: str, seconds: float) -> bool:
        """As ``Shelf.claim``."""
        return self._ask(
            lambda redis: bool(redis.set(_PREFIX + name, holder, nx=True, px=_ms(seconds))),
            otherwise=True,
        )

    def renew(self, name: str, holder: str, seconds: float) -> None:
        """As ``Shelf.renew``."""
        self._ask(lambda redis: redis.eval(_RENEW, 1, _PREFIX + name, holder, _ms(seconds)), None)

    def release(self, name: str, holder: str) -> None:
        """As ``Shelf.release``."""
        self._ask(lambda redis: redis.eval(_RELEASE, 1, _PREFIX + name, holder), None)

    def close(self) -> None:
        """As ``Shelf.close``."""
        self._redis.close()

    def _ask(self, question: Callable[[Redis], T], otherwise: T) -> T:
        """The server's answer, or ``otherwise`` where there is none."""
        if not self._rest.over():
            return otherwise
        try:
            answer = question(self._redis)
        except (RedisError, OSError, ValueError) as error:
            self._troubled(error)
            return otherwise
        self._rest.end()
        return answer

    def _troubled(self, error: Exception) -> None:
        if isinstance(error, ResponseError | ValueError):  # it is there, and answers
            self._rest.end()
            self._watch.trouble("refused", f"{self._where}: {error}")
            return
        self._rest.begin()
        refused = isinstance(error, AuthenticationError)
        self._watch.trouble("refused" if refused else "unreachable", f"{self._where}: {error}")


def _generations(kind: str) -> str:
    return f"{_PREFIX}generations/{kind}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
