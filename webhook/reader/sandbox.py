"""What a process that reads a layer has no use for is taken from it, as far as the kernel can.

It has its memory, the pipe and the connection of its job. A fault in a decompressor that lets a
layer run its own code in there gets no file, no socket and no other program.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_MODE_FILTER: Final = 2
_TRIAL: Final = 64 << 20
_FILES: Final = 64
"""Descriptors: there are some from before."""


class _Machine(NamedTuple):
    audit: int
    """``AUDIT_ARCH_…`` of linux/audit.h."""
    denied: dict[str, int]
    """Numbers of system calls, by the kernel's tables."""


_NAMES: Final = (
    *("open", "openat", "openat2", "open_by_handle_at", "creat"),
    *("socket", "socketpair", "connect", "execve", "execveat", "kill", "tkill", "tgkill"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd"),
    *("pidfd_send_signal",),
    *("mount", "unshare", "setns", "bpf", "io_uring_setup", "perf_event_open", "userfaultfd"),
    *("unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "chmod"),
    *("fchmodat", "link", "linkat", "symlink", "symlinkat", "truncate", "keyctl", "add_key"),
)
_X86_64: Final = (
    *(2, 257, 437, 304, 85),
    *(41, 53, 42, 59, 322, 62, 200, 234),
    *(101, 310, 311, 434, 438),
    *(424,),
    *(165, 272, 308, 321, 425, 298, 323),
    *(87, 263, 82, 264, 316, 83, 258, 90),
    *(268, 86, 265, 88, 266, 76, 250, 248),
)
_AARCH64: Final = (
    *(-1, 56, 437, 265, -1),
    *(198, 199, 203, 221, 281, 129, 130, 131),
    *(117, 270, 271, 434, 438),
    *(424,),
    *(40, 97, 268, 280, 425, 241, 282),
    *(-1, 35, -1, 38, 276, -1, 34, -1),
    *(53, -1, 37, -1, 36, 45, 219, 217),
)
"""-1: this machine has it under other names only."""


def _numbers(numbers: tuple[int, ...]) -> dict[str, int]:
    return {name: n for name, n in zip(_NAMES, numbers, strict=True) if n >= 0}


MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, _numbers(_X86_64)),
    "aarch64": _Machine(0xC00000B7, _numbers(_AARCH64)),
}


def confine(*, memory: int, seconds: int) -> str | None:
    """Confine this process for good; returns what could not be done, or None.

    Args:
        memory: bytes of private memory besides what it has now, beyond which an allocation fails.
        seconds: of CPU, after which the kernel ends it.
    """
    memory += _data()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return f"prctl: {os.strerror(ctypes.get_errno())}"
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return f"no system call filter for {platform.machine()}"
    program = _filter(machine)
    code = ctypes.create_string_buffer(program)
    length = len(program) // _INSTRUCTION.size
    filtering = _Program(length, ctypes.cast(code, ctypes.c_void_p))
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filtering), 0, 0):
        return f"seccomp: {os.strerror(ctypes.get_errno())}"
    return None


def confinable() -> str | None:
    """Why a process cannot be confined here as it should; None where it can. Tried in a child."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(tell, (confine(memory=_TRIAL, seconds=1) or "").encode())
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said or None


def _data() -> int:
    """Bytes of private memory that this process has: proc_pid_statm(5)."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()


class _Program(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_INSTRUCTION: Final = struct.Struct("=HBBI")
"""``struct sock_filter``: code, jump if true, jump if false, operand."""
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_KILL, _ALLOW, _DENY = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE = 0, 4
"""Offsets in ``struct seccomp_data``."""
_X32: Final = 0x40000000
"""From here on, x86_64 knows the same calls by other numbers."""


def _filter(machine: _Machine) -> bytes:
    """Deny those calls with EPERM; end a process that speaks for another architecture."""
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in sorted(machine.denied.values()):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*each) for each in code)
