"""slimgate's own image: what it demands of others, it is; and all that is left in it works.

The file system is entered by chroot, as the image's user: no node is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile

import pytest

from tests.cluster.support import image
from webhook.cli.main import run

pytestmark = pytest.mark.nodes  # root is needed as for those

EVERYTHING = """
import importlib, pkgutil
import webhook
for module in pkgutil.walk_packages(webhook.__path__, "webhook."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

import gunicorn.arbiter, gunicorn.workers.gthread, rich.progress, rich.table
from cel_expr_python.ext import ext_optional, ext_strings
from kubernetes import client, config, dynamic, informer, leaderelection, watch
for name in client.__all__:
    getattr(client, name)
"""
RULE = """
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: rules}
spec:
  action: Enforce
  checks: {size: {layers: 9}}
  rules:
  - {name: source, expression: "'source' in image.labels", message: it does not say}
"""


@pytest.fixture(scope="module")
def root(own_image, tmp_path_factory):
    """The image's file system."""
    place = tmp_path_factory.mktemp("root")
    made = own_image.image
    for digest in made.layers:
        with tarfile.open(own_image.layout / "blobs" / digest.replace(":", "/")) as layer:
            layer.extractall(place, filter="fully_trusted")
    place.chmod(0o755)
    return place


@pytest.fixture(scope="module")
def python(root):
    """Run its Python within it, as its user."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "/slimgate",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def started(*words):
        return subprocess.run(
            ["chroot", "--userspec=65532:65532", root, "/usr/bin/python3", "-W", "error", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )

    return started


def test_it_passes_its_own_policy(own_image, capsys):
    assert run(["check", own_image.reference, "--policy", "distroless-nonroot", "--all"]) == 0
    assert "1 passed" in capsys.readouterr().out


def test_all_that_is_left_can_be_imported(python):
    """What the Dockerfile drops is missed by nobody."""
    done = python("-c", EVERYTHING)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_command_starts(python):
    assert re.fullmatch(r"slimgate \S+\n", python("-m", "webhook", "--version").stdout)
    told = python("-m", "webhook", "--help").stdout
    commands = re.findall(r"^  ([a-z]+)  ", told.partition("Commands:")[2], re.MULTILINE)
    assert {"serve", "check", "inspect", "policy"} <= set(commands)
    for command in commands:
        done = python("-m", "webhook", command, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: slimgate {command}")


def test_its_rules_compile(python, root):
    """With the two of CEL's libraries that are left."""
    (root / "tmp" / "rules.yaml").write_text(RULE)
    done = python("-m", "webhook", "policy", "check", "/tmp/rules.yaml")
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_bytecode_is_there(root):
    """The file system is read-only: what were not compiled would be with every start."""
    compiled = {
        path.parent.parent / f"{path.name.partition('.')[0]}.py"
        for path in (root / "slimgate").rglob("__pycache__/*.pyc")
    }
    assert set((root / "slimgate").rglob("*.py")) == compiled
    assert {path.relative_to(root / "slimgate").parts[0] for path in compiled} == {"webhook"}


def test_it_is_small(own_image, capsys):
    """It was 47.5 MiB and 138.4 MiB in two layers; a tenth more is to be seen and decided."""
    assert run(["inspect", own_image.reference, "-o", "json"]) == 0
    size = json.loads(capsys.readouterr().out)["size"]
    assert size["compressed"] < 53 << 20
    assert size["unpacked"] < 153 << 20
    assert len(size["layers"]) == 2


def test_the_same_sources_give_the_same_image(own_image, tmp_path):
    """Built anew, by the same tools on the same bases."""
    again = tmp_path / "again"
    image.build_image(again, *image.bases(print))
    assert image.Made(again).digest == own_image.digest
