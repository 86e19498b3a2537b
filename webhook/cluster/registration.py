"""What the API server is told of slimgate: the CA in both webhooks, and whether a failure denies.

A configuration that is not there is never made: deleting it is how to get slimgate out of the
way. One with the annotation ``slimgate.dev/managed: "false"`` is left alone.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from kubernetes.dynamic import DynamicClient

from webhook.certs.issue import pem, read_certificates
from webhook.cluster.objects import CONFLICT, INVALID, ApiRefused, Document, Objects
from webhook.review import probe

MANAGED = "slimgate.dev/managed"
PODS, TEMPLATES = "pods.slimgate.dev", "templates.slimgate.dev"
MANAGER = "slimgate-controller"
FailurePolicy = Literal["Auto", "Fail", "Ignore"]
_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

Report = Callable[[str, str], None]
"""Gets a constant word and a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A ValidatingWebhookConfiguration as it was read."""

    document: Document

    @property
    def managed(self) -> bool:
        """Whether it may be written."""
        annotations = self.document["metadata"].get("annotations") or {}
        return bool(annotations.get(MANAGED) != "false")

    @property
    def ours(self) -> tuple[tuple[int, Document], ...]:
        """The webhooks of slimgate, with their places."""
        hooks = enumerate(self.document.get("webhooks") or [])
        return tuple((at, hook) for at, hook in hooks if hook.get("name") in {PODS, TEMPLATES})

    @property
    def bundle(self) -> tuple[x509.Certificate, ...]:
        """CAs that every one of the webhooks trusts."""
        each = [read_certificates(_ca_bundle(hook)) for _, hook in self.ours]
        if not each:
            return ()
        return tuple(one for one in each[0] if all(one in other for other in each[1:]))

    def lacking(self, bundle: bytes) -> tuple[tuple[int, Document], ...]:
        """The webhooks whose bundle is another one."""
        return tuple((at, hook) for at, hook in self.ours if _ca_bundle(hook) != bundle)


class Registration:
    """The configuration of that name."""

    def __init__(self, api: DynamicClient, name: str, *, report: Report) -> None:
        self._objects = Objects(api)
        self._path = f"{_PATH}/{name}"
        self._report = report
        self._published: bytes | None = None

    def read(self) -> Configuration | None:
        """As it is now; None where there is none."""
        found = self._objects.get(self._path)
        return None if found is None else Configuration(document=found)

    def publish(self, seen: Configuration, bundle: tuple[x509.Certificate, ...]) -> bool:
        """Have both webhooks trust exactly the bundle; whether anything had to be written.

        Raises:
            ApiRefused: it could not be written, or changed since it was ``seen``.
        """
        text = pem(*bundle)
        lacking = seen.lacking(text)
        if not seen.managed:
            self._published = None
            return False
        if not lacking:
            self._published = text
            self.disown(seen)  # where that failed after a write
            return False
        wiped = self._published == text
        self._write(seen, [(at, "clientConfig/caBundle", _base64(text)) for at, _ in lacking])
        self._published = text
        if wiped:
            names = ", ".join(hook["name"] for _, hook in lacking)
            self._report("ca-bundle-restored", f"caBundle of {names} was not what it has to be")
        return True

    def fail_closed(self, seen: Configuration) -> None:
        """Have a failure to ask about a pod refuse it; raises ``ApiRefused``."""
        places = [(at, "failurePolicy", "Fail") for at, hook in seen.ours if hook["name"] == PODS]
        self._write(seen, places)

    def disown(self, seen: Configuration) -> bool:
        """Give up what was written, so that nobody's server-side apply conflicts with it.

        A value without an owner stays as it is until somebody applies another.
        """
        fields = seen.document["metadata"].get("managedFields") or []
        kept = [one for one in fields if one.get("manager") != MANAGER]
        if kept == fields:
            return False
        # An empty list means: as it was. A list with an empty entry clears it.
        steps = [_same_version(seen), _replace("/metadata/managedFields", kept or [{}])]
        self._patch(steps)
        return True

    def _write(self, seen: Configuration, values: list[tuple[int, str, str]]) -> None:
        steps = [_same_version(seen)]
        for at, place, value in values:
            steps.append({"op": "add", "path": f"/webhooks/{at}/{place}", "value": value})
        document = self._patch(steps)
        self.disown(Configuration(document=document))

    def _patch(self, steps: list[Document]) -> Document:
        return self._objects.ask(
            "patch",
            self._path,
            steps,
            kind="application/json-patch+json",
            query={"fieldManager": MANAGER},
        ).document


class Enforcement:
    """failurePolicy, from Ignore to Fail once the API server is proved to ask and to be answered.

    The proof is a dry run of a PodTemplate, which runs nothing, with a nonce that only slimgate's
    answer can bring back as a warning.
    """

    def __init__(
        self, api: DynamicClient, registration: Registration, *, namespace: str, report: Report
    ) -> None:
        self._objects = Objects(api)
        self._registration = registration
        self._path = f"/api/v1/namespaces/{namespace}/podtemplates"
        self._report = report

    def step(self, seen: Configuration | None) -> bool:
        """Whether it was proved and written just now; raises ``ApiRefused``."""
        if seen is None or not seen.managed:
            return False
        if not _ignores(seen):
            self._registration.disown(seen)  # where that failed after a write
            return False
        if not self.proved():
            return False
        self._registration.fail_closed(seen)
        self._report("fails-closed", "the API server asks slimgate: failurePolicy is Fail now")
        return True

    def proved(self) -> bool:
        """Whether a nonce came back; raises ``ApiRefused`` where the dry run is not allowed."""
        nonce = secrets.token_hex(16)
        body = probe.asking(nonce)
        answered = self._objects.ask("post", self._path, body, query={"dryRun": "All"})
        return any(f'"{probe.answer(nonce)}"' in text for text in answered.warnings)


def changed_meanwhile(error: ApiRefused) -> bool:
    """Whether somebody else wrote first; the next look sees what."""
    return error.status in {CONFLICT, INVALID}


def _ignores(seen: Configuration) -> bool:
    """Whether pods would be let in where slimgate does not answer."""
    return any(
        hook["name"] == PODS and hook.get("failurePolicy") == "Ignore" for _, hook in seen.ours
    )


def _ca_bundle(hook: Document) -> bytes:
    try:
        text = (hook.get("clientConfig") or {}).get("caBundle") or ""
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _same_version(seen: Configuration) -> Document:
    return _replace("/metadata/resourceVersion", seen.document["metadata"]["resourceVersion"])


def _replace(path: str, value: object) -> Document:
    return {"op": "replace", "path": path, "value": value}
