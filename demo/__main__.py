"""``python -m demo [--cluster]``: exits 1 if an answer is not the one expected."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from demo import scene, stage
from demo.audience import Ask, by_kubectl, in_the_api_servers_words
from demo.screen import Screen
from tests.support.registry import Registry

LOG_LINES = 20
"""Of slimgate's log, shown when something went wrong."""


def main() -> int:
    """Play the scene."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--cluster", action="store_true", help="by kubectl and a real API server")
    parser.add_argument(
        "--policies",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="judge by these, not by the shipped and the demo's own",
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slimgate-demo-") as folder:
        policies = asked.policies or scene.POLICY_FOLDERS
        return run(Screen(), Path(folder), policies, real=asked.cluster)


def run(screen: Screen, folder: Path, policies: Iterable[Path], *, real: bool) -> int:
    """Set the stage, play, look at an image; the exit code."""
    started = time.monotonic()
    with stage.registry() as images:
        show_images(screen, images)
        with stage.gate(images.host, folder, policies) as gate:
            screen.title(f"slimgate answers at {gate.url}")
            if real:
                with stage.cluster(folder / "cluster") as cluster:
                    stage.register(cluster, gate)
                    screen.say(f"and a Kubernetes API server at {cluster.url} asks it")
                    wrong = play(screen, by_kubectl(cluster), images.host)
            else:
                wrong = play(screen, in_the_api_servers_words(gate), images.host)
        if wrong:
            screen.title("The end of slimgate's log")
            screen.output(stage.log_of(folder).read_text().splitlines()[-LOG_LINES:])
        if not inspect(screen, scene.image_name(scene.INSPECTED, images.host)):
            wrong.append("inspect failed")
    return conclude(screen, wrong, time.monotonic() - started)


def show_images(screen: Screen, images: Registry) -> None:
    """List what the registry serves."""
    screen.title(f"A registry at {images.host} with four images, made on the spot")
    for sample in scene.SCENES:
        screen.say(f"  {sample.name:16} {sample.about}")


def play(screen: Screen, ask: Ask, registry: str) -> list[str]:
    """Ask for every pod in every namespace; what did not come as expected."""
    wrong = []
    for namespace in scene.NAMESPACES:
        screen.title(f"Namespace {namespace.name}, {namespace.about}")
        for sample in scene.SCENES:
            screen.command(f"kubectl -n {namespace.name} create -f {sample.name}.yaml")
            try:
                answer = ask(scene.pod(sample, registry), namespace.name)
            except (OSError, RuntimeError) as error:
                wrong.append(f"{sample.name} in {namespace.name}: no answer ({error})")
                continue
            screen.answer(answer, audit=namespace.faulty is scene.Outcome.QUIET)
            expected = scene.expected(sample, namespace)
            if answer.outcome is not expected:
                wrong.append(f"{sample.name} in {namespace.name}: {answer.outcome}, not {expected}")
    return wrong


def inspect(screen: Screen, image: str) -> bool:
    """Show the facts behind an answer; whether they could be read."""
    screen.title("The facts behind one of them")
    screen.command(f"slimgate inspect {image}")
    command = [sys.executable, "-m", "webhook", "inspect", image]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    screen.output((shown.stdout or shown.stderr).splitlines())
    return shown.returncode == 0


def conclude(screen: Screen, wrong: list[str], seconds: float) -> int:
    """Say how it went; the exit code."""
    count = len(scene.NAMESPACES) * len(scene.SCENES)
    if wrong:
        screen.verdict(good=False, text=f"Not as expected: {'; '.join(wrong)}")
        return 1
    screen.verdict(good=True, text=f"{count} answers, all as expected, in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
