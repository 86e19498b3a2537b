"""``slimgate serve``: the webhook."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from flask import Flask

from webhook import __version__
from webhook.certs.issue import read_certificates
from webhook.cli.options import FILE, Duration, option, reads_images
from webhook.cli.store import keeps_facts
from webhook.cluster.keeper import Kept
from webhook.errors import StateUnknown, UsageError
from webhook.judge.load import BUILTIN
from webhook.limits import Deadline
from webhook.metrics import Expiry, Metrics
from webhook.reader.messages import DEATHS
from webhook.review.answer import answer
from webhook.server.app import Ready, create_app
from webhook.server.log import LogAndCount, ShelfLog, json_log
from webhook.server.serve import THREADS, Serving, serve
from webhook.settings import Settings, SQLiteSettings, ValkeySettings
from webhook.wiring import (
    InCluster,
    InFiles,
    Sources,
    build,
    judge_by,
    known_bases,
    read_apart,
    read_namespaces,
    read_policies,
    shelved,
    today,
)

_TAG_SECONDS = 30.0


@click.command("serve")
@option(
    "--policies",
    type=click.Path(exists=True),
    help="A folder of policies, or a file. Default: the shipped ones.",
)
@option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8443",
    show_default=True,
    help="Where POST /validate is answered, over TLS.",
)
@option("--cert", type=FILE, help="PEM certificate. Default: one is made, and its CA is shown.")
@option("--key", type=FILE, help="The certificate's PEM key.")
@option("--audit-only", is_flag=True, help="Deny nothing, whatever the policies say; record it.")
@option(
    "--break-glass",
    is_flag=True,
    help="In an emergency: deny nothing, and say so in every answer until it is over.",
)
@option(
    "--state",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="In a cluster: the folder shared with slimgate controller, which brings policies, "
    "namespaces and, without --cert, the certificate.",
)
@option(
    "--max-stale",
    type=Duration(),
    default="5m",
    show_default=True,
    help="With --state: refuse pods where the API server was not heard of for longer. A cluster "
    "where nothing happens is heard of every 30s: no less than 1m.",
)
@option(
    "--namespaces",
    type=FILE,
    help="Namespace objects, as kubectl get namespaces -o yaml prints them.",
)
@option(
    "--client-ca",
    type=FILE,
    help="PEM certificates: clients must show one that these vouch for. Read again on change.",
)
@option(
    "--client-name",
    "client_names",
    metavar="NAME",
    multiple=True,
    help="A common or alternative name that client may have. Repeatable. Default: any.",
)
@option(
    "--lame-duck",
    type=Duration(),
    default="15s",
    show_default=True,
    help="On SIGTERM, answer on for so long, while clients are sent elsewhere.",
)
@option(
    "--drain",
    type=Duration(),
    default="30s",
    show_default=True,
    help="After that, let reviews under way take so long.",
)
@option("--metrics", metavar="HOST:PORT", help="Probes and /metrics without TLS, on this port too.")
@option(
    "--reader",
    type=click.Path(path_type=Path),
    help="The socket of slimgate reader, which opens layers. Default: one is begun here.",
)
@option(
    "--allow-address",
    "allow_addresses",
    metavar="CIDR",
    multiple=True,
    help="Dial registries in this network though it would be denied. Repeatable.",
)
@option(
    "--deny-address",
    "deny_addresses",
    metavar="CIDR",
    multiple=True,
    help="Never dial this network: the cluster's pods and services. Repeatable.",
)
@option("--allow-loopback", is_flag=True, help="Dial registries on loopback addresses.")
@keeps_facts
@reads_images
def command(
    *,
    policies: str | None,
    listen: str,
    cert: Path | None,
    key: Path | None,
    audit_only: bool,
    break_glass: bool,
    state: Path | None,
    max_stale: float,
    namespaces: Path | None,
    client_ca: Path | None,
    client_names: tuple[str, ...],
    lame_duck: float,
    drain: float,
    metrics: str | None,
    reader: Path | None,
    allow_addresses: tuple[str, ...],
    deny_addresses: tuple[str, ...],
    allow_loopback: bool,
    store: SQLiteSettings | ValkeySettings | None,
    settings: Settings,
) -> None:
    """Answer AdmissionReviews over HTTPS: POST /validate, /healthz, /readyz, /metrics.

    Works without a cluster: policies and namespaces come from files. In a cluster, --state has
    them from slimgate controller, which runs beside it. Unlike the other commands it dials no
    loopback address, and speaks plain http only to --plain-http hosts.

    \b
    Examples:
      slimgate serve --policies policies/ --listen 0.0.0.0:8443 --audit-only
      slimgate serve --cert tls.crt --key tls.key --metrics 0.0.0.0:9090

    Files of policies and namespaces are read at the start, the certificate again whenever it
    changes. On SIGTERM it says that it is not ready, answers on for --lame-duck, lets the reviews
    under way end and goes. Ctrl-C leaves out the lame duck.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    settings = replace(
        settings,
        loopback_http=False,
        allow_loopback=allow_loopback,
        allow_addresses=allow_addresses,
        deny_addresses=deny_addresses,
        waiters=THREADS // 2,
        tag_seconds=_TAG_SECONDS,
        store=store,
    )
    knowledge = _knowledge(policies, namespaces, state, max_stale)
    known_bases(settings.bases)  # what is wrong with the settings ends the start, not a worker
    with closing(Sources(settings)) as sources:
        sources.connect()
    own = state is not None and cert is None and key is None
    if state and own:
        cert, key = state / "tls" / "tls.crt", state / "tls" / "tls.key"
    mode = {"audit_only": audit_only, "break_glass": break_glass}
    application = partial(_application, settings, knowledge, cert=cert, reader=reader, **mode)
    serving = Serving(
        listen=listen,
        metrics=metrics,
        cert=cert,
        key=key,
        wait_for_certificate=own,
        client_ca=client_ca,
        client_names=client_names,
        lame_duck=lame_duck,
        drain=math.ceil(drain),
        kept=None if state is None else Kept(state),
    )
    serve(application, serving)


def _knowledge(
    policies: str | None, namespaces: Path | None, state: Path | None, max_stale: float
) -> InFiles | InCluster:
    """Files are read now: what is wrong with them ends the start, not a worker."""
    if state is None:
        chosen = read_policies(BUILTIN if policies is None else (policies,), select=True)
        return InFiles(chosen=chosen, known=read_namespaces(namespaces))
    if policies is not None or namespaces is not None:
        raise UsageError("--state goes without --policies and --namespaces: they are the cluster's")
    return InCluster(state, max_stale=max_stale)


def _application(
    settings: Settings,
    knowledge: InFiles | InCluster,
    *,
    cert: Path | None,
    reader: Path | None,
    audit_only: bool,
    break_glass: bool,
) -> Flask:
    """Made in the process that answers: threads do not survive a fork."""
    pods = knowledge.credentials if isinstance(knowledge, InCluster) else None
    log, metrics = json_log(sys.stderr), Metrics(__version__)
    wired = build(
        settings,
        pods=pods,
        reader=read_apart(settings, reader, metrics.readers(DEATHS)),
        shelved=shelved(settings.store, ShelfLog(log, metrics, time.monotonic)),
    )
    metrics.exceptions(partial(_expiries, knowledge), today)
    if cert is not None:
        metrics.certificate(partial(_ends, cert))
    ready: Ready = knowledge.missing
    if isinstance(knowledge, InCluster):
        metrics.snapshot_age(knowledge.age)
    judge = judge_by(knowledge, wired.images, audit_only=audit_only, break_glass=break_glass)
    recorder, lenient = LogAndCount(log, metrics), audit_only or break_glass

    def answered(body: bytes, deadline: Deadline) -> bytes:
        return answer(body, judge, deadline=deadline, recorder=recorder, audit_only=lenient)

    return create_app(
        answered,
        metrics=metrics,
        ready=ready,
        log=log,
        clock=time.monotonic,
        max_in_flight=THREADS,
    )


def _ends(cert: Path) -> float | None:
    """As the file has it: a certificate that cannot be served is told of by the log."""
    try:
        found = read_certificates(cert.read_bytes())
    except OSError:
        return None  # not issued yet
    return found[0].not_valid_after_utc.timestamp() if found else None


def _expiries(knowledge: InFiles | InCluster) -> Iterator[Expiry]:
    with suppress(StateUnknown):  # nothing to count down where nothing is known
        for policy in knowledge.policies():
            for exception in policy.exceptions:
                yield policy.name, exception.reason, exception.expires
