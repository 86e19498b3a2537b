"""``slimgate check``: the webhook's verdict before the push, and in CI."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from webhook.cli.asked import Asked, images_asked, manifests_asked
from webhook.cli.options import FILE, MANIFEST, PlatformType, deadline, option, reads_images
from webhook.cli.output import show
from webhook.cli.reading import reading
from webhook.evaluate import evaluate
from webhook.gather.source import Images
from webhook.image.platform import Platform
from webhook.judge.policy import Namespace, Policy
from webhook.limits import Deadline
from webhook.registry.archive import is_archive
from webhook.report import baseline, text
from webhook.report.entry import Entry, fails
from webhook.settings import Settings
from webhook.wiring import NAME_LABEL, read_policies, today

PASSED, DENIED, UNSURE = 0, 1, 2
_MANIFESTS = (".yaml", ".yml", ".json")
_DEFAULT_POLICY = "distroless-nonroot"


class Label(click.ParamType[tuple[str, str]]):
    """``key=value``."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The key and the value, which may be empty."""
        if isinstance(value, tuple):
            return value
        key, equals, label = value.partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is no label: write key=value", param, ctx)
        return key, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How everything that is asked about is judged."""

    policies: tuple[Policy, ...]
    labels: Mapping[str, str]
    """Of every namespace."""
    today: date
    deadline: Deadline
    thorough: bool
    accepted: baseline.Baseline


@click.command("check", no_args_is_help=True)
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@option(
    "-f",
    "--filename",
    "manifests",
    type=MANIFEST,
    multiple=True,
    metavar="MANIFEST",
    help="Files of Kubernetes objects (k8s/*.yaml); - reads standard input. Repeatable.",
)
@option(
    "--policy",
    "policies",
    multiple=True,
    metavar="FILE|NAME",
    help="A policy file, a folder of them, or a shipped policy's name. Repeatable.",
    default=(_DEFAULT_POLICY,),
    show_default=True,
)
@option(
    "--namespace-label",
    "labels",
    type=Label(),
    multiple=True,
    help="A label of the namespace. Once one is given, namespace selectors count. Repeatable.",
)
@option(
    "--platform",
    "platforms",
    type=PlatformType(),
    multiple=True,
    help="Judge for nodes of this platform alone. Repeatable. Default: all of linux.",
)
@option("--all", "thorough", is_flag=True, help="Ask every check, even if one has denied already.")
@option(
    "--baseline",
    "accepted",
    type=FILE,
    help="An earlier --all -o json: the failures in it are accepted. Implies --all.",
)
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "sarif", "junit", "github"]),
    default="text",
    show_default=True,
    help="The form of the report.",
)
@reads_images
@click.pass_context
def command(
    ctx: click.Context,
    *,
    images: Sequence[str],
    manifests: Sequence[Path],
    policies: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    platforms: tuple[Platform, ...],
    thorough: bool,
    accepted: Path | None,
    output: str,
    settings: Settings,
) -> None:
    """Judge images, or the pods of manifests, by policies.

    \b
    IMAGE is one of
      registry/name:tag            or name@sha256:…, or both
      oci:FOLDER[:ref]
      oci-archive:FILE[:ref]       - for FILE reads standard input
      docker-archive:FILE[:ref]    likewise: what docker save writes

    Deployments, Jobs and the like are judged as the pods they create. Without --namespace-label
    a policy's namespaceSelector is not asked.

    \b
    Examples:
      slimgate check registry.example/app:1.4
      slimgate check oci:build/image --policy nonroot -o json
      slimgate check -f deploy.yaml --policy policies/ --namespace-label env=prod
      kustomize build . | slimgate check -f - -o github
      slimgate check app:2 --baseline yesterday.json

    Exit codes: 0 nothing denies; 1 a failure denies; 2 something could not be found out, or no
    policy applied; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    if not images and not manifests:
        raise click.UsageError("name an image, or a manifest with -f")
    images, manifests = _told_apart(images, manifests)
    if _readers_of_standard_input(images, manifests) > 1:
        raise click.UsageError("standard input can be read only once")
    question = Question(
        policies=read_policies(policies, select=bool(labels)),
        labels=dict(labels),
        today=today(),
        deadline=deadline(settings),
        # What a failure that is accepted kept from being asked may be new.
        thorough=thorough or accepted is not None,
        accepted=baseline.read(accepted.read_bytes(), str(accepted)) if accepted else frozenset(),
    )
    with reading(settings) as wired:
        asked = [
            *images_asked(images, wired.sources, platforms),
            *manifests_asked(manifests, platforms, settings),
        ]
        entries = [*_entries(asked, question, wired.images)]
    _write(entries, output)
    ctx.exit(exit_code(entries))


def _told_apart(
    arguments: Sequence[str], manifests: Sequence[Path]
) -> tuple[Sequence[str], Sequence[Path]]:
    """Images and manifests: a shell makes ``-f a.yaml b.yaml`` of ``-f *.yaml``."""
    if not manifests:
        return arguments, manifests
    more = [name for name in arguments if name.endswith(_MANIFESTS) and Path(name).is_file()]
    images = [name for name in arguments if name not in more]
    return images, [*manifests, *map(Path, more)]


def _readers_of_standard_input(images: Iterable[str], manifests: Iterable[Path]) -> int:
    archives = (image.split(":")[1] for image in images if is_archive(image))
    return [*archives, *map(str, manifests)].count("-")


def exit_code(entries: Sequence[Entry]) -> int:
    """1 if a failure denies; else 2 if something is unknown or nothing was judged; else 0."""
    judgements = [entry.judgement for entry in entries]
    if any(not judgement.allowed and fails(judgement) for judgement in judgements):
        return DENIED
    findings = [finding for judgement in judgements for finding in judgement.findings]
    if not judgements or any(finding.result == "unknown" for finding in findings):
        return UNSURE
    return PASSED


def _entries(asked: Iterable[Asked], question: Question, images: Images) -> Iterator[Entry]:
    on_unknown = {policy.name: policy.on_unknown for policy in question.policies}
    for one in asked:
        name = one.workload.namespace
        for judgement in evaluate(
            one.workload,
            question.policies,
            images,
            question.deadline,
            namespace=Namespace(name=name, labels={NAME_LABEL: name, **question.labels}),
            today=question.today,
            thorough=question.thorough,
        ):
            told = judgement if one.image is None else replace(judgement, image=one.image)
            new = baseline.accept(told, on_unknown[judgement.policy], question.accepted)
            yield Entry(judgement=new, file=one.file, line=one.line)


def _write(entries: Sequence[Entry], output: str) -> None:
    if output == "text":
        show(text.lines(entries))
    else:
        # Each format is a module with ``render``; the others need not be loaded.
        sys.stdout.write(import_module(f"webhook.report.{output}").render(entries))
