"""What holds for all tests: a machine that others use, too, may pause at any moment."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("slimgate", deadline=None)  # of one example: 0.2 s by default
settings.load_profile("slimgate")
