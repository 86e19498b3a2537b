"""The tools, asked one question: does a container of this image run as root?

Each is its own program, started once for each image, and reads it from a registry on loopback.
True and False are its answer; None where it gives none: it failed, or does not say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 60
"""How long one answer may take."""

DOCKLE_ROOT = "CIS-DI-0001"


def dockle(program: Path, image: str) -> bool | None:
    """Dockle's CIS-DI-0001, "Create a user for the container"."""
    said = document([program, "--insecure", "--format", "json", "--timeout", f"{SECONDS}s", image])
    if said is None:
        return None
    return any(one["code"] == DOCKLE_ROOT for one in said["details"])


KYVERNO_POLICY = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: refuse-root}
spec:
  background: false
  rules:
    - name: user
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        failureAction: Enforce
        message: runs as root
        foreach:
          - list: request.object.spec.containers
            context:
              - name: imageData
                imageRegistry: {reference: "{{ element.image }}"}
            deny:
              conditions:
                any:
                  - key: "{{ imageData.configData.config.User || '' }}"
                    operator: AnyIn
                    value: ["", "0", "root"]
"""
"""What people write, after Kyverno's own examples, which ask for the empty ``User`` only."""


def kyverno(program: Path, image: str) -> bool | None:
    """Whether Kyverno's command line refuses a pod of the image by the policy."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }
    with tempfile.TemporaryDirectory() as folder:
        policy, resource = Path(folder, "policy.yaml"), Path(folder, "pod.json")
        policy.write_text(KYVERNO_POLICY)
        resource.write_text(json.dumps(pod))
        said = document(
            [
                *(program, "apply", policy, "--resource", resource, "--registry"),
                *("--policy-report", "--output-format", "json"),
            ]
        )
    results = [] if said is None else [one["result"] for one in said.get("results", [])]
    return {"fail": True, "pass": False}.get(results[0]) if len(results) == 1 else None


TRIVY_ROOT = "DS-0002"


def trivy(program: Path, image: str) -> bool | None:
    """Trivy's DS-0002, "Image user should not be 'root'", by the checks that came with it."""
    said = document(
        [
            *(program, "image", "--insecure", "--image-src", "remote", "--format", "json"),
            *("--scanners", "misconfig", "--image-config-scanners", "misconfig"),
            *("--skip-check-update", "--skip-version-check", "--disable-telemetry", image),
        ]
    )
    results = [] if said is None else said.get("Results", [])
    judged = [one for one in results if one["Class"] == "config"]
    failed = (fault["ID"] for one in judged for fault in one.get("Misconfigurations", []))
    return TRIVY_ROOT in failed if judged else None


def document(command: list[Any], *, seconds: float = SECONDS) -> dict[str, Any] | None:
    """What the program writes, from its first brace on; None where no document comes in time."""
    try:
        out = _run(command, seconds)
    except subprocess.TimeoutExpired:
        return None
    try:
        said, _ = json.JSONDecoder().raw_decode(out, max(out.find("{"), 0))
    except json.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def _run(command: list[Any], seconds: float) -> str:
    """Its standard output; it knows nothing of the caller's settings and credentials."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(  # noqa: S603 - programs that the caller names
            [str(one) for one in command],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": home},
        ).stdout


Ask = Callable[[Path, str], bool | None]
TOOLS: dict[str, Ask] = {"Dockle": dockle, "Kyverno": kyverno, "Trivy": trivy}
VERSION = {"Dockle": "--version", "Kyverno": "version", "Trivy": "--version"}


def version(name: str, program: Path) -> str:
    """The version that the program says it is."""
    command = [str(program), VERSION[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)  # noqa: S603 - as above
    found = re.search(r"\d+\.\d+\.\d+\S*", done.stdout)
    if found is None:
        raise ValueError(f"{program} does not say its version")
    return found[0]
