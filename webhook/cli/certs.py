"""``slimgate certs``: what certificates say, and to have them renewed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cryptography import x509

from webhook.certs.issue import (
    fingerprint,
    is_authority,
    issued,
    names,
    read_certificates,
)
from webhook.cli.options import FILE, Duration, option, version
from webhook.errors import UsageError

if TYPE_CHECKING:
    from webhook.cluster.objects import Document, Objects

_PAUSE = 1.0
_KUBECONFIG = option("--kubeconfig", type=FILE, help="Default: as kubectl finds it.")
_NAMESPACE = option("--namespace", default="slimgate", show_default=True, help="slimgate's own.")
_NAME = option("--name", default="slimgate", show_default=True, help="The release's full name.")


@click.group("certs")
@version
def command() -> None:
    """Show certificates, and have them renewed.

    \b
    Examples:
      slimgate certs show tls.crt ca.crt
      slimgate certs show --secret slimgate-tls --namespace slimgate
      slimgate certs rotate --ca --namespace slimgate
    """  # noqa: D301 - click's mark for lines that are not wrapped


@command.command("show")
@click.argument("files", nargs=-1, type=FILE)
@option("--secret", metavar="NAME", help="The certificates in a Secret of the cluster.")
@_NAMESPACE
@_KUBECONFIG
def show(
    *, files: tuple[Path, ...], secret: str | None, namespace: str, kubeconfig: Path | None
) -> int:
    """Say what PEM files, or a Secret, hold; keys are not shown.

    A CA's issuer is looked for among all that is shown. Exit code 1 where a certificate has
    ended, or its issuer is not among them.
    """
    if not files and secret is None:
        raise UsageError("name PEM files, or --secret NAME")
    texts = {str(file): file.read_bytes() for file in files}
    if secret is not None:
        texts |= _in_secret(_objects(kubeconfig), namespace, secret)
    found = {name: read_certificates(text) for name, text in texts.items()}
    every = [one for each in found.values() for one in each]
    if not every:
        raise UsageError(f"there is no certificate in {', '.join(texts) or f'Secret {secret}'}")
    now, wrong = datetime.now(UTC), 0
    for name, each in found.items():
        for one in each:
            problem = _problem(one, every, now)
            wrong += bool(problem)
            print(_described(name, one, problem))
    return min(wrong, 1)


@command.command("rotate")
@option("--ca", is_flag=True, help="The CA, and the serving certificate by it.")
@_NAMESPACE
@_NAME
@_KUBECONFIG
@option("--wait", type=Duration(), default="5m", show_default=True, help="How long to wait.")
def rotate(*, ca: bool, namespace: str, name: str, kubeconfig: Path | None, wait: float) -> int:
    """Have the controller renew the serving certificate, or the CA, and wait until it has.

    It only sets an annotation; kubectl can do the same. Exit code 1 where it takes longer.
    """
    from webhook.cluster.certificates import ROTATE, secret_path  # noqa: PLC0415 - imports slowly

    objects, what = _objects(kubeconfig), "ca" if ca else "leaf"
    path = secret_path(namespace, f"{name}-ca")
    secret = objects.get(path)
    if secret is None:
        raise UsageError(f"there is no Secret {name}-ca in {namespace}: see --namespace, --name")
    secret["metadata"]["annotations"] = {**_annotations(secret), ROTATE: what}
    objects.put(path, secret)
    print(f"asked, as: kubectl -n {namespace} annotate secret {name}-ca {ROTATE}={what}")
    end = time.monotonic() + wait
    while time.monotonic() < end:
        secret = objects.get(path)
        if secret is not None and ROTATE not in _annotations(secret):
            print("done: a new certificate is issued; replicas load it within seconds")
            return 0
        time.sleep(_PAUSE)
    print(f"not done after {wait:g} s: does a controller lead? See its log.")
    return 1


def _objects(kubeconfig: Path | None) -> Objects:
    from webhook.cluster.api import configured, connect  # noqa: PLC0415 - the client imports slowly
    from webhook.cluster.objects import Objects  # noqa: PLC0415

    return Objects(connect(configured(kubeconfig, search=True)))


def _in_secret(objects: Objects, namespace: str, name: str) -> dict[str, bytes]:
    from webhook.cluster.certificates import secret_path  # noqa: PLC0415 - imports slowly
    from webhook.cluster.objects import secret_data  # noqa: PLC0415

    secret = objects.get(secret_path(namespace, name))
    if secret is None:
        raise UsageError(f"there is no Secret {name} in {namespace}")
    return {f"{name}/{key}": text for key, text in secret_data(secret).items()}


def _annotations(secret: Document) -> dict[str, str]:
    return secret["metadata"].get("annotations") or {}


def _problem(one: x509.Certificate, every: list[x509.Certificate], now: datetime) -> str:
    if now >= one.not_valid_after_utc:
        return "it has ended"
    if now < one.not_valid_before_utc:
        return "it is not valid yet"
    if not any(is_authority(by) and issued(one, by) for by in every):
        return "its issuer is not among these"
    return ""


def _described(place: str, one: x509.Certificate, problem: str) -> str:
    lines = {
        "subject": one.subject.rfc4514_string(),
        "kind": "CA" if is_authority(one) else "leaf",
        "names": ", ".join(sorted(names(one))),
        "issuer": one.issuer.rfc4514_string(),
        "valid": f"{one.not_valid_before_utc:%Y-%m-%d %H:%M} to "
        f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
        "sha256": fingerprint(one).hex(":"),
        "chain": problem or "ok",
    }
    return "\n".join(
        (
            place,
            *(
                f"  {key:8}{text!r}"[:400]
                if key in {"subject", "issuer", "names"}
                else f"  {key:8}{text}"
                for key, text in lines.items()
                if text
            ),
        )
    )
