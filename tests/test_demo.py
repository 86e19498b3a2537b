"""``make demo`` shows what it says it shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import demo.__main__
from demo import scene
from demo.audience import as_kubectl_shows
from demo.scene import Outcome
from demo.screen import Screen

ROOT = Path(__file__).parent.parent


def checks(path):
    """The checks of a policy file."""
    return yaml.safe_load((ROOT / path).read_text())["spec"]["checks"]


def play(*words):
    """Run the demo as ``make demo`` does."""
    return subprocess.run(
        [sys.executable, "-m", "demo", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_plays_as_expected():
    """Every answer is the expected one, the refusals say what to do, and a pipe gets no colour."""
    seen = play()
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert "12 answers, all as expected" in seen.stdout
    for text in (
        "denied the request: policy distroless-nonroot denies Pod/node-as-root",
        "policy small-images denies Pod/go-single-stage",
        "Warning: distroless-nonroot-warn",
        "pod/go-distroless created",
        "audit log: violations",
    ):
        assert text in seen.stdout
    assert "\x1b" not in seen.stdout
    assert seen.stderr == ""


def test_an_unexpected_answer_fails(tmp_path):
    """The exit code is 1 when a pod that should be refused is let in."""
    shutil.copy(ROOT / "policies" / "audit-everything.yaml", tmp_path)
    seen = play("--policies", str(tmp_path))
    assert seen.returncode == 1
    assert "Not as expected: node-as-root in prod: let in, not refused" in seen.stdout


def test_no_answer_is_told(capsys):
    """A slimgate that ends in the middle is a bad ending with its log, not a stack trace."""

    def gone(*_):
        raise ConnectionResetError("closed")

    wrong = demo.__main__.play(Screen(), gone, "registry.example")

    assert len(wrong) == 12
    assert wrong[0] == "node-as-root in prod: no answer (closed)"
    assert "node-as-root.yaml" in capsys.readouterr().out


def test_the_warning_policy_asks_what_the_enforcing_one_asks():
    """Staging shows what prod would refuse, no more and no less."""
    assert checks("demo/policies/distroless-nonroot-warn.yaml") == checks(
        "policies/distroless-nonroot.yaml"
    )


@pytest.mark.parametrize(
    ("response", "outcome", "lines"),
    [
        pytest.param({"allowed": True}, Outcome.QUIET, ["pod/web created"], id="let in"),
        pytest.param(
            {"allowed": True, "warnings": ["it is big"]},
            Outcome.WARNED,
            ["Warning: it is big", "pod/web created"],
            id="warned",
        ),
        pytest.param(
            {
                "allowed": False,
                "status": {"code": 403, "reason": "Forbidden", "message": "no:\n  - root"},
            },
            Outcome.REFUSED,
            [
                (
                    'Error from server (Forbidden): error when creating "web.yaml": '
                    'admission webhook "pods.slimgate.dev" denied the request: no:'
                ),
                "  - root",
            ],
            id="refused",
        ),
    ],
)
def test_answers_look_as_kubectl_prints_them(response, outcome, lines):
    """The words around our message are kubectl's and the API server's."""
    answer = as_kubectl_shows(response, "web")
    assert (answer.outcome, list(answer.lines)) == (outcome, lines)


def test_every_story_is_played():
    """In each namespace, whether it is let in or not."""
    outcomes = {
        scene.expected(sample, namespace)
        for sample in scene.SCENES
        for namespace in scene.NAMESPACES
    }
    assert outcomes == set(Outcome)
