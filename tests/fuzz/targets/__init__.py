"""The targets, one small file each."""

from __future__ import annotations

from pathlib import Path

NAMES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)
