"""Asking the Go code that decides in the real world, and counting what came of it.

An oracle is a small Go program in a folder here (``go.mod``, ``go.sum``, ``main.go``), built and
kept as ``tests/cluster/build.py`` keeps the others. It stays up while its tests run: a question
costs tens of microseconds, so thousands are compared in seconds (``ask/ask.go`` has the protocol).

A test file is then

    @pytest.fixture(scope="module")
    def ask(oracle):
        return oracle("tar")                      # ask(data: bytes) -> what its JSON line says

    def test_tar(ask, truth):
        truth("tar", archives(), lambda data: compare(ask(data), data))

where ``compare`` returns ``EQUAL``, ``BOTH_REFUSE`` or ``refused(detail, classes)``, and asserts
otherwise. A class has to be listed, with its reason, in docs/truth.md.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster import build

T = TypeVar("T")

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "truth.md"
FEW = 300
"""Inputs of each comparison when nobody asks for more, the same each time."""
_FIXED_SEED = 5
_BATCH = 1_000
"""Inputs of one hypothesis run: its memory of what it tried slows longer ones down."""


@dataclass(frozen=True)
class Oracle(build.Program):
    """A program of ours around Go code that decides elsewhere."""

    package: str = "."

    @classmethod
    def of(cls, folder: str) -> Oracle:
        """The one in that folder here."""
        return cls(name=f"oracle-{folder}", folder=folder)

    @property
    def gomod(self) -> Path:
        return HERE / self.folder / "go.mod"

    @property
    def version(self) -> str:
        return "of this clone"

    @property
    def built(self) -> Path:
        """A path that changes with the sources, as they are ours, and with the pins."""
        folders = (HERE / self.folder, HERE / "ask")
        sources = [path for folder in folders for path in sorted(folder.glob("*"))]
        state = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources if path.is_file()))
        return build.cache() / "oracles" / f"{self.folder}-{state.hexdigest()[:16]}" / self.name


Ask = Callable[[bytes], Any]


@contextmanager
def running(program: Path, *arguments: str) -> Iterator[Ask]:
    """The oracle, up and answering; each answer is what its line of JSON says."""
    with subprocess.Popen(
        [program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:

        def ask(question: bytes) -> Any:
            process.stdin.write(len(question).to_bytes(4, "big") + question)
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, f"the oracle ended on {question[:200]!r}"
            answer = json.loads(line)
            assert "panic" not in answer, answer
            return answer

        yield ask
        process.stdin.close()
        assert process.wait(60) == 0


_RARELY = st.sampled_from([*[False] * 15, True])


@st.composite
def mostly(draw: st.DrawFn, good: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> T:
    """One in 16 is odd (``st.one_of`` takes a strategy that is named often for one)."""
    return draw(odd if draw(_RARELY) else good)


@dataclass(frozen=True)
class Refused:
    """slimgate refuses what the oracle takes; ``why`` is a class of docs/truth.md."""

    why: str


EQUAL = "equal"
BOTH_REFUSE = "both refuse"
"""Equal as well, and counted apart: inputs that nobody takes prove little."""
Outcome = Refused | str
Compare = Callable[[Any], Outcome]


def refused(detail: str, classes: Mapping[str, str]) -> Refused:
    """The class of a refusal, by what it says; one of no class is a difference.

    Args:
        detail: the ``detail`` of slimgate's error.
        classes: a pattern (searched for in ``detail``) for each class.
    """
    for why, pattern in classes.items():
        if re.search(pattern, detail):
            return Refused(why)
    raise AssertionError(f"slimgate refuses what the oracle takes: {detail}")


@dataclass
class Tally:
    """What became of the inputs of one oracle."""

    compared: int = 0
    equal: int = 0
    both_refuse: int = 0
    """Of ``equal``."""
    refused: Counter[str] = field(default_factory=Counter)
    different: int = 0

    def add(self, name: str, outcome: Outcome) -> None:
        """Count an outcome; a class of refusal that nobody gave a reason for is no outcome."""
        if isinstance(outcome, Refused):
            listed = classes_in_docs().get(name, ())
            assert outcome.why in listed, f"docs/truth.md has no class {name}/{outcome.why}"
            self.refused[outcome.why] += 1
        else:
            assert outcome in (EQUAL, BOTH_REFUSE)
            self.equal += 1
            self.both_refuse += outcome == BOTH_REFUSE
        self.compared += 1

    def plain(self) -> dict[str, Any]:
        """What ``take`` adds to another."""
        return {**vars(self), "refused": dict(self.refused)}

    def take(self, plain: Mapping[str, Any]) -> None:
        """Add what another process counted."""
        self.compared += plain["compared"]
        self.equal += plain["equal"]
        self.both_refuse += plain["both_refuse"]
        self.refused.update(plain["refused"])
        self.different += plain["different"]


TALLIES: dict[str, Tally] = {}
"""By oracle; the summary of the pytest run prints it (conftest.py)."""


def truth(name: str, inputs: st.SearchStrategy[T], compare: Callable[[T], Outcome]) -> None:
    """Compare what slimgate says with what the oracle says, on many generated inputs.

    ``SLIMGATE_TRUTH=N`` says how many, half of which are new; ``SLIMGATE_TRUTH_SEED`` repeats such
    a run.
    """
    asked = os.environ.get("SLIMGATE_TRUTH")
    count, new = int(asked or FEW), int(asked or 0) // 2
    fresh = int(os.environ.get("SLIMGATE_TRUTH_SEED") or secrets.randbelow(1 << 32))
    tally = TALLIES.setdefault(name, Tally())
    for seed, half in ((_FIXED_SEED, count - new), (fresh, new)):
        for batch, start in enumerate(range(0, half, _BATCH)):
            _search(name, tally, inputs, compare, seed + batch, min(_BATCH, half - start), fresh)


def _search(name, tally, inputs, compare, seed, count, fresh) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def every(example: Any) -> None:
        tally.add(name, compare(example))

    try:
        every()
    except BaseException as error:
        tally.different += 1
        error.add_note(f"SLIMGATE_TRUTH_SEED={fresh} repeats it")
        raise


@functools.cache
def classes_in_docs() -> dict[str, tuple[str, ...]]:
    """The classes of refusal by oracle: rows of docs/truth.md that begin with two code words."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| \S", DOCS.read_text(), re.MULTILINE)
    found: dict[str, tuple[str, ...]] = {}
    for name, why in rows:
        found[name] = (*found.get(name, ()), why)
    return found


def table(tallies: Mapping[str, Tally]) -> Iterator[str]:
    """The lines of the table that ``make truth`` ends with."""
    yield (
        f"{'oracle':<12} {'compared':>9} {'equal':>9} {'(neither takes it)':>18} "
        f"{'refused':>8} {'different':>9}"
    )
    for name, tally in sorted(tallies.items()):
        yield (
            f"{name:<12} {tally.compared:>9,} {tally.equal:>9,} {tally.both_refuse:>18,} "
            f"{tally.refused.total():>8,} {tally.different:>9,}"
        )
        for why, count in tally.refused.most_common():
            yield f"{'':<12} {'':>9} {'':>9} {'':>18} {count:>8,}   {why}"
