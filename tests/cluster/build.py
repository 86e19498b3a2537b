"""The real programs that the tests start: kube-apiserver, etcd, kubectl, a registry, Helm.

    python tests/cluster/build.py        # builds what is missing, and says where each one is

A program is taken from where ``KUBEBUILDER_ASSETS`` says, or from the system where it is
packaged (Debian's docker-registry), or is built from its Go module, pinned by the go.mod and
go.sum in ``tools/``, into a cache outside the clone: ``$SLIMGATE_CACHE``, else
``$XDG_CACHE_HOME/slimgate``, else ``~/.cache/slimgate``. On two cores all of it takes about ten
minutes once; after that nothing is built until a go.mod changes.

Standard library only: it runs before there is a virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"
HEARTBEAT = 15.0
"""Seconds between two signs of life while Go builds: it prints nothing itself."""

Say = Callable[[str], None]


class Missing(Exception):  # noqa: N818 - a reason to skip, not a fault
    """A program is neither installed nor built, and there is no Go to build it."""


@dataclass(frozen=True)
class Program:
    """A program, and the Go package that it is built from."""

    name: str
    folder: str
    """Below ``tools/``: one module each, as their dependencies exclude each other."""
    package: str
    packaged_as: str | None = None
    """What a distribution calls it."""

    @property
    def gomod(self) -> Path:
        """The module that pins it."""
        return TOOLS / self.folder / "go.mod"

    @property
    def version(self) -> str:
        """Of the module that holds the package: ``v1.37.2``."""
        wanted = re.finditer(r"^(?:require )?\s*(\S+) (v\S+)", self.gomod.read_text(), re.MULTILINE)
        return next(found[2] for found in wanted if f"{self.package}/".startswith(f"{found[1]}/"))

    @property
    def built(self) -> Path:
        """Where it is, once built: a path that changes with everything it is built from."""
        pins = hashlib.sha256(self.gomod.read_bytes()).hexdigest()[:12]
        return cache() / f"{self.folder}-{self.version}-{platform.machine()}-{pins}" / self.name


KUBE_APISERVER = Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver")
KUBECTL = Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl")
CONTROLLER_MANAGER = Program(
    "kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"
)
SCHEDULER = Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler")
PROXY = Program("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy")
KUBELET = Program("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet")
OLDEST_APISERVER = Program(
    "kube-apiserver", "kubernetes-oldest", "k8s.io/kubernetes/cmd/kube-apiserver"
)
ETCD = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3")
REGISTRY = Program(
    "registry",
    "registry",
    "github.com/distribution/distribution/v3/cmd/registry",
    packaged_as="docker-registry",
)
HELM = Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", packaged_as="helm")
NODE_PROGRAMS = (CONTROLLER_MANAGER, SCHEDULER, PROXY, KUBELET)
"""What a cluster needs besides its API server to run pods; of no use to who is not root."""
PROGRAMS = (KUBE_APISERVER, KUBECTL, ETCD, REGISTRY, HELM, *NODE_PROGRAMS, OLDEST_APISERVER)


def cache() -> Path:
    """The folder that keeps what was built, outside the clone."""
    if own := os.environ.get("SLIMGATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slimgate"


def provide(program: Program, say: Say) -> Path:
    """Find the program, or build it.

    Raises:
        Missing: it is not there, and neither is Go.
        subprocess.CalledProcessError: Go could not build it; its own words are on stderr.
    """
    if found := _installed(program):
        return found
    go = shutil.which("go")
    if go is None:
        raise Missing(
            f"{program.name} is not there: install Go to build it, "
            "or name a folder that holds it in KUBEBUILDER_ASSETS"
        )
    target = program.built
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_suffix(".lock")):
        if not target.exists():
            _build(go, program, target, say)
    return target


def _installed(program: Program) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    places = [Path(assets) / program.name] if assets else []
    if program.packaged_as and (packaged := shutil.which(program.packaged_as)):
        places.append(Path(packaged))
    return next((place for place in (*places, program.built) if place.is_file()), None)


@contextmanager
def _lock(path: Path):
    """Let one process at a time build; the others find it done."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, program: Program, target: Path, say: Say) -> None:
    say(f"building {program.name} {program.version} (minutes, once; kept in {target.parent})")
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        unfinished = Path(work) / program.name
        command = [go, "build", "-trimpath", "-p", "2", "-ldflags", _flags(program)]
        command += ["-o", str(unfinished), program.package]
        settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        _run(command, program.gomod.parent, {**os.environ, **settings}, program.name, say)
        unfinished.replace(target)  # whole or not at all


def _flags(program: Program) -> str:
    """Linker flags: no debug information, and the version that Kubernetes reports."""
    if not program.folder.startswith("kubernetes"):
        return "-s -w"
    major, minor, _ = program.version.removeprefix("v").split(".")
    values = {"gitVersion": program.version, "gitMajor": major, "gitMinor": minor}
    stamps = [f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()]
    return " ".join(["-s", "-w", *stamps])


def _run(command: list[str], where: Path, env: dict[str, str], name: str, say: Say) -> None:
    started = time.monotonic()
    with subprocess.Popen(command, cwd=where, env=env, stdin=subprocess.DEVNULL) as go:
        while True:
            try:
                status = go.wait(HEARTBEAT)
                break
            except subprocess.TimeoutExpired:
                say(f"  … {name}: {time.monotonic() - started:.0f} s")
    if status:
        raise subprocess.CalledProcessError(status, command)


def main() -> int:
    """Provide every program that can be used; 1 where one cannot be built, and that matters."""
    root = os.geteuid() == 0
    for program in (one for one in PROGRAMS if root or one not in NODE_PROGRAMS):
        try:
            place = provide(program, say=lambda line: print(line, flush=True))
        except Missing as missing:
            required = bool(os.environ.get("SLIMGATE_REQUIRE_CLUSTER"))
            print(missing if required else f"skipping tests: {missing}", file=sys.stderr)
            return int(required)
        except subprocess.CalledProcessError as failed:
            print(f"go build failed with status {failed.returncode}", file=sys.stderr)
            return 1
        print(f"{program.name}: {place}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
