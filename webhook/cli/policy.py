"""``slimgate policy``: check, test and describe policies."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from webhook.cli.asked import image_name
from webhook.cli.options import deadline, reads_images, version
from webhook.cli.output import show
from webhook.cli.reading import reading
from webhook.errors import PolicyError, UsageError
from webhook.evaluate import evaluate
from webhook.gather.source import Gathered, ImageRequest, Images, Layered
from webhook.image.facts import ImageFacts
from webhook.judge.cases import Judge, Outcome, Question, run_tests
from webhook.judge.crd import manifest
from webhook.judge.decision import Judgement
from webhook.judge.load import load_policies
from webhook.judge.schema import policy_schema
from webhook.limits import Deadline
from webhook.report.json import dump
from webhook.report.page import Line
from webhook.report.safe import plural
from webhook.review.workload import workload_of
from webhook.settings import Settings
from webhook.wiring import Wired, today

FAULTY = 1
_PATHS = click.Path(exists=True, path_type=Path)


@click.group("policy")
@version
def command() -> None:
    """Check, test and describe policies."""


@command.command("check", no_args_is_help=True)
@click.argument("paths", metavar="FILE|FOLDER...", nargs=-1, required=True, type=_PATHS)
@version
@click.pass_context
def check(ctx: click.Context, *, paths: tuple[Path, ...]) -> None:
    """Say what is wrong with policy files: every fault, with its line.

    \b
    Example:
      slimgate policy check policies/

    Exit codes: 0 nothing is wrong; 1 something is; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    faulty = False
    for path in paths:
        try:
            count = len(load_policies(path))
        except PolicyError as error:
            faulty = True
            show(Line((("bad", problem),)) for problem in error.problems)
        else:
            good = f"{count} policy" if count == 1 else f"{count} policies"
            show([Line((("", f"{path}: "), ("good", f"{good}, nothing wrong")))])
    ctx.exit(FAULTY if faulty else 0)


@command.command("test", no_args_is_help=True)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=_PATHS)
@reads_images
@click.pass_context
def test(ctx: click.Context, *, paths: tuple[Path, ...], settings: Settings) -> None:
    """Run the cases that say what a policy should answer.

    \b
    A file of cases, beside the policy it tests:
      apiVersion: slimgate.dev/v1alpha1
      kind: PolicyTest
      policy: nonroot.yaml
      cases:
        - name: root is refused
          facts: {user: {declared: "0", uid: 0, gid: 0, root: true, reason: "User is 0"}}
          expect: [{check: nonRoot}]
          allowed: false

    \b
    Example:
      slimgate policy test policies/tests/*.yaml

    Exit codes: 0 every case holds; 1 one does not; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    with reading(settings) as wired:
        judge = _judge(wired, deadline(settings))
        outcomes = [outcome for path in paths for outcome in run_tests(path, judge)]
    show(line for outcome in outcomes for line in _told(outcome))
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    show([_summary(len(outcomes), failed)])
    ctx.exit(FAULTY if failed else 0)


@command.command("schema")
@version
def schema() -> None:
    """Print the JSON Schema of an ImagePolicy, for editors.

    \b
    Example:
      slimgate policy schema > imagepolicy.schema.json
    """  # noqa: D301 - click's mark for lines that are not wrapped
    sys.stdout.write(dump(policy_schema()))


@command.command("crd")
@version
def crd() -> None:
    """Print the CustomResourceDefinition of ImagePolicy, and what guards it.

    The guard is a ValidatingAdmissionPolicy that refuses misspelt fields and checks, which a
    CustomResourceDefinition alone lets through. The chart installs the same.

    \b
    Example:
      slimgate policy crd | kubectl apply --server-side -f -
    """  # noqa: D301 - click's mark for lines that are not wrapped
    sys.stdout.write(manifest())


@dataclass(frozen=True, slots=True)
class _Given:
    """``Images`` of a case that brings its facts: whatever is asked for, it is this."""

    facts: ImageFacts

    def configs(
        self,
        requests: Collection[ImageRequest],
        deadline: Deadline,  # noqa: ARG002 - nothing is waited for
    ) -> Mapping[ImageRequest, Gathered]:
        return dict.fromkeys(requests, (self.facts,))

    def layers(
        self,
        images: Collection[tuple[ImageRequest, ImageFacts]],
        deadline: Deadline,  # noqa: ARG002 - nothing is waited for
    ) -> Layered:
        return {(request, facts.manifest_digest): facts for request, facts in images}


def _judge(wired: Wired, until: Deadline) -> Judge:
    def judge(question: Question) -> Sequence[Judgement]:
        workload = workload_of(question.pod, namespace=question.namespace.name)
        if workload is None:
            raise UsageError("a case's pod is no pod")
        images: Images = wired.images
        if question.facts is not None:
            images = _Given(question.facts)
        else:
            named = tuple(
                replace(container, image=image_name(container.image, wired.sources))
                for container in workload.containers
            )
            workload = replace(workload, containers=named)
        return evaluate(
            workload,
            question.policies,
            images,
            until,
            namespace=question.namespace,
            today=question.today or today(),
            thorough=True,
        )

    return judge


def _told(outcome: Outcome) -> Sequence[Line]:
    if not outcome.problems:
        return [Line((("good", "ok    "), ("", outcome.case)))]
    title = Line((("bad", "FAILED  "), ("", outcome.case)))
    return [title, *(Line((("", "        "),), (("", one),)) for one in outcome.problems)]


def _summary(count: int, failed: int) -> Line:
    verdict = f", {failed} failed" if failed else ", all hold"
    return Line((("bad" if failed else "good", plural(count, "case") + verdict),))
