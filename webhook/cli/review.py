"""``slimgate review``: one AdmissionReview by hand, as the webhook would answer it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from webhook.cli.options import FILE, deadline, option, reads_images
from webhook.cli.output import complain
from webhook.cli.reading import reading
from webhook.review.admission import MAX_BODY
from webhook.review.answer import Reviewed, answer
from webhook.settings import Settings
from webhook.wiring import InFiles, judge_by, read_namespaces, read_policies


class _Nowhere:
    """A ``Recorder`` for one review, whose answer is all that is wanted."""

    def reviewed(self, review: Reviewed) -> None:
        """Say why it could not be judged; nothing else is worth a line."""
        if review.error is not None:
            complain(f"{type(review.error).__name__}: {review.error}")


@click.command("review")
@option(
    "--policy",
    "policies",
    multiple=True,
    metavar="FILE|NAME",
    default=("distroless-nonroot",),
    show_default=True,
    help="A policy file, a folder of them, or a shipped policy's name. Repeatable.",
)
@option(
    "--namespaces",
    type=FILE,
    help="Namespace objects, as kubectl get namespaces -o yaml prints them.",
)
@reads_images
def command(*, policies: tuple[str, ...], namespaces: Path | None, settings: Settings) -> None:
    """Answer an AdmissionReview given on standard input, as the webhook would.

    Policies select by the labels of the namespace; one that is not in --namespaces has only
    the label kubernetes.io/metadata.name.

    \b
    Example:
      slimgate review --policy policies/ --namespaces namespaces.yaml < review.json

    Exit codes: 0 it was answered, whatever the answer; 64 wrong usage, or no AdmissionReview.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    chosen = read_policies(policies, select=True)
    known = read_namespaces(namespaces)
    body = sys.stdin.buffer.read(MAX_BODY + 1)
    with reading(settings) as wired:
        judge = judge_by(InFiles(chosen=chosen, known=known), wired.images, audit_only=False)
        reviewed = answer(body, judge, deadline=deadline(settings), recorder=_Nowhere())
    sys.stdout.write(reviewed.decode() + "\n")
