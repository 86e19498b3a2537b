"""What is played: images, namespaces, pods, and what has to come of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.support.samples import STORIES, Sample

ROOT = Path(__file__).parent.parent
POLICY_FOLDERS = (ROOT / "policies", Path(__file__).parent / "policies")
"""The shipped policies, and the two that the demo adds to them."""


class Outcome(StrEnum):
    """What somebody at a terminal sees of an answer."""

    REFUSED = "refused"
    WARNED = "let in, with warnings"
    QUIET = "let in"


@dataclass(frozen=True)
class Namespace:
    """A namespace, and what a pod with a fault meets in it."""

    name: str
    policy: str | None
    """Value of its label ``slimgate.dev/policy``."""
    about: str
    faulty: Outcome

    @property
    def document(self) -> dict[str, Any]:
        """The Namespace object."""
        labels = {"kubernetes.io/metadata.name": self.name}
        if self.policy:
            labels["slimgate.dev/policy"] = self.policy
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.name, "labels": labels},
        }


NAMESPACES = (
    Namespace(
        "prod", "distroless-nonroot", "Enforce: a pod with a fault is refused", Outcome.REFUSED
    ),
    Namespace(
        "staging", "distroless-nonroot-warn", "Warn: it is let in with warnings", Outcome.WARNED
    ),
    Namespace("dev", None, "Audit: it is let in, and the audit log knows", Outcome.QUIET),
)

SCENES: tuple[Sample, ...] = tuple(STORIES.values())
INSPECTED = STORIES["alpine-app"]
"""The image whose facts are shown."""


def expected(sample: Sample, namespace: Namespace) -> Outcome:
    """What has to come of a pod of this image."""
    return Outcome.QUIET if sample.fails is None else namespace.faulty


def image_name(sample: Sample, registry: str) -> str:
    """``HOST:PORT/demo/NAME:v1``."""
    return f"{registry}/demo/{sample.name}:v1"


def pod(sample: Sample, registry: str) -> dict[str, Any]:
    """The pod as somebody would write it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": sample.name},
        "spec": {
            "containers": [{"name": "app", "image": image_name(sample, registry)}],
            **sample.pod,
        },
    }
