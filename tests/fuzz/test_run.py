"""The runner's bounds hold: what is too slow, too big or wrong is reported and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is not made for this Python"
)


@pytest.mark.parametrize(
    "body, error",
    [
        ("assert not data", "AssertionError"),
        ("end = time.process_time() + 3\n    while time.process_time() < end: pass", "TooSlow"),
        ("bytearray(512 << 20)", "MemoryError"),
        ("raise ValueError", "ValueError"),
    ],
    ids=["wrong", "slow", "big", "escapes"],
)
def test_faults_are_found(body: str, error: str, tmp_path: Path) -> None:
    """A target that behaves on its seeds only."""
    program = tmp_path / "bad.py"
    program.write_text(
        "import sys, time\n"
        "from tests.fuzz import run, targets\n"
        "from tests.fuzz.targets import passwd\n"
        "seen = []\n"
        "def check(data):\n"
        "    seen.append(data)\n"
        "    if len(seen) < 20: return\n"
        f"    {body}\n"
        "passwd.check = check\n"
        "sys.argv = ['bad', 'passwd', '--seconds', '20']\n"
        "run.main()\n"
    )
    run = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    kept = list((tmp_path / ".fuzz" / "failed" / "passwd").iterdir())

    assert run.returncode != 0
    assert error in run.stderr.decode() + run.stdout.decode()
    assert len(kept) == 1
