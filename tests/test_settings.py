"""What the process knows of its user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody unknown")
def test_somebody_without_a_home():
    """A container's user is often a number, and may have no HOME."""
    code = (
        "import os; from webhook.settings import home;"
        "os.environ.pop('HOME', None); os.setuid(54321); print(home())"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    assert (ran.stdout, ran.stderr) == ("/\n", "")
