"""Programs that know credentials: run with a bound on what they say and how long they take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

OUTPUT_BYTES = 64 << 10


def run(
    command: Sequence[str], text: bytes, seconds: float, environ: Mapping[str, str] | None = None
) -> tuple[int | None, bytes]:
    """Exit status and output, both bounded; the status is None where the program is missing.

    It is negative for one that was ended because it took longer than ``seconds``, or said more
    than ``OUTPUT_BYTES``. ``environ`` is the program's whole environment; None: ours.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - named by whoever configured slimgate
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environ,
        )
    except OSError:
        return None, b""
    # Its children may hold the pipe open, so the whole group has to go.
    timer = threading.Timer(seconds, _kill, [process])
    timer.start()
    assert process.stdin
    assert process.stdout
    with process.stdout, process:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text)
            process.stdin.close()
        output = process.stdout.read(OUTPUT_BYTES + 1)
        too_much = len(output) > OUTPUT_BYTES
        if too_much:
            _kill(process)
        process.wait()
        timer.cancel()
    # What one says too much may fit into the pipe: then it has ended well before it is killed.
    return -signal.SIGKILL if too_much else process.returncode, output


def ending(status: int | None, where: str) -> str:
    """How it ended, for messages; ``where`` it should have been: ``on the PATH``."""
    match status:
        case None:
            return f"there is no such program {where}"
        case 0:
            return "its answer is not what the protocol says"
        case int() if status < 0:
            return "it took too long or said too much"
    return f"exit status {status}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
