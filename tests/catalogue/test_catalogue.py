"""Every case of the catalogue of tricky images, through the whole path, against the truth.

The tables are in the chapters' files; docs/catalogue.md is made from them.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from datetime import date
from functools import cache
from itertools import groupby

import pytest

from tests.catalogue import page
from tests.cluster.support.processes import eventually
from tests.support.source import ForgedSource
from webhook.evaluate import evaluate
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.reading import Here
from webhook.gather.source import ImageRequest, Unread, layered, unread
from webhook.image.document import document
from webhook.image.reference import Reference
from webhook.judge.load import builtin, load_policies, parse_policies
from webhook.judge.policy import Namespace
from webhook.limits import Deadline
from webhook.pod import Container, Workload
from webhook.reader.client import Apart
from webhook.reader.own import Own
from webhook.store.memory import Memory

NAME = "registry.test/tricky:1"
PROD = Namespace(name="prod", labels={"slimgate.dev/policy": "distroless-nonroot"})
TODAY = date(2026, 11, 23)
KINDS = {
    "shells": "shell {path} by {by}",
    "packageManagers": "package manager {path} by {by}",
    "buildTools": "build tool {path} by {by}",
    "packed": "packed {path} by {by}",
    "setuid": "{name} {path}",
}


@pytest.fixture(scope="module")
def lanes():
    """Threads, for all cases."""
    both = Lanes(4, 4), Lanes(4, 4)
    yield both
    for one in both:
        one.close()


@pytest.fixture(scope="module", params=["here", "apart"])
def reading(request):
    """Layers are read by this process, or as the webhook has them read."""
    if request.param == "here":
        yield Here
        return
    own = Own()
    assert eventually(own.path.exists)
    yield lambda limits: Apart(own.path, limits, restart=own.restart)
    own.close()


@pytest.fixture
def gather(lanes, reading):
    """A gatherer with one tricky image behind it."""
    gates = []

    def make(case):
        image = case.image()
        source = ForgedSource({NAME: image})
        if case.drips:
            source.held |= {digest: threading.Event() for digest in image.layers}
            gates.extend(source.held.values())
        kept = ("tags", "proofs", "images", "partial", "layers", "files", "failures")
        return Gatherer(
            source,
            caches=Caches(**{name: Memory(capacity=999, clock=time.monotonic) for name in kept}),
            limits=case.limits,
            opening=lanes[0],
            reading=lanes[1],
            clock=time.monotonic,
            background=60,
            reader=reading(case.limits),
        )

    yield make
    for gate in gates:
        gate.set()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.xfail(strict=True, reason=case.bug)] if case.bug else [],
        )
        for case in page.CASES
    ],
)
def test_slimgate_says_the_truth(case, gather):
    images = gather(case)

    judgements = judged(case, images, thorough=True)
    items = gathered(case, images)
    told = [told_of(item) for item in items]

    assert "; ".join(map(sentence, told, labels(items), judgements)) == case.says
    for path, value in case.facts.items():
        assert looked_up(told[0], path) == value
    assert passes(judged(case, images, thorough=False)) == passes(judgements)


def judged(case, images, *, thorough):
    """What the one core call decides of a pod of the image."""
    container = Container(name="main", image=NAME, **case.pod)
    return evaluate(
        Workload(
            kind="Pod",
            name="web",
            namespace="prod",
            containers=(container,),
            nodes=frozenset(case.nodes),
        ),
        policies(case.checks),
        images,
        until(case),
        namespace=PROD,
        today=TODAY,
        thorough=thorough,
    )


def passes(judgements):
    """Whether the pod would be let in."""
    return all(one.allowed for one in judgements)


@cache
def policies(checks):
    """The policy that comes with slimgate, or one that asks something else."""
    if not checks:
        return load_policies(builtin("distroless-nonroot"))
    return parse_policies(
        "{apiVersion: slimgate.dev/v1alpha1, kind: ImagePolicy, metadata: {name: other}, "
        f"spec: {{action: Enforce, checks: {{{checks}}}}}}}",
        "other.yaml",
    )


def gathered(case, images):
    """The image on each platform, its layers read; or why not."""
    request = ImageRequest(reference=Reference.parse(NAME), nodes=frozenset(case.nodes))
    opened = images.configs([request], until(case))[request]
    return layered(request, opened, images.layers(unread(request, opened), until(case)))


def until(case):
    """When a review is over."""
    return Deadline.after(0.2 if case.drips else 60, time.monotonic)


def told_of(item):
    """What ``slimgate inspect`` prints of it; None for what could not be read."""
    return None if isinstance(item, Unread) else document(item)


def labels(items):
    """Which platform a sentence is about, where there are several."""
    return [f"{item.platform}: " if len(items) > 1 else "" for item in items]


def sentence(told, label, judgement):
    """All that counts, as ``tests.catalogue.case`` has it."""
    findings = dict.fromkeys(f"{one.check} {one.reason}" for one in judgement.findings)
    assert bool(findings) is not judgement.allowed
    verdict = "allowed" if judgement.allowed else "denied: " + ", ".join(findings)
    return label + (verdict if told is None else f"{', '.join(things(told))} → {verdict}")


def things(told):
    """Who it runs as, and what it holds."""
    user = told["user"]
    assert user["root"] == (None if user["uid"] is None else user["uid"] == 0)
    yield "no user" if user["uid"] is None else f"user {user['uid']}:{user['gid']}"
    for key, form in KINDS.items():
        for one in told[key]:
            yield form.format(**one | {"path": visible(one["path"])})


def visible(path):
    """Without characters that would not show."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def looked_up(told, path):
    """``shells.0.path`` in a document."""
    for key in path.split("."):
        told = told[int(key)] if key.isdigit() else told[key]
    return told


def test_the_catalogue_is_whole():
    assert [number for number, _ in groupby(case.number for case in page.CASES)] == [*range(1, 92)]


def test_every_case_has_a_name_of_its_own():
    """Its number, a letter from the second on, and words."""
    counted = Counter()
    for case in page.CASES:
        letter = "abcdefghijklmnopqrstuvwxyz"[counted[case.number]].replace("a", "")
        assert re.match(rf"{case.number:02d}{letter} \S", case.name)
        counted[case.number] += 1


def test_the_page_is_fresh():
    """``python -m tests.catalogue.page`` was run after a table changed."""
    assert page.PAGE.read_text() == page.text()
