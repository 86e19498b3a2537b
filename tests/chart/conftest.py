"""Helm, the chart rendered by it, and real API servers that it installs into."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import build
from tests.cluster.conftest import provide, start  # noqa: F401 - fixtures
from tests.cluster.support.apiserver import Cluster

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "slimgate"
NEEDED = {"image": {"repository": "registry.example/slimgate"}}
"""Without these the chart says what is missing."""

Objects = dict[tuple[str, str], dict[str, Any]]
"""By kind and name; of several with both in common (Roles in many namespaces), the last."""


@dataclass(frozen=True)
class Said:
    """What Helm said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Helm:
    """Helm with a home of its own, and a cluster where there is one."""

    program: Path
    home: Path
    kubeconfig: Path | None = None
    namespace: str = "gate"

    def run(self, *words: str | Path, values: dict[str, Any] | None = None) -> Said:
        """Run it, with values where given."""
        command = [self.program, *words, "--namespace", self.namespace]
        if values is not None:
            path = self.home / "values.json"
            path.write_text(json.dumps(values))
            command += ["--values", path]
        if self.kubeconfig:
            command += ["--kubeconfig", self.kubeconfig]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
            env={
                **os.environ,
                "HELM_CACHE_HOME": str(self.home),
                "HELM_CONFIG_HOME": str(self.home),
                "HELM_DATA_HOME": str(self.home),
            },
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str | Path, values: dict[str, Any] | None = None) -> str:
        """Run it where nothing may go wrong."""
        said = self.run(*words, values=values)
        assert said.status == 0, said.err
        return said.out


def merged(*several: dict[str, Any]) -> dict[str, Any]:
    """Values, the later ones laid over the earlier ones, as Helm does."""
    result: dict[str, Any] = {}
    for one in several:
        for key, value in deepcopy(one).items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


@pytest.fixture(scope="session")
def helm(provide, tmp_path_factory) -> Helm:  # noqa: F811
    """Helm without a cluster."""
    return Helm(provide(build.HELM), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def template(helm) -> Callable[..., list[dict[str, Any]]]:
    """Every object of the release ``slimgate`` in ``gate``, with the needed values and more."""

    def render(**more: Any) -> list[dict[str, Any]]:
        out = helm.must("template", "slimgate", CHART, values=merged(NEEDED, more))
        return [one for one in yaml.safe_load_all(out) if one]

    return render


@pytest.fixture(scope="session")
def rendered(template) -> Callable[..., Objects]:
    """The same by kind and name."""

    def render(**more: Any) -> Objects:
        return {(one["kind"], one["metadata"]["name"]): one for one in template(**more)}

    return render


@pytest.fixture(scope="session")
def refused(helm) -> Callable[..., str]:
    """What Helm says of values that it has to refuse."""

    def refuse(**more: Any) -> str:
        said = helm.run("template", "slimgate", CHART, values=merged(NEEDED, more))
        assert said.status != 0
        return said.err

    return refuse


@pytest.fixture(scope="session", params=["newest", "oldest"])
def api(request, start, tmp_path_factory) -> Iterator[Cluster]:  # noqa: F811
    """A real API server: of the newest Kubernetes we support, and of the oldest."""
    programs = {"newest": build.KUBE_APISERVER, "oldest": build.OLDEST_APISERVER}
    with start(tmp_path_factory.mktemp(request.param), programs[request.param]) as one:
        one.must("create", "namespace", "gate")
        for mode in ("enforce", "warn"):
            one.must("label", "namespace", "gate", f"pod-security.kubernetes.io/{mode}=restricted")
        yield one


@pytest.fixture
def live(api, helm) -> Helm:
    """Helm with that API server."""
    return replace(helm, kubeconfig=api.folder / "kubeconfig")
