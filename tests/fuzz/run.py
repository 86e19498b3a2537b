"""Run one target for some seconds of CPU time: ``python -m tests.fuzz.run passwd --seconds 60``.

An input has failed when its target's ``check`` raises, when it takes more than ``CPU_SECONDS``
of this process's time, or when memory grows by more than ``MEMORY`` (then MemoryError is raised).
What failed is kept in ``.fuzz/failed``, and what the fuzzer found worth keeping in
``.fuzz/corpus``, from which the next run goes on.

The last line on stdout is JSON: runs, CPU seconds of all and of the slowest, peak RSS in MiB.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

import atheris

from tests.fuzz import targets
from tests.fuzz.seeds import FOUND, SEEDS
from webhook.limits import MIB

CPU_SECONDS = 2.0
"""Of one input, instrumented: most take well under a millisecond."""
MEMORY = 256 * MIB
"""What the inputs may add to the address space, the fuzzer's own corpus included."""
WORK = Path(".fuzz")


class TooSlow(Exception):  # noqa: N818 - named for what happened
    """An input took more than its time."""


class Watched:
    """A target's check, its cost measured."""

    def __init__(self, check, seconds: int) -> None:
        self._check = check
        self._end = time.process_time() + seconds
        self.runs = 0
        self.slowest = 0.0

    def __call__(self, data: bytes) -> None:
        started = time.process_time()
        self._check(data)
        now = time.process_time()
        took = now - started
        self.runs += 1
        self.slowest = max(self.slowest, took)
        if took > CPU_SECONDS:
            raise TooSlow(f"{took:.1f} s of CPU time for {len(data)} bytes")
        if now >= self._end:
            self.report()
            os._exit(0)  # libFuzzer's own way out of its loop: it lets no Python code run

    def report(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        cpu = round(time.process_time())
        figures = {
            "runs": self.runs,
            "cpu": cpu,
            "slowest": round(self.slowest, 4),
            "rss_mib": peak,
        }
        print(json.dumps(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=targets.NAMES)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="0: a fresh one")
    chosen = parser.parse_args()
    with atheris.instrument_imports(include=["webhook"]):
        target = import_module(f"tests.fuzz.targets.{chosen.target}")
    watched = Watched(target.check, chosen.seconds)
    atexit.register(watched.report)
    repaired = getattr(target, "repaired", None)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        changed = atheris.Mutate(data, most)
        return changed if seed % 4 == 0 else repaired(changed)[:most]

    extra = {} if repaired is None else {"custom_mutator": mutated}
    atheris.Setup([sys.argv[0], *_options(chosen, target)], watched, **extra)
    for path in sorted((SEEDS / chosen.target).iterdir()):
        target.check(path.read_bytes())  # what is loaded on first use is no input's cost
    _bound_memory()
    atheris.Fuzz()


def _options(chosen: argparse.Namespace, target) -> list[str]:
    corpus, failed = (WORK / kind / chosen.target for kind in ("corpus", "failed"))
    for folder in (corpus, failed):
        folder.mkdir(parents=True, exist_ok=True)
    words = WORK / f"{chosen.target}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    folders = [corpus, SEEDS / chosen.target, FOUND / chosen.target]
    return [
        *(str(folder) for folder in folders if folder.is_dir()),
        f"-dict={words}",
        f"-artifact_prefix={failed}{os.sep}",
        f"-max_len={target.MAX_BYTES}",
        f"-seed={chosen.seed}",
        "-timeout=60",  # of the wall clock, for what hangs; TooSlow goes by CPU time
        "-rss_limit_mb=0",
        "-verbosity=0",
    ]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _bound_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


if __name__ == "__main__":
    main()
