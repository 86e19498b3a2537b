"""Write the committed seeds: ``python -m tests.fuzz.seeds``.

All are made by this project's own code (``SEEDS`` of each target), so that they have no other
origin and no other licence. ``test_fuzz.py`` sees to it that they are what the code makes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.fuzz import targets

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
FOUND = HERE / "found"
"""Inputs that once showed a fault, by target; the name says which."""


def made() -> dict[Path, bytes]:
    """Every seed and where it belongs."""
    return {
        SEEDS / name / title: body
        for name in targets.NAMES
        for title, body in import_module(f"tests.fuzz.targets.{name}").SEEDS.items()
    }


def inputs(name: str) -> list[Path]:
    """Seeds and former faults of a target."""
    return sorted(path for root in (SEEDS, FOUND) for path in (root / name).glob("*"))


if __name__ == "__main__":
    for path, body in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
