"""The tools, asked one question: does a container of this image run as root?

Each is its own program, started once for each image, and reads it from a registry on loopback.
True and False are its answer; None where it gives none: it failed, or does not say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 60
"""How long one answer may take."""

DOCKLE_ROOT = "CIS-DI-0001"


def dockle(program: Path, image: str) -> bool | None:
    """Dockle's CIS-DI-0001, "Create a user for the container"."""
    said = _json([program, "--insecure", "--format", "json", "--timeout", f"{SECONDS}s", image])
    if said is None:
        return None
    return any(one["code"] == DOCKLE_ROOT for one in said["details"])


def _json(command: list[Any]) -> dict[str, Any] | None:
    """What the program writes, from its first brace on; None where it writes no document."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(  # noqa: S603 - programs that the caller names
            [str(one) for one in command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": home},
        )
    try:
        said, _ = json.JSONDecoder().raw_decode(done.stdout, max(done.stdout.find("{"), 0))
    except json.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


Ask = Callable[[Path, str], bool | None]
TOOLS: dict[str, Ask] = {"Dockle": dockle}
VERSION = {"Dockle": "--version"}


def version(name: str, program: Path) -> str:
    """The version that the program says it is."""
    command = [str(program), VERSION[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)  # noqa: S603 - as above
    found = re.search(r"\d+\.\d+\.\d+\S*", done.stdout)
    if found is None:
        raise ValueError(f"{program} does not say its version")
    return found[0]
