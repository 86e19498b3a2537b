"""``slimgate controller``: the part of slimgate that speaks to the API server."""

from __future__ import annotations

import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal

import click
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from webhook.cli.options import FILE, Duration, option, version
from webhook.cluster.api import configured, connect
from webhook.cluster.controller import Controller, Duties
from webhook.cluster.registration import FailurePolicy
from webhook.errors import UsageError
from webhook.server.log import Log, json_log
from webhook.server.probes import probe_app, serve_probes
from webhook.server.serve import bound

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@click.command("controller")
@option(
    "--state",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    required=True,
    help="The folder shared with slimgate serve --state.",
)
@option(
    "--name",
    default="slimgate",
    show_default=True,
    help="The release's full name: of its Lease and Service, and in NAME-ca and NAME-tls.",
)
@option("--namespace", help="Where slimgate itself runs. Default: the pod's own.")
@option(
    "--certificates",
    type=click.Choice(["self", "external"]),
    default="self",
    show_default=True,
    help="Issue and rotate the serving certificate, or leave that to somebody else.",
)
@option(
    "--failure-policy",
    type=click.Choice(["Auto", "Fail", "Ignore"]),
    default="Auto",
    show_default=True,
    help="Auto: from Ignore to Fail, once the API server is proved to reach slimgate.",
)
@option("--audit-only", is_flag=True, help="slimgate refuses nothing: failurePolicy stays Ignore.")
@option(
    "--break-glass",
    is_flag=True,
    help="As serve has it: tell of it by an event and in metrics, for as long as it lasts.",
)
@option(
    "--probe-namespace",
    default="default",
    show_default=True,
    help="Where the proof of --failure-policy Auto is asked for, by dry runs.",
)
@option(
    "--pull-secrets",
    type=click.Choice(["read", "none"]),
    default="read",
    show_default=True,
    help="Read pods' pull secrets, wherever the ServiceAccount has the right; or never.",
)
@option(
    "--ca-days",
    type=click.IntRange(1, 3650),
    default=365,
    show_default=True,
    help="How long a CA lasts; it is replaced after two thirds of that.",
)
@option(
    "--leaf-days",
    type=click.IntRange(1, 825),
    default=30,
    show_default=True,
    help="How long a serving certificate lasts; likewise.",
)
@option(
    "--overlap",
    type=Duration(),
    default="60s",
    show_default=True,
    help="In which every API server has a new CA, before a certificate by it is served.",
)
@option(
    "--linger",
    type=Duration(),
    help="On SIGTERM, go on for so long with what slimgate serve needs: twice its --lame-duck. "
    "Default: not at all.",
)
@option("--metrics", metavar="HOST:PORT", help="Probes and /metrics, without TLS.")
@option("--kubeconfig", type=FILE, help="How to reach the API server from outside a pod.")
@version
def command(
    *,
    state: Path,
    name: str,
    namespace: str | None,
    certificates: Literal["self", "external"],
    failure_policy: FailurePolicy,
    audit_only: bool,
    break_glass: bool,
    probe_namespace: str,
    pull_secrets: Literal["read", "none"],
    ca_days: int,
    leaf_days: int,
    overlap: float,
    linger: float | None,
    metrics: str | None,
    kubeconfig: Path | None,
) -> None:
    """Watch the cluster for slimgate serve, and keep certificates and registration.

    Runs beside `slimgate serve --state` in the same pod, and shares a folder with it: policies,
    namespaces and platforms go there as a snapshot, questions come by a socket. Only this process
    has a token. Of several replicas, one leads and writes; a Lease says which.

    \b
    Examples:
      slimgate controller --state /run/slimgate --metrics 0.0.0.0:9091
      slimgate controller --state /tmp/gate --kubeconfig ~/.kube/config --namespace slimgate \\
          --certificates external --failure-policy Ignore

    It ends on SIGTERM, and hands the Lease on at once. With --linger it then still answers
    slimgate serve for as long as that is a lame duck; a second SIGTERM, or Ctrl-C, ends that.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    settings = configured(kubeconfig)
    duties = Duties(
        folder=state,
        release=name,
        namespace=namespace or _own_namespace(),
        identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
        certificates=certificates,
        failure_policy=failure_policy,
        audit_only=audit_only,
        break_glass=break_glass,
        probe_namespace=probe_namespace,
        ca=timedelta(days=ca_days),
        leaf=timedelta(days=leaf_days),
        overlap=overlap,
        linger=linger or 0.0,
    )
    registry, log = CollectorRegistry(), json_log(sys.stderr)
    ProcessCollector(registry=registry)
    running: list[Controller] = []
    listener = None if metrics is None else bound(metrics)
    stop, over = _told_to_end()
    if listener is not None:
        app = probe_app(
            dead=lambda: running[0].dead() if running else None,
            missing=lambda: running[0].missing() if running else "not begun yet",
            exposition=lambda: generate_latest(registry),
        )
        serve_probes(listener, app)

    report = _reporter(log)
    reads_secrets = pull_secrets == "read"
    controller = Controller(connect(settings), duties, registry, report, reads_secrets)
    running.append(controller)
    controller.run(stop, over)


def _told_to_end() -> tuple[threading.Event, threading.Event]:
    """Set when the end is to begin, and when it is to be over.

    A thread is told of signals through a socket. Python runs a handler in the main thread only, and
    where that waits for a lock and the kernel gave the signal to another thread (as it does when a
    process is frozen meanwhile), it would wait on.
    """
    stop, over = threading.Event(), threading.Event()
    heard, told = socket.socketpair()
    told.settimeout(0.0)  # as set_wakeup_fd wants it
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told.detach())

    def wait() -> None:
        first = heard.recv(1)
        stop.set()
        if first[0] != signal.SIGINT:
            heard.recv(1)
        over.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop, over


def _own_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text().strip()
    except OSError as error:
        raise UsageError("--namespace is needed where this is no pod") from error


def _reporter(log: Log) -> Callable[[str, str], None]:
    def report(word: str, text: str) -> None:
        write = log.warning if word.endswith(("error", "away", "lost", "restored")) else log.info
        write(word, detail=text)

    return report
