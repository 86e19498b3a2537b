"""Facts as bytes, and back: typed, compressed, sealed, and of one edition of the analysis.

What was not written by this analysis, was changed by anybody, or belongs to another name does not
open: whoever asked is told that nothing is known. It is MessagePack, written and checked by msgspec
by the types of the values themselves, in zlib, behind an HMAC-SHA256.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

import webhook
from webhook.limits import MIB

V = TypeVar("V")

_MOST: Final = 256 * MIB
_SEAL: Final = 32
_LEVEL: Final = 1
_ROOT: Final = Path(webhook.__path__[0])
_SOURCES: Final = (
    *sorted(one for one in (_ROOT / "image").iterdir() if one.is_file()),
    _ROOT / "gather" / "opening.py",
    _ROOT / "gather" / "reading.py",
    _ROOT / "reader" / "messages.py",  # how its processes pack a layer
    _ROOT / "store" / "codec.py",
)


class Codec(Generic[V]):
    """Values of one type to bytes and back.

    ``Codec[Layer](Layer)``; the type is given twice, once for whoever reads and once to run.
    """

    def __init__(self, kind: Any, most: int = _MOST) -> None:
        """Write and read values of a type.

        Args:
            kind: the type, as msgspec takes it: dataclasses, named tuples, tuples of these.
            most: bytes that an entry may inflate to; what is more is not kept.
        """
        self._decoder, self._most = msgspec.msgpack.Decoder(kind), most

    def encode(self, value: V) -> bytes:
        """The value as bytes.

        Raises:
            ValueError: it cannot be written, or is too big to be read again.
        """
        try:
            plain = _encode(value)
        except (TypeError, OverflowError, UnicodeEncodeError) as error:
            raise ValueError(str(error)) from error
        if len(plain) > self._most:
            raise ValueError(f"it has more than {self._most} bytes")
        return zlib.compress(plain, _LEVEL)

    def decode(self, data: bytes) -> V:
        """The value again. Raises ``ValueError`` where these are no bytes of such a value."""
        inflating = zlib.decompressobj()
        try:
            plain = inflating.decompress(data, self._most)
            if not inflating.eof or inflating.unused_data:
                raise ValueError("it is cut off, too big, or followed by something else")
            value: V = self._decoder.decode(plain)
        except (zlib.error, msgspec.DecodeError) as error:
            raise ValueError(str(error)) from error
        return value


class Verbatim:
    """Bytes that are packed already."""

    def encode(self, value: bytes) -> bytes:
        """The same bytes."""
        return value

    def decode(self, data: bytes) -> bytes:
        """The same bytes."""
        return data


def sealed(data: bytes, *, name: str, key: bytes) -> bytes:
    """The bytes behind a proof that whoever has ``key`` wrote them under ``name``.

    With an empty key it is a checksum: it tells damage, and no forger.
    """
    return _proof(data, name, key) + data


def unsealed(data: bytes, *, name: str, key: bytes) -> bytes:
    """The bytes behind the proof. Raises ``ValueError`` where it does not hold."""
    proof, rest = data[:_SEAL], data[_SEAL:]
    if not hmac.compare_digest(proof, _proof(rest, name, key)):
        raise ValueError("its seal is broken")
    return rest


def edition(told: Iterable[object] = (), sources: tuple[Path, ...] = _SOURCES) -> str:
    """The name of what facts are made by: another one for any other analysis, or its limits.

    Args:
        told: what the analysis was told, with a ``repr`` that says all of it.
        sources: the files that facts are made by.
    """
    parts = (_hash(sources), *(repr(one).encode() for one in told))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@cache
def _hash(sources: tuple[Path, ...]) -> bytes:
    """A hash of the very files of the analysis: nobody has to remember to count a version up."""
    running = hashlib.sha256()
    for path in sources:
        running.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return running.digest()


def _proof(data: bytes, name: str, key: bytes) -> bytes:
    running = hmac.new(key, name.encode() + b"\0", "sha256")
    running.update(data)
    return running.digest()


_encode = msgspec.msgpack.Encoder().encode
