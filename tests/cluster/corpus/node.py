"""A containerd of our own, and what becomes of an image in it.

    with containerd(folder) as node:
        seen = node.seen(image)

It has its own folders, socket and cgroup. An image is imported as an archive and started twice:
by its own entrypoint, and with the probe (``tests/oracles/probe``) in its place. Each container is
a PID namespace with no network.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import build
from tests.cluster.support import leftovers
from tests.cluster.support.processes import eventually, running
from tests.support import forge
from webhook.image.layer import text

Who = tuple[int, int]
"""uid and gid."""
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc")
MARK = "SLIMGATE_TESTS_CORPUS"
"""Environment variable: the folder that a process belongs to."""
CGROUP = "slimcorpus"
PLACE = "/slimgate-corpus"
"""Where the probe is in a container."""
MEMORY = 512 << 20
START_SECONDS, LOOK_SECONDS = 60, 600
CONFIG = """\
version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.grpc.v1.cri"]
[grpc]
  address = "{place}/socket"
"""
_TOLD = re.compile(rb"^uid (\d+) gid (\d+)$", re.MULTILINE)
"""What the programs of forged images print."""


@dataclass(frozen=True)
class Name:
    """A path at which a file could be started, and what the probe found."""

    file: str
    """The same for all names of a file."""
    how: str
    """``own``, ``named`` (under another name) or ``loader``; empty: no shell."""
    shell: str
    """The file that read the script: another one where this one hands over to a shell."""
    unknown: bool


@dataclass(frozen=True)
class Seen:
    """What became of an image."""

    refused: str = ""
    """Why containerd did not take it."""
    uid: int | None = None
    gid: int | None = None
    started: bool = False
    """By its own entrypoint."""
    why: str = ""
    """It did not start."""
    names: Mapping[str, Name] = field(default_factory=dict)
    """By path; empty where not even the probe could be started."""

    @property
    def shells(self) -> set[str]:
        """The files that are shells."""
        return {one.shell for one in self.names.values() if one.how}


def obstacle() -> str | None:
    """Why no container can be started here; None where some can."""
    if os.geteuid() != 0:
        return "containers need root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian packages: containerd runc)"
    return None


@dataclass(frozen=True)
class Node:
    """A running containerd."""

    folder: Path
    """What it keeps, and the folder that has the probe."""

    def seen(self, archive: Path, namespace: str) -> Seen:
        """Take the image (an OCI archive), start it, and look at it from within.

        A namespace that has another image already has its layers, and fetches or unpacks none of
        those again, broken or not.
        """
        return _Namespace(self.folder, namespace).seen(archive)


@dataclass(frozen=True)
class _Namespace:
    """One of containerd's."""

    folder: Path
    namespace: str

    def seen(self, archive: Path) -> Seen:
        name = archive.stem
        taken = self._ctr("images", "import", "--base-name", name, str(archive), seconds=120)
        reference = f"{name}:latest"
        if taken.returncode or not self._has(reference):
            return Seen(refused=_reason(taken.stderr))
        who, why = self._started(reference, name)
        names, probed = self._looked_at(reference, name)
        assert None in {who, probed} or who == probed, f"{name} runs as {who} and as {probed}"
        uid, gid = who or probed or (None, None)
        return Seen(uid=uid, gid=gid, started=who is not None, why=why, names=names)

    def _has(self, reference: str) -> bool:
        return reference in self._ctr("images", "ls", "-q").stdout.decode().split()

    def _started(self, reference: str, name: str) -> tuple[Who | None, str]:
        """As whom, or why it does not start: a program that starts says who it is, and pauses."""
        container = f"{name}-own"
        with tempfile.TemporaryFile() as output:
            command = self._command("run", "--rm", *_bounds(name), reference, container)
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            ) as process:

                def told() -> bytes:
                    return os.pread(output.fileno(), 1 << 16, 0)  # seeking would move its end, too

                settled = eventually(
                    lambda: process.poll() is not None or _TOLD.search(told()),
                    seconds=START_SECONDS,
                )
                if process.poll() is None:
                    self._ctr("tasks", "kill", "--signal", "SIGKILL", container)
                    process.wait(60)
                said = _TOLD.search(told())
                assert settled or said, f"{name} starts and says nothing"
                return ((int(said[1]), int(said[2])), "") if said else (None, _reason(told()))

    def _looked_at(self, reference: str, name: str) -> tuple[Mapping[str, Name], Who | None]:
        mount = f"type=bind,src={self.folder / 'probe'},dst={PLACE},options=rbind:ro"
        options = ("--allow-new-privs", "--mount", mount)  # the probe is setuid root
        words = (reference, f"{name}-probe", f"{PLACE}/probe", "look")
        done = self._ctr("run", "--rm", *_bounds(name), *options, *words, seconds=LOOK_SECONDS)
        if not done.stdout:
            return {}, None
        assert done.returncode == 0, f"{name}: {done.stderr.decode()}"
        who, *lines = map(json.loads, done.stdout.splitlines())
        return dict(map(_name, lines)), (who["uid"], who["gid"])

    def _ctr(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self._command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
        )

    def _command(self, *words: str) -> list[str]:
        to = ("--address", str(self.folder / "socket"), "--namespace", self.namespace)
        return ["ctr", *to, *words]


def _bounds(name: str) -> Sequence[str]:
    return ("--cgroup", f"/{CGROUP}/{name}", "--memory-limit", str(MEMORY))


def _name(line: Mapping[str, Any]) -> tuple[str, Name]:
    path = text(bytes.fromhex(line["path"]))
    return path, Name(*(line[key] for key in ("file", "how", "shell", "unknown")))


def _reason(output: bytes) -> str:
    """The last thing it said."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def version() -> str:
    """containerd's: ``1.6.20``."""
    said = subprocess.run(["containerd", "--version"], capture_output=True, check=True).stdout
    return re.search(r"\d+(\.\d+)+", said.decode())[0]


def write(image: forge.Image, path: Path) -> None:
    """An OCI archive. A blob whose digest is no name of a file is left out."""
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{f"blobs/{digest.replace(':', '/')}": blob for digest, blob in image.blobs.items()},
    }
    with tarfile.open(path, "w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


@contextmanager
def containerd(folder: Path, probe: Path) -> Iterator[Node]:
    """Run it, with the built probe, until the block ends; nothing is left then."""
    with _only_one():
        leftovers.end(MARK, CGROUP)
        (folder / "probe").mkdir(parents=True)
        (folder / "probe").chmod(0o755)
        shutil.copy(probe, folder / "probe" / "probe")
        (folder / "probe" / "probe").chmod(0o4755)
        (folder / "probe" / f"word-{secrets.token_hex(8)}").touch()
        config = folder / "containerd.toml"
        config.write_text(CONFIG.format(place=folder))
        try:
            with running(
                ["containerd", "--config", config],
                log=folder / "containerd.log",
                ready=(folder / "socket").exists,
                env={MARK: str(folder)},
            ):
                yield Node(folder)  # shims end with their containers
        finally:
            leftovers.end(MARK, CGROUP, folder)
            shutil.rmtree(folder)  # images, unpacked


@contextmanager
def _only_one() -> Iterator[None]:
    build.cache().mkdir(parents=True, exist_ok=True)
    with (build.cache() / "corpus.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
