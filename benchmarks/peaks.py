"""The most memory that a process which reads a layer ever has, or one that merges it.

Each is a process of its own (``python -m benchmarks.peaks LAYER MODE``) that imports no more than
reading takes.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from benchmarks import readers, samples
from benchmarks.rounds import Found, peak

MODES: Final = ("nothing", "read", "merge", "both")
"""Read nothing; read it, as the webhook's readers do; merge it, as they do in another process; both
in one, with a second core, as commands do."""


def memory() -> Found:
    """The most a process that reads a layer ever has, in MiB."""
    found = {}
    print("\npeak memory of a reader, MiB")
    print("                       nothing       reading       merging   both in one")
    for layer in (samples.big(), samples.big_zstd(), samples.tiny(times=True), samples.many()):
        peaks = {mode: _measured(layer.name, mode) for mode in MODES}
        print(f"{layer.name:18}" + "".join(f"{each:12.0f}  " for each in peaks.values()))
        found[layer.name] = peaks
    return found


def _measured(name: str, mode: str) -> float:
    command = [sys.executable, "-m", "benchmarks.peaks", name, mode]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ours


def _own(name: str, mode: str) -> float:
    layer = samples.by_name(name)
    file = samples.cache() / f"{name}.packed"
    if mode == "read":
        file.write_bytes(readers.packed(layer))
    elif mode == "merge":
        readers.merged(layer, file.read_bytes())
    elif mode == "both":
        readers.facts(layer, second_core=True)
    return peak()


if __name__ == "__main__":
    print(_own(*sys.argv[1:]))
