"""What was measured last: ``benchmarks/results.json``, from which docs/performance.md is filled."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import Found

FILE: Final = Path(__file__).parent / "results.json"
_DIGITS: Final = 4
"""That are kept of a number: noise is in the second."""


def kept() -> Mapping[str, Found]:
    """By figure; and ``machine``."""
    found: Mapping[str, Found] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def keep(figure: str, found: Found) -> None:
    """Put what it came to in place of what it was; what was skipped stays as it was."""
    if found:
        both = {**kept(), figure: found, "machine": _machine()}
        FILE.write_text(json.dumps(_rounded(both), indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _machine() -> Found:
    """What the figures were taken on."""
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": next(models, platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
