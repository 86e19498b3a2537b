"""Ask the tools at hand whether images run as root, and write docs/peers.md.

    python -m benchmarks.peers --dockle PATH --kyverno PATH --trivy PATH

A tool that is not named is taken from where ``benchmarks.peers.build`` puts it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import build, page
from benchmarks.peers.corpus import Known, known
from benchmarks.peers.page import Answer
from benchmarks.peers.tools import TOOLS, Ask, version
from tests.support.registry import Registry


def answers(ask: Ask, program: Path, images: Sequence[Known]) -> list[Answer]:
    """What the program says of each image, read from a registry on loopback."""
    served = {f"image{number}:1": one.make() for number, one in enumerate(images)}
    with Registry(served) as registry:
        return [_timed(ask, program, f"{registry.host}/{name}") for name in served]


def _timed(ask: Ask, program: Path, image: str) -> Answer:
    began = time.perf_counter()
    said = ask(program, image)
    return Answer(said, time.perf_counter() - began)


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    for name in TOOLS:
        default = build.place(name)
        parser.add_argument(f"--{name.lower()}", type=Path, default=default, dest=name)
    asked = vars(parser.parse_args())
    programs = {name: path for name, path in asked.items() if path.exists()}
    if not programs:
        parser.error("none of the tools is at hand")
    images = list(known())
    said = {}
    for name, program in programs.items():
        print(f"asking {name} of {len(images)} images", flush=True)
        said[name] = answers(TOOLS[name], program, images)
    versions = {name: version(name, program) for name, program in programs.items()}
    truths = {one.name: one.root for one in images}
    page.PAGE.write_text(page.text(truths, said, versions, TOOLS.keys() - programs.keys()))


if __name__ == "__main__":
    main()
