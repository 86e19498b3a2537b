"""Shared libraries that a program needs, and whether the image has files of their names.

What glibc's and musl's dynamic loaders read: PT_DYNAMIC, and the strings that it points to. A
loader looks in many folders, and the image does not tell all of them: a library is missing only
where no file or link of the whole image has its name. Where anything is unusual, nothing is known.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from struct import Struct
from typing import Final, NamedTuple

from webhook.image.elf import Linking, Load
from webhook.limits import KIB, MIB

_MAX_TABLE: Final = 16 * KIB
"""Bytes of a dynamic section that are read; honest ones have some hundred."""
_MAX_STRINGS: Final = 8 * MIB
"""Bytes from a file's beginning that are looked at: linkers put the strings there. Node.js has them
at 2 MiB."""
_MOST: Final = 4096
"""Bytes of all names, and of all run paths, of one program."""
_VERSIONS: Final = 4
"""Numbers behind a library's name, parted by dots, that are looked at."""

_NULL, _NEEDED, _STRTAB, _STRSZ, _RPATH, _RUNPATH = 0, 1, 5, 10, 15, 29
_AUDIT: Final = frozenset((0x6FFFFEFB, 0x6FFFFEFC))
"""DT_DEPAUDIT and DT_AUDIT name libraries that decide where the others are."""

_GLIBC: Final = re.compile(rb"ld(?:64)?\.so\.[0-9]+|ld-linux[\w.-]*\.so\.[0-9]+")
_MUSL: Final = re.compile(rb"ld-musl-[\w.-]+\.so\.1")
_SETTINGS: Final = re.compile(rb"ld\.so\.preload|ld-musl-[\w.-]+\.path")
"""Files that tell a loader of further libraries and folders."""
_LOADER: Final = re.compile(rb"ld(?:64)?\.so\.|ld-|linux-(?:vdso|gate)\.so\.")
"""What stands for the loader itself, or for the kernel."""
_MUSL_ITSELF: Final = re.compile(rb"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
"""musl, ldso/dynlink.c, load_library: its loader is all of these."""
_BROUGHT: Final = re.compile(
    rb"lib(?:cuda|cudadebugger|cudla|nvcuvid|nvoptix|dxcore|GL|EGL|GLESv1_CM|GLESv2|OpenCL)\.so"
)
"""What NVIDIA's runtime mounts into containers, beside what has nvidia in its name
(libnvidia-container, src/nvc_info.c)."""


class Needed(NamedTuple):
    """What a program asks its dynamic loader for; small, for a layer may hold very many."""

    names: bytes
    """DT_NEEDED, in its order, parted by NUL."""
    run_path: bytes = b""
    """DT_RPATH and DT_RUNPATH: folders, parted by colons."""


Part = tuple[int, int]
"""Of a file: offset and size in bytes."""


def parts(linking: Linking) -> tuple[Part, Part]:
    """What ``needed`` wants of the file: the dynamic section, and where its strings may be."""
    at, size = linking.table
    end = linking.loads[0].offset + linking.loads[0].size if linking.loads else 0
    return (at, min(size, _MAX_TABLE)), (0, min(end, _MAX_STRINGS))


def needed(linking: Linking, table: bytes | bytearray, first: bytes | bytearray) -> Needed | None:
    """What the dynamic section asks for; None where it cannot be read, or not all of it.

    Args:
        linking: what the program headers say.
        table: the first of its ``parts``.
        first: the second one.
    """
    tags = _tags(linking, table)
    if tags is None or not tags[_NEEDED] or tags.keys() & _AUDIT:
        return None
    strings = _strings(linking.loads, tags[_STRTAB], tags[_STRSZ])
    names = _joined(b"\0", first, strings, tags[_NEEDED])
    run_path = _joined(b":", first, strings, (*tags[_RPATH], *tags[_RUNPATH]))
    return None if names is None or run_path is None else Needed(names, run_path)


def _tags(linking: Linking, table: bytes | bytearray) -> defaultdict[int, list[int]] | None:
    """Values by tag; None where the section does not end within its bytes."""
    entry = Struct(linking.entry)
    tags: defaultdict[int, list[int]] = defaultdict(list)
    for tag, value in entry.iter_unpack(table[: len(table) // entry.size * entry.size]):
        if tag == _NULL:
            return tags
        tags[tag].append(value)
    return None


def _strings(loads: Iterable[Load], addresses: list[int], sizes: list[int]) -> range:
    """Where in the file the string table lies; nowhere, if that is not clear."""
    if len(addresses) == len(sizes) == 1:
        for load in loads:
            at = addresses[0] - load.address
            if 0 <= at < load.size:
                start = load.offset + at
                return range(start, start + min(sizes[0], load.size - at))
    return range(0)


def _joined(
    by: bytes, first: bytes | bytearray, strings: range, places: Iterable[int]
) -> bytes | None:
    """The strings at these places; None where one does not end, or all are more than ``_MOST``."""
    joined: list[bytes] = []
    left = _MOST
    for place in places:
        at = strings.start + place
        end = first.find(b"\0", at, min(at + left, strings.stop))
        if end < 0:
            return None
        left -= end + 1 - at
        joined.append(bytes(first[at:end]))
    return by.join(joined)


def for_loaders(path: bytes) -> bool:
    """Whether loaders may ask for the file by its base name, or be told by it where to look."""
    return path.find(b".so") >= 0 or path.find(b"ld-musl-") >= 0  # twice as fast as ``in``


class Present:
    """The libraries of an image, by the names of its files and links."""

    def __init__(self, names: Iterable[bytes]) -> None:
        """``names`` are base names of all that is ``for_loaders``; more do no harm."""
        self._names = set(names)
        self._musl = any(map(_MUSL.fullmatch, self._names))
        self._told = any(map(_SETTINGS.fullmatch, self._names))
        self._names.update(chain.from_iterable(map(_shorter, tuple(self._names))))

    def lacks(self, interpreter: bytes, wanted: Needed) -> bytes | None:
        """The first library of which there is certainly no file; None where that cannot be said."""
        loader = interpreter.rpartition(b"/")[2]
        if self._told or not (_GLIBC.fullmatch(loader) or _MUSL.fullmatch(loader)):
            return None
        lacking = (name for name in wanted.names.split(b"\0") if name not in self._names)
        return next((name for name in lacking if self._looked_for(name)), None)

    def _looked_for(self, name: bytes) -> bool:
        """Whether a loader would look for a file of this name, and the image has to bring it."""
        served = _LOADER.match(name) or (self._musl and _MUSL_ITSELF.match(name))
        brought = _BROUGHT.match(name) or b"nvidia" in name
        return b".so" in name and b"/" not in name and not served and not brought


def _shorter(name: bytes) -> Iterator[bytes]:
    """``libz.so.1``, ``libz.so`` of ``libz.so.1.3``: ldconfig's cache may lead from them to it."""
    for _ in range(_VERSIONS):
        name, _, version = name.rpartition(b".")
        if not version.isdigit():
            return
        yield name
