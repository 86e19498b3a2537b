"""slimgate installed by Helm on a real cluster, as its users install it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.support.nodes import RealCluster
from tests.cluster.support.processes import eventually

CHART = Path(__file__).parents[3] / "charts" / "slimgate"
NAMESPACE = RELEASE = "slimgate"
SELECTOR = "app.kubernetes.io/name=slimgate"
WEBHOOK = f"{RELEASE}.{NAMESPACE}"


@dataclass(frozen=True)
class Installed:
    """The release, and the cluster it is in."""

    cluster: RealCluster
    program: Path
    """Helm."""
    home: Path
    values: Mapping[str, Any]
    """What every revision has."""

    def helm(self, *words: str, seconds: float = 240, **values: Any) -> str:
        """Run Helm where nothing may go wrong; ``values`` are laid over those of every revision."""
        path = self.home / "values.yaml"
        path.write_text(yaml.safe_dump({**self.values, **values}))
        taken = {"install", "upgrade"} & set(words)
        done = subprocess.run(
            [
                *(self.program, *words),
                *("--namespace", NAMESPACE, "--kubeconfig", self.cluster.folder / "kubeconfig"),
                *(("--values", path) if taken else ()),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
            env={**os.environ, **{f"HELM_{one}_HOME": str(self.home) for one in HOMES}},
        )
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def upgrade(self, **values: Any) -> str:
        """The next revision, until all of it is there."""
        words = ("upgrade", RELEASE, str(CHART), "--wait", "--timeout=200s")
        return self.helm(*words, **values)

    def settled(self) -> None:
        """Wait until every replica of the newest revision is ready, and no other is left."""
        words = ("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, "--timeout=240s")
        self.cluster.must(*words, seconds=260)
        assert eventually(lambda: len(self.pods()) == self.replicas, seconds=120)

    @property
    def replicas(self) -> int:
        """How many there are to be."""
        (one,) = self.cluster.objects("deployment", "-n", NAMESPACE, "-l", SELECTOR)
        return int(one["spec"]["replicas"])

    def pods(self) -> list[dict[str, Any]]:
        """Every replica that is there, those on their way out as well."""
        return self.cluster.objects("pods", "-n", NAMESPACE, "-l", SELECTOR)

    def enforcing(self) -> bool:
        """Whether the API server refuses pods that slimgate does not answer about."""
        found = self.registered()
        return found is not None and found["webhooks"][0]["failurePolicy"] == "Fail"

    def registered(self) -> dict[str, Any] | None:
        """The webhook configuration."""
        found = self.cluster.objects("validatingwebhookconfiguration", "-l", SELECTOR)
        return found[0] if found else None

    def secret(self, name: str) -> dict[str, str]:
        """The data of one of its Secrets."""
        named = f"--field-selector=metadata.name={name}"
        (found,) = self.cluster.objects("secret", "-n", NAMESPACE, named)
        data: dict[str, str] = found.get("data") or {}
        return data

    def logs(self) -> str:
        """Of every replica, both containers; what was there before a restart, too."""
        parts = [self.cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "wide").out]
        for pod in self.pods():
            name = pod["metadata"]["name"]
            for container in ("slimgate", "controller"):
                words = ("logs", name, "-n", NAMESPACE, "-c", container, "--tail=40")
                parts.append(f"--- {name} {container}\n{self.cluster.kubectl(*words).out}")
        return "\n".join(parts)

    def until(self, true: Callable[[], bool], *, seconds: float = 120) -> None:
        """Wait for it, and show the logs where it never comes."""
        assert eventually(true, seconds=seconds), self.logs()


HOMES = ("CACHE", "CONFIG", "DATA")
