"""wrk, the load generator: how it is run, and what it prints as a value."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    requests: int
    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds."""
    p99: float


def there(figure: str) -> bool:
    """Whether there is a wrk; else it is said that the figure is left out."""
    if shutil.which("wrk") is not None:
        return True
    print(f"\n{figure}: skipped, there is no wrk (Debian: apt-get install wrk)")
    return False


def load(
    url: str, script: Path, connections: int, seconds: int, *, before: Sequence[str] = ()
) -> Load:
    """Put load on ``url`` as ``script`` says, which prints a line with "not" for a wrong answer.

    Args:
        url: with its query.
        script: Lua.
        connections: kept alive, one request at a time on each.
        seconds: how long.
        before: words before the command: ``taskset``.

    Raises:
        AssertionError: an answer was wrong, or did not come.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "15s"]
    done = subprocess.run(  # noqa: S603 - ours
        [*before, *command, "-s", str(script), url], check=True, capture_output=True, text=True
    )
    said = done.stdout
    count, rate = re.search(r"([0-9]+) requests in", said), re.search(r"Requests/sec: +(\S+)", said)
    if not (count and rate) or re.search("not allowed|not created|Non-2xx|Socket errors", said):
        raise AssertionError(said[:2000])
    return Load(int(count[1]), float(rate[1]), _latency(said, 50), _latency(said, 99))


def _latency(said: str, percent: int) -> float:
    found = re.search(rf"^ +{percent}% +([0-9.]+)(us|ms|s) *$", said, re.MULTILINE)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[found[2]]
