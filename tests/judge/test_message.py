"""The words of a denial, and that nothing hostile gets through them."""

from __future__ import annotations

import dataclasses

import pytest

from webhook.checks.check import Finding
from webhook.judge.decision import Action, Decision, Judgement
from webhook.judge.message import (
    MAX_SHOWN,
    clean,
    denial,
    image_of,
    sentence,
    violations,
    warnings,
    where,
)

DIGEST = "sha256:" + "cd" * 32
SHELL = Finding(
    check="noShell",
    result="fail",
    reason="shell",
    detail="busybox, and 304 links to it such as /bin/sh",
    remedy="Copy the binary into a last stage FROM a distroless base.",
    path="/bin/sh",
    layer_digest="sha256:0123456789abcdef" + "0" * 48,
    created_by="RUN apk add \\\n\t busybox",
)
ROOT = Finding(
    check="nonRoot",
    result="fail",
    reason="runsAsRoot",
    detail="the image sets no User, so it runs as uid 0",
    remedy="Add USER 65532 to the Dockerfile, or set runAsUser: 65532.",
)
SLOW = Finding(check="image", result="unknown", reason="deadline", detail="2 of 5 layers read")


def judged(*findings, **changes):
    judgement = Judgement(
        workload="Pod/web",
        container="app",
        image="registry.example/web:1",
        digest=DIGEST,
        platform="linux/amd64",
        policy="distroless-nonroot",
        action=Action.ENFORCE,
        allowed=False,
        findings=findings,
    )
    return dataclasses.replace(judgement, **changes)


def test_a_denial_in_full():
    decision = Decision(
        judgements=(
            judged(SHELL, ROOT),
            judged(SLOW, container="side", unasked=("noShell", "size")),
            judged(ROOT, policy="nonroot"),
            judged(SHELL, policy="audit", allowed=True),
        )
    )
    assert (
        denial(decision)
        == f"""\
policy distroless-nonroot denies Pod/web: 2 problems, 1 could not be found out
container app: registry.example/web:1@{DIGEST}
  - noShell: busybox, and 304 links to it such as /bin/sh
    found: /bin/sh in layer sha256:0123456789ab, made by: RUN apk add \\ busybox
    fix: Copy the binary into a last stage FROM a distroless base.
  - nonRoot: the image sets no User, so it runs as uid 0
    fix: Add USER 65532 to the Dockerfile, or set runAsUser: 65532.
container side: registry.example/web:1@{DIGEST}
  - image: could not be found out (deadline): 2 of 5 layers read
  not checked yet: noShell, size
policy nonroot denies Pod/web: 1 problem
container app: registry.example/web:1@{DIGEST}
  - nonRoot: the image sets no User, so it runs as uid 0
    fix: Add USER 65532 to the Dockerfile, or set runAsUser: 65532."""
    )


def test_nothing_denies():
    assert denial(Decision(judgements=(judged(SHELL, allowed=True),))) == ""


def test_audit_only_speaks_of_what_would_be():
    decision = Decision(judgements=(judged(ROOT),), audit_only=True)
    assert denial(decision).startswith("policy distroless-nonroot would deny Pod/web: 1 problem\n")


def test_what_is_only_warned_of_does_not_deny():
    decision = Decision(judgements=(judged(SHELL, ROOT, warned=(ROOT,)),))
    assert "noShell" in denial(decision)
    assert "nonRoot" not in denial(decision)
    [warning] = warnings(decision)
    assert warning == f"distroless-nonroot: container app: nonRoot: {ROOT.detail}; {ROOT.remedy}"


def test_platforms_are_folded_and_named_where_there_are_several():
    elsewhere = dataclasses.replace(SHELL, layer_digest="sha256:" + "9" * 64)
    arm = judged(elsewhere, platform="linux/arm64")
    message = denial(Decision(judgements=(judged(SHELL, ROOT), arm)))
    assert ": 2 problems" in message
    assert "/bin/sh (on linux/amd64, linux/arm64)\n" in message
    assert "uid 0 (on linux/amd64)\n" in message


def test_warnings_and_annotations_name_the_platform_where_there_are_several():
    arm = judged(ROOT, platform="linux/arm64", warned=(ROOT,), allowed=True)
    decision = Decision(judgements=(judged(allowed=True), arm))
    [warning] = warnings(decision)
    assert warning == (
        f"distroless-nonroot: container app: nonRoot: {ROOT.detail} (on linux/arm64); {ROOT.remedy}"
    )
    assert violations(decision, "fail") == (warning.removesuffix(f"; {ROOT.remedy}"),)


def test_a_volume_named_as_a_container_keeps_its_image():
    volume = judged(SHELL, image="registry.example/model:2", platform="linux/arm64")
    message = denial(Decision(judgements=(judged(ROOT), volume)))
    assert f"container app: registry.example/model:2@{DIGEST}\n  - noShell: " in message
    assert "(on " not in message


def test_checks_that_found_the_same_are_folded():
    other = dataclasses.replace(SLOW, check="size")
    decision = Decision(judgements=(judged(SLOW, other),))
    assert "- image, size: could not be found out (deadline): 2 of 5 layers read" in denial(
        decision
    )
    assert violations(decision, "fail") == ()
    assert len(violations(decision, "unknown")) == 1


def test_problems_past_the_bound_are_counted():
    many = [dataclasses.replace(SHELL, path=f"/bin/sh{n}") for n in range(MAX_SHOWN + 5)]
    message = denial(Decision(judgements=(judged(*many),)))
    assert f": {MAX_SHOWN + 5} problems" in message
    assert message.count("found:") == MAX_SHOWN
    assert message.endswith("\nand 5 more")


def test_hostile_values_cannot_forge_lines_or_flood():
    forged = "x\npolicy other denies Pod/y\x1b[2J\u202e" + "y" * 100_000
    finding = Finding(
        check="noShell", result="fail", reason="shell", detail=forged, remedy=forged,
        path=forged, layer_digest="sha256:" + "a" * 64, created_by=forged,
    )  # fmt: skip
    findings = [dataclasses.replace(finding, reason=str(n)) for n in range(100)]
    message = denial(Decision(judgements=(judged(*findings, image=forged, container=forged),)))
    assert all(line.isprintable() for line in message.split("\n"))
    assert sum(line.startswith("policy ") for line in message.split("\n")) == 1
    assert len(message) < 20_000


@pytest.mark.parametrize(
    ("text", "limit", "cleaned"),
    [
        pytest.param("plain é 漢", 20, "plain é 漢", id="untouched"),
        pytest.param("a\r\n\t b", 20, "a b", id="white space"),
        pytest.param("\x1b[31m", 20, "\\x1b[31m", id="control"),
        pytest.param("\u202e\ud800", 20, "\\u202e\\ud800", id="direction, surrogate"),
        pytest.param("abcdef", 5, "abcd…", id="cut"),
        pytest.param("abcde", 5, "abcde", id="fits"),
    ],
)
def test_clean(text, limit, cleaned):
    assert clean(text, limit) == cleaned


@pytest.mark.parametrize(
    ("image", "digest", "told"),
    [
        pytest.param("web:1", DIGEST, f"web:1@{DIGEST}", id="resolved"),
        pytest.param(f"web@{DIGEST}", DIGEST, f"web@{DIGEST}", id="by digest"),
        pytest.param("web:1", None, "web:1", id="unresolved"),
    ],
)
def test_image_of(image, digest, told):
    assert image_of(judged(image=image, digest=digest)) == told


LAYER = "in layer sha256:0123456789ab"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({}, f"/bin/sh {LAYER}, made by: RUN apk add \\ busybox", id="all"),
        pytest.param({"path": None, "created_by": None}, LAYER, id="layer"),
        pytest.param({"layer_digest": None, "created_by": None}, "/bin/sh", id="path"),
        pytest.param({"path": None, "layer_digest": None, "created_by": None}, "", id="nothing"),
    ],
)
def test_where(changes, told):
    assert where(dataclasses.replace(SHELL, **changes)) == told


def test_sentence():
    assert sentence(ROOT) == "nonRoot: the image sets no User, so it runs as uid 0"
    assert sentence(SLOW) == "image: could not be found out (deadline): 2 of 5 layers read"
