"""Measure slimgate against what bounds it: ``make bench``, or ``python -m benchmarks FIGURE…``.

docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

from benchmarks import golang, readers, samples
from benchmarks.admission import admission
from benchmarks.burst import burst
from benchmarks.day import day
from benchmarks.known import known
from benchmarks.rounds import Run, in_turns, median, one_core, peak, show, timed
from benchmarks.samples import Sample
from benchmarks.steady import steady
from benchmarks.verdict import verdict
from benchmarks.warm import warm
from webhook.limits import Limits
from webhook.reader.client import Apart
from webhook.reader.own import Own


def cold() -> None:
    """One big layer on one core: gzip and zstd, the limit, slimgate, Go."""
    with one_core():
        for layer in (samples.big(), samples.big_zstd()):
            times = in_turns(_readers(layer) | _go(layer))
            show(f"{layer}; one core", times, of="limit", by="cpu")


def second() -> None:
    """The same with a second core free."""
    if len(os.sched_getaffinity(0)) == 1:
        print("\nsecond core: skipped, there is none")
        return
    for layer in (samples.big(), samples.big_zstd()):
        runs = {
            "limit, one thread": timed(partial(readers.limit, layer)),
            "slimgate, one thread": timed(partial(readers.facts, layer)),
            "slimgate, second core": timed(partial(readers.facts, layer, second_core=True)),
        }
        show(f"{layer}; two cores", in_turns(runs), of="limit, one thread", by="wall")


def layers() -> None:
    """Two layers on two cores, beside one after the other."""
    layer = samples.big()
    both = (layer, samples.again(layer, 1))
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        runs = {
            "one after the other": timed(lambda: [readers.walked(one) for one in both]),
            "two threads": timed(partial(readers.side_by_side, threads, *both)),
            "two processes": timed(partial(readers.side_by_side, processes, *both)),
            "each on both cores": timed(
                lambda: [readers.walked(one, second_core=True) for one in both]
            ),
        }
        times = in_turns(runs)
    show("two layers; CPU is this process's", times, of="one after the other", by="wall")


def apart() -> None:
    """A layer read in this process, and as the webhook has it read, on one core and on two."""
    for cores, pinned in (("one core", one_core), ("two cores", nullcontext)):
        if pinned is nullcontext and len(os.sched_getaffinity(0)) == 1:
            continue
        with pinned():
            own = Own()
            for layer in (samples.big(), samples.tiny(times=False)):
                runs = {
                    "here": timed(partial(readers.facts, layer)),
                    "apart": timed(partial(readers.apart, Apart(own.path, Limits()), layer)),
                }
                show(f"{layer}; {cores}", in_turns(runs), of="here", by="wall")
            own.close()


def tiny() -> None:
    """Many tiny files, without and with times as PAX records."""
    with one_core():
        for times in (False, True):
            layer = samples.tiny(times=times)
            taken = in_turns(_readers(layer) | _go(layer))
            show(f"{layer}; one core", taken, of="limit", by="cpu")
            for name in list(taken)[1:]:
                print(f"{name:28}{layer.entries / median(taken[name]):10,.0f} entries/s")


def memory() -> None:
    """The most a process that reads a layer ever has, in MiB."""
    print("\npeak memory of a reader, MiB")
    print("                  nothing read    one thread    second core")
    for layer in (samples.big(), samples.big_zstd(), samples.tiny(times=True)):
        peaks = [_peak(layer.name, mode) for mode in ("nothing", "one", "second")]
        print(f"{layer.name:18}" + "".join(f"{each:12.0f}  " for each in peaks))


def _peak(name: str, mode: str) -> float:
    command = [sys.executable, "-m", "benchmarks", "--peak", name, mode]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ours


def _one_peak(name: str, mode: str) -> None:
    layer = samples.by_name(name)
    if mode != "nothing":
        readers.facts(layer, second_core=mode == "second")
    print(peak())


def _readers(layer: Sample) -> dict[str, Run]:
    return {
        "limit": timed(partial(readers.limit, layer)),
        "slimgate, walk": timed(partial(readers.walked, layer)),
        "slimgate, facts": timed(partial(readers.facts, layer)),
    }


def _go(layer: Sample) -> dict[str, Run]:
    """Go's readers, where there is Go."""
    if not golang.there():
        print("\nthere is no Go: its readers are left out")
        return {}
    zstd = layer.ref.media_type.endswith("zstd")
    libraries = ("klauspost",) if zstd else ("std", "klauspost")
    return {f"Go, {library}": golang.reader(library, layer) for library in libraries}


SHORT = {
    each.__name__: each
    for each in (cold, second, layers, apart, tiny, memory, verdict, warm, admission)
}
FIGURES = SHORT | {each.__name__: each for each in (known, steady, day, burst)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "figures", nargs="*", choices=[[], *FIGURES], help=f"default: {' '.join(SHORT)}"
    )
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        _one_peak(*asked.peak)
        return
    for name in asked.figures or SHORT:
        FIGURES[name]()


if __name__ == "__main__":
    main()
