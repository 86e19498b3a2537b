"""What a cluster with nodes leaves on the machine when it is not stopped in order: ended here.

Everything that it starts has ``MARK`` in its environment, containerd's shims too, as they
inherit it; what runs in containers does not, and is known by its cgroup. So nothing is ever
ended by its name.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.support.processes import eventually

MARK = "SLIMGATE_TESTS_NODES"
"""Environment variable: the folder of the cluster that a process belongs to."""
BRIDGE = "slimtest"
"""Bridges and cgroups are called so, with the node's number behind."""
CGROUPS = Path("/sys/fs/cgroup")
CNI_RECORDS = Path("/var/lib/cni/results")
LOG_LINKS = Path("/var/log/containers")
"""Where the kubelet puts a link to each container's log, whatever it is told."""
TABLES = ("nat", "filter", "mangle")


def marked(mark: str = MARK) -> dict[int, str]:
    """Process id → folder, of everything started for a cluster with nodes, whoever started it.

    Or for something else that has a ``mark`` of its own.
    """
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        own = next((one for one in words if one.startswith(f"{mark}=".encode())), None)
        if own is not None:
            found[int(place.name)] = os.fsdecode(own).partition("=")[2]
    return found


def shims() -> list[int]:
    """containerd's shims among ``marked``: one a pod."""
    return [pid for pid in marked() if b"containerd-shim" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""


def clear(folder: Path | None = None) -> None:
    """End and remove all that is left, of ``folder``'s cluster and of any that crashed before."""
    folders = end(MARK, BRIDGE, folder)
    for bridge in _bridges():
        for port in list((bridge / "brif").iterdir()):
            # One whose namespace has just ended is going of itself.
            subprocess.run(["ip", "link", "delete", port.name], capture_output=True, check=False)
        _run("ip", "link", "delete", bridge.name)
    for program in ("iptables", "ip6tables"):
        for table in TABLES:
            _clear_rules(program, table)
    for record in CNI_RECORDS.glob(f"{BRIDGE}*"):
        record.unlink()
    for place in folders:
        _unlink_logs(place)
        shutil.rmtree(place / "nodes", ignore_errors=True)  # images, unpacked


def end_containers(folder: Path) -> None:
    """End what runs in containers of that folder's nodes, and the shims that would tell of it."""
    _end(lambda: [pid for pid in shims() if marked().get(pid) == str(folder)])
    _end(lambda: _contained(BRIDGE))


def end(mark: str, group: str, folder: Path | None = None) -> set[Path]:
    """End what is marked so and what runs in cgroups that are called so, and remove their mounts.

    Returns the folders that it belonged to, ``folder`` among them.
    """
    folders = {Path(one) for one in marked(mark).values()} | ({folder} if folder else set())
    _end(lambda: marked(mark))
    _end(lambda: _contained(group))
    for place in folders:
        _unmount(place)
    for one in sorted(_cgroups(group), key=lambda path: -len(path.parts)):
        one.rmdir()
    return folders


def _end(running) -> None:
    def ended() -> bool:
        """Whether nothing is left: each look also ends what was begun since the one before."""
        left = [pid for pid in running() if _alive(pid)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    assert eventually(ended), "it does not end"


def _alive(pid: int) -> bool:
    """Whether it still runs: what has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _contained(name: str) -> set[int]:
    """Every process in cgroups that are called so."""
    found: set[int] = set()
    for group in _cgroups(name):
        try:
            found |= {int(word) for word in (group / "cgroup.procs").read_text().split()}
        except OSError:
            continue
    return found


def _cgroups(name: str) -> list[Path]:
    """The cgroups called so and all below, in every hierarchy (v1) or the one (v2)."""
    tops = {top.resolve() for pattern in ("", "*/") for top in CGROUPS.glob(f"{pattern}{name}*")}
    return [group for top in tops for group in (top, *_folders(top))]


def _folders(top: Path) -> Iterator[Path]:
    return (place for place in top.rglob("*") if place.is_dir())


def _bridges() -> list[Path]:
    return list(Path("/sys/class/net").glob(f"{BRIDGE}*"))


def _unmount(folder: Path) -> None:
    """Whatever is mounted below the folder, the newest first."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed(places):
        if place.startswith(f"{folder}/"):
            _run("umount", "--lazy", place)


def _unlink_logs(folder: Path) -> None:
    for link in LOG_LINKS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{folder}/"):
            link.unlink()


def _clear_rules(program: str, table: str) -> None:
    """Take kube-proxy's, the kubelet's and our bridges' rules out; a node of others is not here.

    (``nodes.obstacle`` refuses a machine that has one.)
    """
    try:
        saved = _run(f"{program}-save", "--table", table)
    except subprocess.CalledProcessError:
        return  # no such table on this machine
    lines = saved.splitlines()
    ours = ("KUBE-", "CNI-HOSTPORT-", *_cni_chains(lines))
    kept = [line for line in lines if not any(word in line for word in ours)]
    if kept != lines:
        _run(f"{program}-restore", "--table", table, stdin="\n".join(kept) + "\n")


def _cni_chains(lines: list[str]) -> set[str]:
    """CNI's chains that a rule says are for our bridges, and those that no rule is about."""
    words = {word for line in lines for word in line.split() if word.startswith("CNI-")}
    declared = {line.split()[0][1:] for line in lines if line.startswith(":CNI-")}
    named = {word for line in lines if BRIDGE in line for word in line.split()} & words
    return named | (declared - words)


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)
    return done.stdout
