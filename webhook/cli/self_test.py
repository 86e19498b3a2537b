"""``slimgate self-test``: what ``helm test`` runs in the cluster."""

from __future__ import annotations

from pathlib import Path

import click

from webhook.cli.options import Duration, option, version
from webhook.cluster.self_test import MOUNTED, in_cluster, self_test


@click.command("self-test")
@option("--namespace", required=True, metavar="NAME", help="Where pods are asked for.")
@option("--good", required=True, metavar="IMAGE", help="An image that has to be let in.")
@option("--bad", required=True, metavar="IMAGE", help="One that has to be refused as root.")
@option("--audit-only", is_flag=True, help="slimgate denies nothing: the bad one is let in.")
@option(
    "--wait",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long to ask again until all is well.",
)
@option(
    "--credentials",
    type=click.Path(file_okay=False, path_type=Path),
    default=MOUNTED,
    show_default=True,
    help="Folder with a ServiceAccount's token and ca.crt.",
)
@version
def command(
    *, namespace: str, good: str, bad: str, audit_only: bool, wait: float, credentials: Path
) -> int:
    """Ask the API server for a good and a bad pod, by dry run; the chart's helm test.

    It runs in a pod whose ServiceAccount may create pods and podtemplates in the namespace,
    where a policy has to refuse the bad one.

    \b
    Example:
      slimgate self-test --namespace slimgate-test --good app:1.4 --bad app:1.4

    Exit codes: 0 all is well, 1 something is not, 64 wrong usage, or no pod.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    server = in_cluster(credentials)
    problems = 0
    for step in self_test(
        server, namespace=namespace, good=good, bad=bad, audit_only=audit_only, seconds=wait
    ):
        print(f"{'ok' if step.problem is None else 'NOT OK'}: {step.question}", flush=True)
        if step.problem is not None:
            print(f"  {step.problem}", flush=True)
            problems += 1
    return min(problems, 1)
