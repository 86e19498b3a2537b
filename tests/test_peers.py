"""The tools that are asked whether images run as root, and the page of what they said."""

from __future__ import annotations

import re

import pytest

from benchmarks.peers import build, page
from benchmarks.peers.corpus import known
from benchmarks.peers.page import Answer
from benchmarks.peers.tools import TOOLS, document, version
from tests.catalogue.images import user
from tests.support.registry import Registry

KNOWN = {one.name: one.root for one in known()}


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("01 no User", True),
        ("07 a name whose uid is 0", True),
        ("07b a name whose uid is 1000", False),
        ("09c a uid of letters", True),
        ("19 a number that is a name, too", False),
        ("24b USER alone", True),  # slimgate refuses the image whole
        ("27b white space behind", False),
    ],
)
def test_the_truth_of_an_image(name, root):
    assert KNOWN[name] is root


@pytest.mark.parametrize(
    "name",
    [
        "02b and runAsNonRoot",  # the pod's truth
        "14 User 2^32",  # some versions refuse it
        "16 a name that is not in passwd",  # starts nowhere
        "26 a byte order mark",  # no node pulls it
    ],
)
def test_what_has_no_one_answer_is_left_out(name):
    assert name not in KNOWN


@pytest.mark.parametrize(
    ("said", "root", "verdict"),
    [
        (True, True, "right"),
        (False, False, "right"),
        (False, True, "false allow"),
        (True, False, "false deny"),
        (None, True, "no answer"),
        (None, False, "no answer"),
    ],
)
def test_a_verdict(said, root, verdict):
    assert page.verdict(said=said, root=root) == verdict


def test_the_page_counts():
    text = page.text(
        {"a": True, "b": True, "c": False},
        {"Tool": [Answer(root=one, seconds=2) for one in (True, False, None)]},
        {"Tool": "1.2.3"},
        ["Other"],
    )

    assert "Images: 2 that run as root, 1 that do not." in text
    assert "| Tool | 1.2.3 | 1 | 1 | 0 | 1 | 2.00 |" in text
    assert "Other was not at hand" in text
    assert "| b | yes | false allow |" in text


def test_the_page_is_of_these_images():
    """``python -m benchmarks.peers`` was run after the catalogue's users changed."""
    rows = re.findall(r"^\| (\d\d\w* .+?) \| (yes|no) \|", page.PAGE.read_text(), re.MULTILINE)
    assert {name: root == "yes" for name, root in rows} == KNOWN


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo '{\"a\": 1}'", {"a": 1}),
        ("echo 'Applying {\"a\": 1} done'", {"a": 1}),
        ("echo '{\"a\": '", None),
        ("echo panic >&2; exit 2", None),
        ("exec sleep 30", None),
    ],
)
def test_what_a_program_writes(script, said):
    """A tool that crashes or hangs gives no answer, and the others are asked all the same."""
    assert document(["sh", "-c", script], seconds=2 if "sleep" in script else 60) == said


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_at_hand_answers(name):
    """Each is asked as it has to be: it tells the plain images apart, and says when it cannot."""
    program = build.place(name)
    if not program.exists():
        pytest.skip(f"{name} is not built (python -m benchmarks.peers.build {name})")

    with Registry({"plain:1": user("65532")(), "root:1": user("root")()}) as registry:
        said = [TOOLS[name](program, f"{registry.host}/{one}:1") for one in ("plain", "root", "no")]

    assert said == [False, True, None]
    assert version(name, program) == build.MODULES[name].version.removeprefix("v")
