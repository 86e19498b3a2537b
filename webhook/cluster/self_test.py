"""What ``helm test`` asks: does the API server ask slimgate, and do its answers count?

By dry runs only, as anybody could send them. Nothing is written, and nothing is known of
slimgate but what it answers.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from webhook.errors import UsageError
from webhook.review import probe

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts the ServiceAccount's token and the API server's CA."""
_DENIED = 'admission webhook "pods.slimgate.dev" denied the request'
_SECONDS = 30.0
_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said to one request; ``status`` 0 where it was not reached."""

    status: int
    message: str
    """Of a refusal; empty where there was none."""
    warnings: str = ""
    """The ``Warning`` headers, as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question of the test, and how it went."""

    question: str
    problem: str | None
    """None: as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """The API server, as a ServiceAccount sees it."""

    url: str
    token: str
    authority: Path
    """Its CA, in PEM."""

    def try_create(self, namespace: str, resource: str, document: dict[str, Any]) -> Answer:
        """Create an object of the core group, by dry run."""
        with urllib3.PoolManager(ca_certs=str(self.authority), retries=False) as pool:
            try:
                response = pool.request(
                    "POST",
                    f"{self.url}/api/v1/namespaces/{namespace}/{resource}?dryRun=All",
                    json=document,
                    headers={"Authorization": f"Bearer {self.token}"},
                    timeout=_SECONDS,
                )
            except urllib3.exceptions.HTTPError as error:
                return Answer(status=0, message=f"API server not reached: {error}")
        return Answer(
            status=response.status,
            message="" if response.status == 201 else _message(response.data),  # noqa: PLR2004 - Created
            warnings=response.headers.get("Warning", ""),
        )


def in_cluster(folder: Path = MOUNTED) -> ApiServer:
    """The API server of the pod that this runs in.

    Raises:
        UsageError: this is no pod, or one without a token.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{word}") for word in ("HOST", "PORT"))
    if not host or not port:
        raise UsageError("KUBERNETES_SERVICE_HOST and _PORT are not set: run it in a pod")
    try:
        token = (folder / "token").read_text().strip()
    except OSError as error:
        raise UsageError(f"no ServiceAccount token: {error}") from error
    host = f"[{host}]" if ":" in host else host
    return ApiServer(url=f"https://{host}:{port}", token=token, authority=folder / "ca.crt")


def self_test(
    server: ApiServer,
    *,
    namespace: str,
    good: str,
    bad: str,
    audit_only: bool,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Ask everything, each again until it is as it should be or ``seconds`` have passed.

    New policies and namespaces take a moment to be known; a missing ServiceAccount too. The
    image ``good`` has to be let in as it is, ``bad`` to be refused with ``runAsUser: 0``; with
    ``audit_only`` that is let in, too.
    """
    end = time.monotonic() + seconds

    def settled(question: str, ask: Callable[[], str | None]) -> Step:
        while (problem := ask()) is not None and time.monotonic() < end:
            sleep(_PAUSE)
        return Step(question=question, problem=problem)

    def admitted(image: str, **context: int) -> str | None:
        answer = server.try_create(namespace, "pods", _pod(image, **context))
        return None if answer.status == 201 else _refused(answer)  # noqa: PLR2004 - Created

    def denied() -> str | None:
        answer = server.try_create(namespace, "pods", _pod(bad, runAsUser=0))
        if answer.status == 403 and _DENIED in answer.message:  # noqa: PLR2004 - Forbidden
            return None
        return _refused(answer) if answer.message else "it was let in"

    yield settled("the API server asks slimgate", lambda: _reached(server, namespace))
    yield settled(f"{good} is let in", lambda: admitted(good))
    if audit_only:
        yield settled(f"{bad} as root is let in: audit-only", lambda: admitted(bad, runAsUser=0))
    else:
        yield settled(f"{bad} as root is refused", denied)


def _reached(server: ApiServer, namespace: str) -> str | None:
    nonce = secrets.token_hex(8)
    answer = server.try_create(namespace, "podtemplates", probe.asking(nonce))
    if answer.message:
        return _refused(answer)
    if probe.answer(nonce) in answer.warnings:
        return None
    return f"it was not asked; warnings: {answer.warnings or 'none'}"


def _pod(image: str, **context: int) -> dict[str, Any]:
    container = {"name": "app", "image": image, "securityContext": context}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "slimgate-"},
        "spec": {"containers": [container]},
    }


def _refused(answer: Answer) -> str:
    return f"{answer.status} {answer.message}"


def _message(body: bytes) -> str:
    """Of a ``Status``; what is none is shown as it is, cut."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body[:256].decode(errors="replace")
