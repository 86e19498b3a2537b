"""Build the tools from their Go modules: ``python -m benchmarks.peers.build [TOOL…]``.

``go install module@version`` refuses modules with ``replace``, so each is built in a copy of its
folder. What is built stays in the cache (``$SLIMGATE_CACHE/peers``). One compiler at a time and at
the lowest priority: such a tool is a thousand packages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import samples


@dataclass(frozen=True)
class Module:
    """Where a tool's program is."""

    path: str
    version: str
    package: str
    variable: str
    """Holds the version that the program says."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the environment it is built in."""


MODULES = {
    "Dockle": Module(
        "github.com/goodwithtech/dockle",
        "v0.4.15",
        "./cmd/dockle",
        "github.com/goodwithtech/dockle/pkg.version",
    ),
    "Kyverno": Module(
        "github.com/kyverno/kyverno",
        "v1.19.1",
        "./cmd/cli/kubectl-kyverno",
        "github.com/kyverno/kyverno/pkg/version.BuildVersion",
    ),
    "Trivy": Module(
        "github.com/aquasecurity/trivy",
        "v0.74.0",
        "./cmd/trivy",
        "github.com/aquasecurity/trivy/pkg/version/app.ver",
        {"GOEXPERIMENT": "jsonv2"},
    ),
}
MODULES["Kyverno-controller"] = replace(MODULES["Kyverno"], package="./cmd/kyverno")


def place(name: str) -> Path:
    """Where the program is once it was built."""
    return samples.cache().parent / "peers" / f"{name.lower()}-{MODULES[name].version}"


def source(name: str) -> Path:
    """Its module's folder, which Go downloads where it has not."""
    module = MODULES[name]
    command = ["go", "mod", "download", "-json", f"{module.path}@{module.version}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return Path(json.loads(told.stdout)["Dir"])


def build(name: str) -> None:
    """Download, copy and compile; nothing where that was done."""
    program = place(name)
    if program.exists():
        return
    module = MODULES[name]
    print(f"building {name} {module.version}", flush=True)
    program.parent.mkdir(parents=True, exist_ok=True)
    flags = f"-X {module.variable}={module.version.removeprefix('v')}"
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -p=1", **module.settings}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "source")
        shutil.copytree(source(name), copy, copy_function=shutil.copyfile)
        copy.chmod(0o755)
        made = Path(folder, "program")
        command = ["nice", "-n", "19", "go", "build", "-trimpath", "-ldflags", flags]
        command += ["-o", str(made), module.package]
        subprocess.run(command, check=True, cwd=copy, env={**os.environ, **settings})  # noqa: S603 - ours
        shutil.move(made, program)


def main() -> None:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.build", description=__doc__)
    parser.add_argument("tools", nargs="*", choices=[[], *MODULES], help="default: all")
    for name in parser.parse_args().tools or MODULES:
        build(name)


if __name__ == "__main__":
    main()
