"""Whether reviews come here at all: a dry run that only slimgate's own answer can prove.

Whoever wants to know creates a PodTemplate, which runs nothing and by dry run is not even stored,
with a nonce; that comes back as a warning. Both ends of it are here.
"""

from __future__ import annotations

import re
from typing import Any

ANNOTATION = "slimgate.dev/probe"
NONCE = re.compile(r"[a-z0-9]{16,64}", re.ASCII)


def asking(nonce: str) -> dict[str, Any]:
    """The PodTemplate to create by dry run."""
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"generateName": "slimgate-probe-", "annotations": {ANNOTATION: nonce}},
        "template": {"spec": {"containers": [{"name": "app", "image": "slimgate.example/probe"}]}},
    }


def answer(nonce: str) -> str:
    """The warning that it is answered with."""
    return f"slimgate answers: {nonce}"
