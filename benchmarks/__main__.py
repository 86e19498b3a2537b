"""Measure slimgate against what bounds it: ``make bench``, or ``python -m benchmarks FIGURE…``.

docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

from benchmarks import golang, page, readers, results, samples
from benchmarks.admission import admission
from benchmarks.burst import burst
from benchmarks.day import day
from benchmarks.known import known
from benchmarks.peaks import memory
from benchmarks.rounds import Found, Run, in_turns, median, one_core, show, timed
from benchmarks.samples import Sample
from benchmarks.scanners import scanners
from benchmarks.steady import steady
from benchmarks.verdict import verdict
from benchmarks.warm import warm
from webhook.limits import Limits
from webhook.reader.client import Apart
from webhook.reader.own import Own


def cold() -> Found:
    """One big layer on one core: gzip and zstd, the limit, slimgate, Go."""
    found = {}
    with one_core():
        for layer in (samples.big(), samples.big_zstd()):
            times = in_turns(_readers(layer) | _go(layer))
            found[layer.name] = show(f"{layer}; one core", times, of="limit", by="cpu")
    return found


def second() -> Found:
    """The same with a second core free."""
    if len(os.sched_getaffinity(0)) == 1:
        print("\nsecond core: skipped, there is none")
        return {}
    found = {}
    for layer in (samples.big(), samples.big_zstd()):
        runs = {
            "limit, one thread": timed(partial(readers.limit, layer)),
            "slimgate, one thread": timed(partial(readers.facts, layer)),
            "slimgate, second core": timed(partial(readers.facts, layer, second_core=True)),
        }
        times = in_turns(runs)
        found[layer.name] = show(f"{layer}; two cores", times, of="limit, one thread", by="wall")
    return found


def layers() -> Found:
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
    return show("two layers; CPU is this process's", times, of="one after the other", by="wall")


def apart() -> Found:
    """A layer read in this process, and as the webhook has it read, on one core and on two."""
    found: dict[str, dict[str, Found]] = {}
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
                seen = show(f"{layer}; {cores}", in_turns(runs), of="here", by="wall")
                found.setdefault(cores, {})[layer.name] = seen
            own.close()
    return found


def tiny() -> Found:
    """Many tiny files, without and with times as PAX records."""
    found: dict[str, dict[str, float]] = {}
    with one_core():
        for times in (False, True):
            layer = samples.tiny(times=times)
            taken = in_turns(_readers(layer) | _go(layer))
            show(f"{layer}; one core", taken, of="limit", by="cpu")
            for name in list(taken)[1:]:
                rate = layer.entries / median(taken[name])
                print(f"{name:28}{rate:10,.0f} entries/s")
                found.setdefault(layer.name, {})[name] = rate
    return found


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
FIGURES = SHORT | {each.__name__: each for each in (known, steady, day, burst, scanners)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"{', '.join(FIGURES)}; default: the first {len(SHORT)}",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep what comes of them, by default of all there are, in benchmarks/results.json, "
        "and write docs/performance.md by it",
    )
    asked = parser.parse_args()
    if unknown := [name for name in asked.figures if name not in FIGURES]:
        parser.error(f"no figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    for name in asked.figures or (FIGURES if asked.record else SHORT):
        found = FIGURES[name]()
        if asked.record:
            results.keep(name, found)
    if asked.record:
        page.write()


if __name__ == "__main__":
    main()
