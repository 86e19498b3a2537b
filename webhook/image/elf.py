"""What the first bytes of a program say: ELF or ``#!``, for which machine, by which interpreter.

Read as the kernel's ``binfmt_elf`` and ``binfmt_script`` read them. Program headers that do not
lie in the first ``HEAD`` bytes are not looked for: no linker puts them elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

HEAD: Final = 4096
"""Bytes of a file that are looked at: Go's linker ends the interpreter's name just there."""

MAGIC: Final = b"\x7fELF"
_SMALLEST: Final = 52
"""Bytes of an ELF header of 32 bits."""
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_PT_INTERP: Final = 3
_PATH_MAX: Final = 4096
_BLANK: Final = re.compile(rb"[ \t]")
_SCRIPT_LINE: Final = 256
"""Bytes of a ``#!`` line that the kernel looks at (BINPRM_BUF_SIZE)."""

_MACHINES: Final = {
    (3, 1, "little"): "386",
    (8, 1, "big"): "mips",
    (8, 1, "little"): "mipsle",
    (8, 2, "big"): "mips64",
    (8, 2, "little"): "mips64le",
    (21, 2, "big"): "ppc64",
    (21, 2, "little"): "ppc64le",
    (22, 2, "big"): "s390x",
    (40, 1, "little"): "arm",
    (62, 2, "little"): "amd64",
    (183, 2, "little"): "arm64",
    (243, 2, "little"): "riscv64",
    (258, 2, "little"): "loong64",
}
"""GOARCH by e_machine, class (1: 32 bits, 2: 64) and byte order."""


class Load(NamedTuple):
    """A part of the file (PT_LOAD), and where it comes to lie in memory."""

    offset: int
    address: int
    size: int
    """Bytes in the file."""


class Linking(NamedTuple):
    """Where a program says what its dynamic loader has to bring."""

    table: tuple[int, int]
    """Offset and size in bytes of its dynamic section (PT_DYNAMIC)."""
    entry: str
    """The section's entries, tag and value, as ``struct`` writes them."""
    loads: tuple[Load, ...]


class Elf(NamedTuple):
    """An ELF file's header."""

    machine: str | None
    """GOARCH; None for machines that Kubernetes does not run on."""
    interpreter: tuple[int, int] | None
    """Offset and size in bytes of the interpreter's path; None: it is linked statically."""
    end: int = 0
    """Offset of what follows the program headers; 0 where there are none that could be read."""
    dynamic: bool = False
    """Whether a dynamic loader would start it, which asks for no x bit: it is linked dynamically,
    and has an entry point. Nearly all shared libraries have none."""
    linking: Linking | None = None
    """Of files with an interpreter; None where the program headers do not tell."""


def parse(head: bytes) -> Elf | None:
    """The header in a file's first bytes; None if it is no ELF file."""
    if not head.startswith(MAGIC):
        return None
    if len(head) < _SMALLEST:
        return Elf(None, None)
    width, little = head[4], head[5] == 1
    order = "<" if little else ">"
    (kind,) = Struct(order + "H").unpack_from(head, 18)
    machine = _MACHINES.get((kind, width, "little" if little else "big"))
    wide = width == 2  # noqa: PLR2004
    header = Struct(order + ("24xQQ14xHH" if wide else "24xII10xHH"))
    segment = Struct(order + ("I4xQQ8xQ16x" if wide else "III4xI12x"))
    if len(head) < header.size:
        return Elf(machine, None)
    entry, start, size, count = header.unpack_from(head)
    if not count or size != segment.size:
        return Elf(machine, None)
    end = start + count * size
    whole = max(0, min(end, len(head)) - start) // size * size
    read = list(segment.iter_unpack(head[start : start + whole]))
    kinds = {kind: (offset, length) for kind, offset, _, length in reversed(read)}
    linked = end > len(head) or _PT_INTERP in kinds or _PT_DYNAMIC in kinds
    interpreter, linking = _interpreter(kinds), None
    if interpreter and (table := kinds.get(_PT_DYNAMIC)):
        loads = (Load(*place) for kind, *place in read if kind == _PT_LOAD)
        linking = Linking(table, order + ("QQ" if wide else "II"), tuple(loads))
    return Elf(machine, interpreter, end, linked and entry != 0, linking)


def _interpreter(kinds: Mapping[int, tuple[int, int]]) -> tuple[int, int] | None:
    """Where PT_INTERP lies, if its size is one that the kernel takes."""
    _, size = place = kinds.get(_PT_INTERP, (0, 0))
    return place if 2 <= size <= _PATH_MAX else None  # noqa: PLR2004


def script(head: bytes) -> tuple[bytes, bytes | None] | None:
    """Interpreter and argument of a ``#!`` line; None if there is none the kernel would take."""
    if not head.startswith(b"#!"):
        return None
    line = head[2:_SCRIPT_LINE].partition(b"\n")[0].partition(b"\0")[0].strip(b" \t")
    interpreter, *argument = _BLANK.split(line, maxsplit=1)
    return (interpreter, b"".join(argument).strip(b" \t") or None) if interpreter else None
