"""Strategies for layers that do things to each other, honest and hostile ones mixed.

Few names, so that entries meet; many ways to write them; and every entry is drawn with the ones
before it in view, as it takes a target to make a link or a whiteout that does anything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.support import rawtar
from webhook.errors import SlimgateError
from webhook.image.layer import clean
from webhook.image.tar import Reader
from webhook.limits import Limits

_NAMES = (b"a", b"b", b"c")
_ODD_NAMES = (
    b"A",
    b"\xc3\xa4",  # the same letter, composed and not
    b"a\xcc\x88",
    b"\xff",
    b"\\xff",
    b"a\n",
    b"..a",
    b"wh.a",
    b".wh",
    b"n" * 255,
)
_MODES = (0o755, 0o644, 0o700, 0o4755, 0o2755, 0o6711, 0o1777, 0o000, 0o7777)
_OWNERS = (0, 1000, 65534, (1 << 31) - 1, (1 << 32) - 2)
_BODIES = (b"", b"x", b"#!/bin/sh\n", b"\x7fELF" + bytes(60))
_SPELLINGS = (
    b"./%s",
    b"/%s",
    b"../%s",
    b"../../%s",
    b"x/../%s",
    b"a/../%s",
    b"%s/",
    b".//%s",
    b"%s/.",
    b"%s//",
)
_TARGETS = (
    b"%s",
    b"/%s",
    b"/%s",
    b"../%s",
    b"../../%s",
    b"./%s/.",
    b"..%.0s",
    b".%.0s",
    b"/%s/..",
)
"""How a symbolic link may spell where it leads."""
_DEVICES = ((0, 0), (1, 3), (0x1000, 0), (0, 0x100000), (0x1000, 1), (0, 1 << 8))
_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
_BAD_WHITEOUTS = (b".wh.", b".wh..", b".wh...")
_NEAR_WHITEOUTS = (b".wh..wh.plnk", b".wh..wh..opqX", b".wh..opq", b".wh..a")
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""VFS_CAP_REVISION_2, effective: net_bind_service."""


class _Image:
    """What the layers had so far, links not followed: most entries are to fit the others."""

    def __init__(self) -> None:
        self.below: list[bytes] = []
        """Paths of the layers before."""
        self.here: dict[bytes, bool] = {}
        """Paths of this one, and whether they can have others below them."""
        self.gone: set[bytes] = set()
        """Those that it deletes."""

    @property
    def known(self) -> list[bytes]:
        return self.below + list(self.here)

    @property
    def files(self) -> list[bytes]:
        return [path for path, holds in self.here.items() if not holds]

    def next(self) -> None:
        self.below += [path for path in self.here if path not in self.below]
        self.here, self.gone = {}, set()

    def fitting(self, path: bytes) -> bytes:
        """The path, or what of it lies in no file and no whiteout of this layer."""
        names = path.split(b"/")
        for end in range(1, len(names)):
            above = b"/".join(names[:end])
            if above in self.gone or not self.here.get(above, True):
                return above
        return path

    def add(self, path: bytes, *, holds: bool) -> None:
        self.gone.discard(path)
        if not holds:
            self.here = {
                each: kind for each, kind in self.here.items() if not each.startswith(path + b"/")
            }
        self.here[path] = holds
        while path := path.rpartition(b"/")[0]:
            self.here.setdefault(path, True)


class Tars(list[bytes]):
    """An image's layers; shows what they hold when hypothesis has found a difference."""

    def __repr__(self) -> str:
        return "".join(f"\n  layer {index}: {list(_shown(tar))}" for index, tar in enumerate(self))


def _shown(tar: bytes):
    try:
        for header in Reader([tar], Limits()):
            device = (header.major, header.minor)
            owner = (oct(header.mode), header.uid, header.gid)
            yield (header.type, header.name, header.link, *owner, device)
    except SlimgateError as error:
        yield error


@st.composite
def images(draw: st.DrawFn, *, layers: int = 5, entries: int = 8) -> Tars:
    """The tars of one to five layers, oldest first.

    Hypothesis draws one number for each entry, and takes entries and layers away where it has
    found a difference; what an entry is comes from its number alone, which is ten times as fast.
    """
    numbers = st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=entries)
    return _built(draw(st.lists(numbers, min_size=1, max_size=layers)))


def _built(numbers: list[list[int]]) -> Tars:
    image = _Image()
    tars = Tars()
    for layer in numbers:
        tars.append(b"".join(_entry(Random(number), image) for number in layer) + rawtar.END)
        image.next()
    return tars


def _rarely(dice: Random, one_in: int) -> bool:
    return dice.randrange(one_in) == 0


def _name(dice: Random) -> bytes:
    return dice.choice(_ODD_NAMES if _rarely(dice, 20) else _NAMES)


def _path(dice: Random, image: _Image) -> bytes:
    """A new one, one that was there before, or one below such a one."""
    known = image.known
    choice = dice.randint(0, 9)
    if known and choice >= 4:
        path = dice.choice(known)
        path = path if choice >= 7 else path + b"/" + _name(dice)
    elif choice == 3 and _rarely(dice, 8):
        path = b"/".join([_name(dice)] * dice.randint(8, 60))
    else:
        path = b"/".join(_name(dice) for _ in range(dice.randint(1, 3)))
    return path if _rarely(dice, 40) else image.fitting(path)


def _target(dice: Random, image: _Image) -> bytes:
    """Where a symbolic link leads: a path of any kind, mostly one that is there."""
    path = _path(dice, image)
    return dice.choice(_TARGETS) % path


def _link(dice: Random, image: _Image, path: bytes) -> bytes:
    """A target for the link ``path``: rarely itself or something below it, as that is a loop."""
    target = _target(dice, image)
    if (clean(target) + b"/").startswith(path + b"/") and not _rarely(dice, 10):
        return b"../" * (path.count(b"/") + 1) + _name(dice) + b"/" + _name(dice)
    return target


def _entry(dice: Random, image: _Image) -> bytes:
    return dice.choice(_MAKERS)(dice, image)


def _file(dice: Random, image: _Image) -> bytes:
    kind = dice.choice((b"0", b"0", b"0", b"\0"))
    return _leaf(dice, image, _path(dice, image), kind, body=dice.choice(_BODIES))


def _symlink(dice: Random, image: _Image) -> bytes:
    path = _path(dice, image)
    return _leaf(dice, image, path, b"2", link=_link(dice, image, path))


def _fifo(dice: Random, image: _Image) -> bytes:
    return _leaf(dice, image, _path(dice, image), b"6")


def _device(dice: Random, image: _Image) -> bytes:
    kind = dice.choice((b"3", b"3", b"4"))
    return _leaf(dice, image, _path(dice, image), kind, device=dice.choice(_DEVICES))


def _leaf(dice: Random, image: _Image, path: bytes, kind: bytes, **more: Any) -> bytes:
    """No folder; rarely in the place of one of the same layer, as that mostly breaks it."""
    if image.here.get(path) and not _rarely(dice, 6):
        return _member(dice, path, b"5")
    image.add(path, holds=kind == b"2")
    return _member(dice, path, kind, **more)


def _directory(dice: Random, image: _Image) -> bytes:
    path = _path(dice, image)
    image.add(path, holds=True)
    return _member(dice, path, b"5")


def _global(dice: Random, image: _Image) -> bytes:
    return rawtar.pax((b"comment", b"x"), kind=b"g")


def _opaque(dice: Random, image: _Image) -> bytes:
    return _member(dice, (_folder(dice, image) + b"/" + _OPAQUE).lstrip(b"/"))


def _hardlink(dice: Random, image: _Image) -> bytes:
    """Mostly to a file of the same layer, which is what works."""
    if not image.files and not _rarely(dice, 10):
        return _file(dice, image)
    path = _path(dice, image)
    targets = [each for each in image.files if not _on_one_way(each, path)]
    target = _path(dice, image) if not targets or _rarely(dice, 30) else dice.choice(targets)
    if _rarely(dice, 4):
        target = dice.choice((b"/%s", b"./%s", b"../%s", b"a/../%s")) % target
    image.add(path, holds=False)
    return _member(dice, path, b"1", link=target)


def _on_one_way(one: bytes, other: bytes) -> bool:
    return (one + b"/").startswith(other + b"/") or other.startswith(one + b"/")


def _folder(dice: Random, image: _Image) -> bytes:
    """Where something may lie: a folder that is named, or that was on the way."""
    known = [path for path in image.known if image.fitting(path + b"/x") == path + b"/x"]
    path = dice.choice(known) if known else _name(dice)
    return path.rpartition(b"/")[0] if _rarely(dice, 2) else path


def _whiteout(dice: Random, image: _Image) -> bytes:
    """Mostly of something that a layer below has, and this one has not."""
    known = [path for path in image.below if path not in image.here and path not in image.gone]
    path = image.fitting(dice.choice(known) if known else _name(dice))
    if (path in image.here or path in image.gone) and not _rarely(dice, 10):
        path = path.rpartition(b"/")[0] + b"/z"
    path = path.lstrip(b"/")
    image.gone.add(path)
    folder, slash, name = path.rpartition(b"/")
    kind = dice.choice((b"0", b"0", b"0", b"0", b"5", b"2", b"1", b"3"))
    link = _target(dice, image) if kind in {b"1", b"2"} else b""
    return _member(dice, folder + slash + _WHITEOUT + name, kind, link=link)


def _odd_whiteout(dice: Random, image: _Image) -> bytes:
    """Names that look like whiteouts, or are ones that nobody may write."""
    path = _path(dice, image)
    choice = dice.randint(0, 9)
    if choice == 0:
        return _member(dice, path + b"/" + dice.choice(_BAD_WHITEOUTS))
    if choice == 1:
        return _member(dice, dice.choice((b".", b"./", b"/", b"..", _OPAQUE)), b"5")
    if choice == 2:
        return _member(dice, _WHITEOUT + path + b"/" + _name(dice))
    return _member(dice, path + b"/" + dice.choice(_NEAR_WHITEOUTS))


def _member(
    dice: Random,
    name: bytes,
    kind: bytes = b"0",
    *,
    device: tuple[int, int] = (0, 0),
    link: bytes = b"",
    body: bytes = b"",
) -> bytes:
    if _rarely(dice, 10):
        name = dice.choice(_SPELLINGS) % name
    records = [(b"path", name)] if len(name) > 100 else []
    records += [(b"linkpath", link)] if len(link) > 100 else []
    if kind in {b"0", b"1"} and _rarely(dice, 20):
        records.append((b"SCHILY.xattr.security.capability", _CAPABILITY))
    return (rawtar.pax(*records) if records else b"") + rawtar.member(
        name[:100],
        body,
        kind=kind,
        mode=b"%07o\0" % dice.choice(_MODES[: dice.choice((1, 2, len(_MODES)))]),
        uid=_number(dice.choice(_OWNERS[: dice.choice((1, 1, len(_OWNERS)))])),
        gid=_number(dice.choice(_OWNERS[: dice.choice((1, 1, len(_OWNERS)))])),
        link=link[:100],
        at_329=b"%07o\0%07o\0" % device,
    )


def _number(value: int) -> bytes:
    """Octal, or base-256 where it does not fit."""
    if value < 1 << 21:
        return b"%07o\0" % value
    return bytes([0x80]) + value.to_bytes(7, "big")


_MAKERS: tuple[Callable[[Random, _Image], bytes], ...] = (
    *(_file,) * 6,
    *(_directory,) * 5,
    *(_symlink,) * 5,
    *(_hardlink,) * 4,
    *(_whiteout,) * 4,
    *(_opaque,) * 2,
    _device,
    _fifo,
    _odd_whiteout,
    _global,
)
