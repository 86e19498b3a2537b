"""Who a container runs as when the pod does not say: the image's ``User`` on a node.

The text goes through three programs: the CRI server parts it into a number or a name, the
kubelet takes neither for root, and containerd looks a name up in the image's ``/etc/passwd``.
Their number and passwd parsers are Go's, and are ported here to the letter: ``int()`` and
``str.strip()`` read other things. Where versions of containerd differ, the worst counts.

Knows the bytes of ``/etc/passwd``, not how they were found. Does not know the pod.
Source: containerd internal/cri ``getUserFromImage``, pkg/oci ``WithUser``; moby/sys/user
``ParsePasswdFilter``; kubelet ``getImageUser`` and ``verifyRunAsNonRoot``; Go strconv, bufio.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from webhook.errors import LimitExceeded
from webhook.image.facts import User

_INTEGER: Final = re.compile(r"([+-]?)([0-9]+)")
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_UINT64_MAX: Final = 2**64 - 1
_TOO_MANY_DIGITS: Final = 21
"""Digits that no uint64 has."""
_UID_MAX: Final = 2**31 - 1
_UINT32: Final = 2**32 - 1
_LONGEST_LINE: Final = 64 * 1024
"""Bytes at which Go's bufio.Scanner gives up on a line, and containerd on the container."""
_MOST_LINES: Final = 100_000
"""Ours: the 10 MiB that containerd reads could be millions of lines."""

_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Go's unicode.IsSpace; ``str.strip()`` takes U+001C to U+001F as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswdProblem:
    """``/etc/passwd`` is there, but containerd could not use it.

    ``detail`` completes a sentence: ``is a fifo``, ``is larger than 10 MiB``.
    """

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A line of ``/etc/passwd``, its numbers as Go's ``int`` before any truncation."""

    name: str
    uid: int
    gid: int
    written: str
    """The uid field as it stands there."""
    line: int
    """Counted from 1."""


def parse_int(text: str) -> int | None:
    """A decimal integer as Go's ``strconv.ParseInt(text, 10, 64)`` takes it; None: no integer.

    ASCII digits and one sign only. What no int64 holds comes out just beyond its range. Go
    stops reading at the digit that no uint64 holds, so what follows it may be anything.
    """
    match = _INTEGER.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    value = int(digits.lstrip("0")[:_TOO_MANY_DIGITS] or "0")
    if match.end() != len(text) and value <= _UINT64_MAX:
        return None
    return max(-value, _INT64_MIN - 1) if sign == "-" else min(value, _INT64_MAX + 1)


def image_user(declared: str) -> tuple[int | None, str]:
    """Number or name of the config's ``User`` as the CRI server tells the kubelet.

    ``(1000, "")``, ``(None, "app")``, or ``(None, "")``: none, which the kubelet takes for
    root. What follows the first colon is dropped.
    """
    first = declared.partition(":")[0]
    number = parse_int(first)
    if number is None or not _INT64_MIN <= number <= _INT64_MAX:
        return None, first
    return number, ""


def resolve(declared: str, passwd: bytes | PasswdProblem | None) -> User:
    """Who a container of this image runs as, by the worst reading.

    Args:
        declared: the config's ``User``.
        passwd: the merged image's ``/etc/passwd``, links followed; None where there is none.

    Returns:
        ``uid`` and ``root`` are None where no supported containerd would start it. A number
        that is no uid counts as root: fixed versions refuse it, older ones truncate it
        (CVE-2024-40635) or take it for a name (CVE-2026-46680).

    Raises:
        LimitExceeded: ``/etc/passwd`` has more than 100,000 lines.
    """
    first = declared.partition(":")[0]
    number = parse_int(first)
    if number is None:
        return _by_name(declared, first, passwd) if first else _by_default(declared, passwd)
    if 0 <= number <= _UID_MAX:
        return _by_number(declared, number, passwd, f"User {_quoted(declared)} is uid {number}")
    return _user(
        declared,
        uid=0,
        gid=0,
        reason=f"User {_quoted(declared)} is outside 0 to {_UID_MAX}: containerd refuses it or, "
        "before 1.7.32, 2.0.9 and 2.2.4, may run it as root",
    )


def kubelet_refusal(declared: str) -> str | None:
    """Why the kubelet refuses to start it under ``runAsNonRoot: true`` without ``runAsUser``.

    In its own words, less the pod's name; None when it does not refuse.
    """
    number, name = image_user(declared)
    if name:
        return (
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            "cannot verify user is non-root"
        )
    if not number:
        return "container has runAsNonRoot and image will run as root"
    if not 0 < number <= _UID_MAX:
        return (
            f"container has runAsNonRoot and image has an invalid user id ({number}). "
            f"(Must be 1-({_UID_MAX})): must be between 0 and {_UID_MAX}, inclusive"
        )
    return None


def _by_default(declared: str, passwd: bytes | PasswdProblem | None) -> User:
    named = f"User {_quoted(declared)} names nobody" if declared else "the image names no User"
    return _by_number(declared, 0, passwd, f"{named}: the kubelet runs it as root")


def _by_number(declared: str, uid: int, passwd: bytes | PasswdProblem | None, reason: str) -> User:
    """As containerd's ``WithUserID``: the file only adds the gid, and need not be there."""
    found = _find(passwd, lambda entry: entry.uid == uid)
    # CRI-O ignores a file it cannot use: root it stays, whatever the file is.
    if isinstance(found, PasswdProblem) and uid != 0:
        return _would_not_start(declared, f"/etc/passwd {found.detail}")
    gid = found.gid if isinstance(found, _Entry) else 0
    return _user(declared, uid=uid, gid=gid, reason=reason)


def _by_name(declared: str, name: str, passwd: bytes | PasswdProblem | None) -> User:
    """As containerd's ``WithUsername``: the first line of that name decides."""
    found = _find(passwd, lambda entry: entry.name == name)
    if isinstance(found, PasswdProblem):
        return _would_not_start(declared, f"/etc/passwd {found.detail}")
    if found is None:
        where = "is a name, and there is no" if passwd is None else "is not in"
        return _would_not_start(declared, f"User {_quoted(name)} {where} /etc/passwd")
    uid = found.uid & _UINT32
    odd = f", written {_quoted(found.written)}" if found.written != str(uid) else ""
    reason = f"User {_quoted(name)} is uid {uid} in /etc/passwd line {found.line}{odd}"
    return _user(declared, uid=uid, gid=found.gid, reason=reason)


def _user(declared: str, *, uid: int, gid: int, reason: str) -> User:
    # containerd converts both to uint32 unchecked: 4294967296 is 0.
    return User(declared=declared, uid=uid, gid=gid & _UINT32, root=uid == 0, reason=reason)


def _would_not_start(declared: str, why: str) -> User:
    return User(declared=declared, uid=None, gid=None, root=None, reason=f"would not start: {why}")


def _find(
    passwd: bytes | PasswdProblem | None, wanted: Callable[[_Entry], bool]
) -> _Entry | PasswdProblem | None:
    """The first entry that is wanted; a line that Go cannot read spoils the whole file."""
    if not isinstance(passwd, bytes):
        return passwd
    if passwd.count(b"\n") > _MOST_LINES:
        raise LimitExceeded(f"/etc/passwd has more than {_MOST_LINES} lines")
    first = None
    for number, raw in enumerate(io.BytesIO(passwd), 1):
        line = raw.removesuffix(b"\n")
        if len(line) >= _LONGEST_LINE:
            return PasswdProblem(detail=f"has a line ({number}) of 64 KiB or more")
        if first is None and (entry := _entry(line, number)) is not None and wanted(entry):
            first = entry
    return first


def _entry(raw: bytes, number: int) -> _Entry | None:
    """A line as moby/sys/user reads it: what is missing or no number is zero, no comments."""
    line = raw.decode("utf-8", "surrogateescape").strip(_SPACE)
    if not line:
        return None
    name, _, uid, gid = [*line.split(":", 4), "", "", ""][:4]
    return _Entry(name=name, uid=_atoi(uid), gid=_atoi(gid), written=uid, line=number)


def _atoi(text: str) -> int:
    """Go's ``strconv.Atoi`` with its error ignored: 0, or the nearest int64."""
    return min(max(parse_int(text) or 0, _INT64_MIN), _INT64_MAX)


def _quoted(text: str) -> str:
    return json.dumps(text[:100])
