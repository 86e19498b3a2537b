"""The same in Go: ``benchmarks/go``, built by the ordinary client where Go is there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from benchmarks import samples
from benchmarks.rounds import Run, Took
from benchmarks.samples import Sample

SOURCE = Path(__file__).parent / "go"


def reader(library: str, layer: Sample) -> Run:
    """A run of the Go reader; ``library`` is ``std`` or ``klauspost``."""
    command = [str(_built()), library, str(layer.path)]

    def run() -> Took:
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
        wall, cpu, entries = done.stdout.split()
        if int(entries) != layer.entries:
            raise AssertionError(f"Go read {entries} of {layer.entries} entries")
        return Took(float(wall), float(cpu))

    return run


def there() -> bool:
    """Whether there is Go to build it with."""
    return shutil.which("go") is not None


@cache
def _built() -> Path:
    sources = b"\0".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    program = samples.cache() / f"reader-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        print("building benchmarks/go", flush=True)
        command = ["go", "build", "-trimpath", "-mod=readonly", "-o", str(program), "."]
        settings = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
        subprocess.run(command, check=True, cwd=SOURCE, env={**os.environ, **settings})  # noqa: S603 - ours
    return program
