"""CI's share of the fuzzing: every committed input, and some seconds of new ones a target.

SLIMGATE_FUZZ_SECONDS says how many (10); 0 leaves the fuzzer out. It works in ``.fuzz`` of the
current folder, which a run in CI finds empty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import seeds, targets

Run = tuple[subprocess.CompletedProcess[bytes], list[bytes]]
"""What it printed, and the inputs that failed."""
ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("SLIMGATE_FUZZ_SECONDS", "10"))
LEAST_RUNS = 50
"""Of ten seconds of CPU time; fewer would be no fuzzing."""


@pytest.mark.parametrize("name", targets.NAMES)
def test_committed_inputs(name: str) -> None:
    """Seeds, and what showed a fault once: needs no fuzzer."""
    check = import_module(f"tests.fuzz.targets.{name}").check
    paths = seeds.inputs(name)
    assert len(paths) >= 8
    for path in paths:
        check(path.read_bytes())


def test_the_seeds_are_what_the_code_makes() -> None:
    """``python -m tests.fuzz.seeds`` was run; nothing else lies there."""
    there = {path: path.read_bytes() for path in seeds.SEEDS.rglob("*") if path.is_file()}

    assert there == seeds.made()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Run]]]:
    """What came of each target; as many at a time as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield {
            name: pool.submit(_fuzz, name, tmp_path_factory.mktemp(name)) for name in targets.NAMES
        }


def _fuzz(name: str, folder: Path) -> Run:
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(SECONDS), "--seed", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=SECONDS + 600,
        check=False,
    )
    failed = [path.read_bytes() for path in (folder / ".fuzz" / "failed" / name).iterdir()]
    return run, failed


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not made for this Python")
@pytest.mark.skipif(SECONDS == 0, reason="SLIMGATE_FUZZ_SECONDS is 0")
@pytest.mark.parametrize("name", targets.NAMES)
def test_some_seconds_of_mutated_inputs(name: str, fuzzed: Mapping[str, Future[Run]]) -> None:
    run, failed = fuzzed[name].result()

    assert (run.returncode, failed) == (0, []), run.stderr.decode(errors="replace")[-4000:]
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["runs"] >= LEAST_RUNS * SECONDS / 10
