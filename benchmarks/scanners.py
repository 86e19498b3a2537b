"""slimgate beside scanners of images, where they are at hand: a process each, of one image.

``python -m benchmarks.peers.build Dockle Trivy`` builds them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from benchmarks import samples
from benchmarks.peers import build
from benchmarks.peers.tools import TOOLS
from benchmarks.rounds import Found, Run, Took, in_turns, one_core, show
from benchmarks.steady import image_of
from tests.support.registry import Registry, slow

_SCANNERS = ("Dockle", "Trivy")


def scanners() -> Found:
    """The image of one big layer, on one core and on two."""
    programs = {name: build.place(name) for name in _SCANNERS if build.place(name).exists()}
    if not programs:
        print("\nscanners: skipped, none is built (python -m benchmarks.peers.build Dockle Trivy)")
        return {}
    layer = samples.big()
    image = image_of(layer, [layer.path.read_bytes()])
    found = {}
    with Registry({"big:1": image}, faults={"*/blobs/*": slow(1e12)}) as registry:
        name = f"{registry.host}/big:1"
        runs: dict[str, Run] = {"slimgate": _process(partial(_checked, name))}
        for each, program in programs.items():
            runs[each] = _process(partial(_asked, each, program, name))
        for cores, held in (("one core", one_core), ("two cores", nullcontext)):
            if held is one_core or len(os.sched_getaffinity(0)) > 1:
                with held():
                    by = "cpu" if held is one_core else "wall"
                    times = in_turns(runs)
                    found[cores] = show(f"{layer}; {cores}", times, of="slimgate", by=by)
    return found


def _process(work: Callable[[], object]) -> Run:
    """A run of something that starts a process and waits for it: what that took."""

    def run() -> Took:
        wall, cpu = time.perf_counter(), _cpu()
        work()
        return Took(time.perf_counter() - wall, _cpu() - cpu)

    return run


def _cpu() -> float:
    """Seconds that processes took which were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _checked(image: str) -> None:
    """Every check is asked, so all is read; the image is too big for the policy."""
    command = [sys.executable, "-m", "webhook", "check", "--all", "-o", "json", image]
    done = subprocess.run(command, check=False, capture_output=True, env=_environment())  # noqa: S603 - ours
    assert done.returncode == 1, done.stderr


def _environment() -> dict[str, str]:
    """Bytecode is kept from the first round on, which is not counted: as of what is installed."""
    own = {"NO_PROXY": "*", "PYTHONPYCACHEPREFIX": str(samples.cache() / "bytecode")}
    return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""}


def _asked(name: str, program: Path, image: str) -> None:
    assert TOOLS[name](program, image) is not None, f"{name} said nothing"
