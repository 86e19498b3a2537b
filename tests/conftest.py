"""What holds for all tests: the machine may pause, and examples are the same every time.

A test fails for what was changed, then. ``make truth`` and ``make fuzz`` look for new examples.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile(
    "slimgate",
    deadline=None,  # of one example: 0.2 s by default
    derandomize="SLIMGATE_TRUTH" not in os.environ,
)
settings.load_profile("slimgate")
