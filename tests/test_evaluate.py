"""The core call: what is asked, how much is read for it, and what the answers come to."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest

from tests.support import forge
from tests.support.source import ForgedSource
from webhook import errors
from webhook.evaluate import REFUSALS, evaluate
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import Unread
from webhook.judge.decision import Action
from webhook.judge.load import parse_policies
from webhook.judge.policy import Namespace, Policy
from webhook.judge.selector import LabelSelector
from webhook.limits import Deadline, Limits
from webhook.pod import Container, ContainerKind, Workload
from webhook.store.memory import Memory

TODAY = date(2026, 11, 23)
SHELL = [forge.file("bin/sh", b"\x7fELF", mode=0o755)]
IMAGES = {
    "registry.test/good:1": forge.image(
        [[forge.file("app", b"\x7fELF", mode=0o755)]], user="65532", entrypoint=["/app"]
    ),
    "registry.test/root:1": forge.image([SHELL], user="0"),
    "registry.test/shell:1": forge.image([SHELL], user="65532"),
    "registry.test/named:1": forge.image(
        [[forge.file("etc/passwd", b"app:x:0:0::/:\n")]], user="app"
    ),
    "registry.test/torn:1": forge.image([SHELL], user="65532", config={"rootfs": {"diff_ids": []}}),
}


@pytest.fixture
def judged():
    """Evaluate a pod of these images; returns its judgements and what was asked of the source."""
    pools = [Lanes(2, 4), Lanes(2, 4)]

    def judge(
        policies,
        *images,
        namespace=None,
        thorough=False,
        kind=ContainerKind.CONTAINER,
        template=False,
        **container,
    ):
        source = ForgedSource(IMAGES)
        kept = {
            name: Memory(capacity=100, clock=time.monotonic)
            for name in ("tags", "proofs", "images", "partial", "layers", "files", "failures")
        }
        gatherer = Gatherer(
            source,
            caches=Caches(**kept),
            limits=Limits(),
            opening=pools[0],
            reading=pools[1],
            clock=time.monotonic,
            background=30,
        )
        workload = Workload(
            kind="Deployment" if template else "Pod",
            name="web",
            namespace="prod",
            template=template,
            containers=tuple(
                Container(name=f"c{number}", image=image, kind=kind, **container)
                for number, image in enumerate(images)
            ),
        )
        judgements = evaluate(
            workload,
            policies,
            gatherer,
            Deadline.after(20, time.monotonic),
            namespace=namespace or Namespace(name="prod"),
            today=TODAY,
            thorough=thorough,
        )
        return judgements, source.asked

    yield judge
    for pool in pools:
        pool.close()


def policies(spec: str, *, action: str = "Enforce", name: str = "p"):
    """One policy from the lines of its spec."""
    lines = "\n".join("  " + line for line in spec.strip().splitlines())
    return parse_policies(
        f"apiVersion: slimgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\n"
        f"spec:\n  action: {action}\n{lines}\n",
        "test.yaml",
    )


BOTH = "checks: {nonRoot: {}, noShell: {}}"


def found(judgements):
    return [(finding.check, finding.reason) for j in judgements for finding in j.findings]


def test_a_good_image_passes_with_one_judgement_for_each_policy(judged):
    two = (*policies(BOTH), *policies(BOTH, action="Audit", name="q"))
    judgements, _ = judged(two, "registry.test/good:1")

    assert [(j.policy, j.allowed, j.findings) for j in judgements] == [
        ("p", True, ()),
        ("q", True, ()),
    ]
    assert judgements[0].digest == IMAGES["registry.test/good:1"].digest
    assert judgements[0].platform == "linux/amd64"


def test_a_denial_proved_by_the_config_fetches_no_layer(judged):
    judgements, asked = judged(policies(BOTH), "registry.test/root:1")

    assert not judgements[0].allowed
    assert judgements[0].unasked == ("noShell",)
    assert IMAGES["registry.test/root:1"].layers[0] not in asked


def test_thorough_reads_on_and_finds_the_shell_too(judged):
    judgements, _ = judged(policies(BOTH), "registry.test/root:1", thorough=True)

    assert {check for check, _ in found(judgements)} == {"nonRoot", "noShell"}
    assert judgements[0].unasked == ()


def test_without_enforcing_everything_is_read(judged):
    judgements, _ = judged(policies(BOTH, action="Warn"), "registry.test/root:1")

    assert judgements[0].allowed
    assert {finding.check for finding in judgements[0].warned} == {"nonRoot", "noShell"}


def test_what_the_pod_alone_decides_needs_no_network(judged):
    judgements, asked = judged(
        policies("checks: {nonRoot: {}}"), "registry.test/root:1", run_as_user=65532
    )

    assert judgements[0].allowed
    assert asked == []


def test_a_user_by_name_is_looked_up_in_the_layers(judged):
    judgements, _ = judged(policies("checks: {nonRoot: {}}"), "registry.test/named:1")

    assert not judgements[0].allowed
    assert "passwd" in judgements[0].findings[0].detail


@pytest.mark.parametrize(
    ("image", "action", "result", "reason", "allowed"),
    [
        pytest.param("registry.test/none:1", "Enforce", "unknown", "notFound", False, id="missing"),
        pytest.param("registry.test/none:1", "Warn", "unknown", "notFound", True, id="warned"),
        pytest.param("registry.test/torn:1", "Enforce", "fail", "malformed", False, id="broken"),
        pytest.param("Not A Name", "Enforce", "fail", "malformed", False, id="no reference"),
        pytest.param("", "Enforce", "fail", "malformed", False, id="no image at all"),
    ],
)
def test_an_image_that_cannot_be_read_is_one_finding(
    judged, image, action, result, reason, allowed
):
    judgements, _ = judged(policies(BOTH, action=action), image)

    assert [(f.check, f.result, f.reason) for f in judgements[0].findings] == [
        ("image", result, reason)
    ]
    assert judgements[0].allowed is allowed
    assert judgements[0].findings[0].remedy


def test_on_unknown_allow_does_not_excuse_what_is_proved(judged):
    lenient = policies(BOTH + "\nonUnknown: Allow")

    assert judged(lenient, "registry.test/none:1")[0][0].allowed
    assert not judged(lenient, "registry.test/torn:1")[0][0].allowed


def test_a_policy_for_other_images_or_namespaces_says_nothing(judged):
    elsewhere = policies(BOTH + "\nnamespaceSelector: {matchLabels: {tier: prod}}")
    others = policies(BOTH + '\nimages: {include: ["other.test/*"]}')

    assert judged((*elsewhere, *others), "registry.test/root:1") == ((), [])


def test_a_template_gets_no_more_than_the_policy_gives_templates(judged):
    (judgement,), _ = judged(policies(BOTH), "registry.test/root:1", template=True)

    assert judgement.allowed
    assert judgement.action == "Warn"
    assert judgement.warned


def test_an_exception_lifts_its_check_and_says_so(judged):
    excepted = policies(
        BOTH
        + """
exceptions:
  - images: ["registry.test/*"]
    checks: [noShell]
    reason: "OPS-1: soon"
    expires: 2026-11-23
"""
    )
    (judgement,), _ = judged(excepted, "registry.test/shell:1")

    assert judgement.allowed
    assert judgement.excepted == ("noShell: OPS-1: soon (until 2026-11-23)",)


def test_every_container_is_judged_and_one_is_enough(judged):
    judgements, _ = judged(
        policies(BOTH, action="Warn"), "registry.test/good:1", "registry.test/shell:1"
    )

    assert [len(j.findings) for j in judgements] == [0, 1]


def kinds(kind):
    """Every class of a reason of its own."""
    own = [kind] if "reason" in vars(kind) else []
    return own + [found for child in kind.__subclasses__() for found in kinds(child)]


def test_every_reason_has_a_remedy():
    assert all(kind.remedy for kind in kinds(errors.ImageError))
    assert set(REFUSALS.values()) == set(kinds(errors.ImageRefused))


@pytest.mark.parametrize(
    ("action", "allowed", "warned"), [("Enforce", False, 0), ("Warn", True, 1), ("Audit", True, 0)]
)
def test_a_broken_policy_is_unknown_once_a_container_and_reads_nothing(
    judged, action, allowed, warned
):
    """Under its own action; what it selects is not let in because nobody can read it."""
    broken = Policy.unreadable(
        "team", ("spec.checks.x: is no field", "more"), action=Action(action), selector=None
    )
    judgements, asked = judged((broken,), "registry.test/good:1", "Not A Name")

    assert found(judgements) == [("policy", "broken")] * 2
    finding = judgements[0].findings[0]
    assert finding.result == "unknown"
    assert finding.detail == "the policy cannot be read: spec.checks.x: is no field"
    assert finding.remedy.endswith("kubectl describe imagepolicy team")
    assert [(j.allowed, len(j.warned)) for j in judgements] == [(allowed, warned)] * 2
    assert list(asked) == []


def test_a_broken_policy_does_not_keep_others_from_reading(judged):
    """One finding of the broken one, whatever was read for the others."""
    broken = Policy.unreadable("team", ("x",), action=Action.WARN, selector=None)
    judgements, _ = judged((broken, *policies(BOTH)), "registry.test/shell:1")
    assert found(judgements) == [("policy", "broken"), ("noShell", "shell")]


def test_a_broken_policy_is_asked_only_where_it_selects(judged):
    """Its selector was read: elsewhere it has nothing to say."""
    selector = LabelSelector(match_labels={"env": "prod"})
    broken = Policy.unreadable("team", ("x",), action=Action.ENFORCE, selector=selector)
    assert judged((broken,), "registry.test/good:1")[0] == ()


class NeverRead:
    """``Images`` that notes the requests."""

    def __init__(self):
        self.requests = []

    def configs(self, requests, _deadline):
        self.requests += requests
        error = errors.Unreachable("the registry is away")
        return {request: (Unread(error=error),) for request in requests}

    def layers(self, _images, _deadline):
        return {}


def test_turns_are_taken_among_namespaces():
    images = NeverRead()
    for namespace in ("prod", "test"):
        evaluate(
            Workload(
                kind="Pod",
                name="web",
                namespace=namespace,
                containers=(Container(name="c", image="registry.test/good:1"),),
            ),
            policies(BOTH),
            images,
            Deadline.never(),
            namespace=Namespace(name=namespace),
            today=TODAY,
        )
    assert [request.turn for request in images.requests] == ["prod", "test"]
    assert len({replace(request, account=None) for request in images.requests}) == 1
