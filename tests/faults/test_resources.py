"""Disks and memory that run out while both servers run: 27 and 28 of docs/webhook-conformance.md.

Of where facts are kept, see tests/cli/test_store.py.
"""

from __future__ import annotations

import os
import signal
import ssl
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.support.processes import eventually
from tests.faults.answers import in_both, judge_new_ones, refused
from tests.faults.bombs import of_files
from tests.faults.images import app
from tests.soak.soak import sample
from tests.store.test_sqlite import fill, mounted, remount
from tests.support.registry import Fault, Registry
from tests.support.served import MODES, Served, both, children, review, serving
from webhook.limits import KIB, MIB


def is_let_in(served: Served, name: str) -> bool:
    return served.ask(name)["auditAnnotations"]["decision"] == "allow"


def test_temporary_files_find_no_room(tls, ca_file, tmp_path):
    """27: what runs goes on; what begins anew without a place for its socket reads nothing."""
    with (
        tempfile.TemporaryDirectory() as folder,  # a socket's path has to be short
        mounted(disk := Path(folder) / "tmp", "size=1m", "nr_inodes=64"),
        both(tmp_path, "--ca-file", ca_file, env={"TMPDIR": str(disk)}) as servers,
        Registry(tls=tls) as registry,
    ):
        for mode, served in servers.items():
            judge_new_ones(registry, mode, served)
        fill(disk / "others")
        with suppress(OSError):
            for number in range(64):
                (disk / f"{number}").touch()
        with pytest.raises(OSError, match="No space left"):
            (disk / "another").touch()
        for mode, served in servers.items():
            judge_new_ones(registry, mode, served)

        remount(disk, "ro")
        registry.add("team/app:1", app())
        for mode, served in servers.items():
            judge_new_ones(registry, mode, served)
            os.kill(served.worker, signal.SIGKILL)
        for mode, served in servers.items():
            answer = served.ask(f"{registry.host}/team/app:1", seconds=2)
            refused(mode, answer, "could not be found out (")
            assert served.get("/healthz") == served.get("/readyz") == "ok\n"

        remount(disk, "rw")
        for number in range(9):
            (disk / f"{number}").unlink()
        for served in servers.values():
            assert eventually(partial(is_let_in, served, f"{registry.host}/team/app:1"))


@contextmanager
def cgroup(name: str) -> Iterator[Path]:
    """A memory cgroup of its own, of whichever version; the test is skipped where none may be."""
    root = Path("/sys/fs/cgroup")
    folder = (root / "memory" if (root / "memory").is_dir() else root) / name
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not limit_of(folder).exists():
            pytest.skip(f"no bound on memory in {folder}")
        yield folder
    finally:
        assert eventually(partial(removed, folder))


def removed(folder: Path) -> bool:
    """Whether it could be: processes that were killed may take a moment to be gone."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def limit_of(folder: Path) -> Path:
    return next((one for one in folder.glob("memory.limit_in_bytes")), folder / "memory.max")


def used_in(folder: Path) -> int:
    first = folder / "memory.usage_in_bytes"
    return int((first if first.exists() else folder / "memory.current").read_text())


def nothing_is_read(served: Served) -> bool:
    """Whether whoever read a layer is gone, and its memory with it."""
    return not any(map(children, children(served.worker)))


def sent(served: Served, body: bytes) -> int | None:
    """The status; None where it was closed before all of it was sent: Go reads the answer first."""
    with suppress(OSError):
        return served.post(body)[0]
    return None


def test_memory_runs_out(tls, ca_file, tmp_path):
    """28: the kernel ends who takes most of it, which is not who answers; reviews are bounded."""
    enter = ("sh", "-c", 'echo $$ > "$0" && exec "$@"')
    big = of_files(120_000)
    with ExitStack() as stack:
        registry = stack.enter_context(Registry({"team/big:1": big}, tls=tls))
        servers = {}
        for mode, told in MODES.items():
            folder = stack.enter_context(cgroup(f"slimgate-test-{os.getpid()}-{mode}"))
            before = (*enter, str(folder / "cgroup.procs"))
            servers[mode] = stack.enter_context(
                serving(tmp_path / mode, "--ca-file", ca_file, *told, before=before)
            )
            judge_new_ones(registry, mode, servers[mode])
            assert eventually(partial(nothing_is_read, servers[mode]))
            limit_of(folder).write_text(str(used_in(folder) + 48 * MIB))

        def asked(mode: str) -> dict[str, Any]:
            served, worker = servers[mode], servers[mode].worker
            answer = served.ask(f"{registry.host}/team/big:1")
            large = b'"metadata": {"x": "' + b"x" * MIB + b'", '
            padded = review("app:1").replace(b'"metadata": {', large)
            with ThreadPoolExecutor(16) as threads:
                statuses = Counter(threads.map(partial(sent, served), [padded] * 24))
            assert set(statuses) <= {200, 503, None}, statuses
            assert statuses[200], statuses
            assert len(statuses) > 1, statuses
            judge_new_ones(registry, mode, served)
            assert served.worker == worker
            return answer

        for mode, answer in in_both(asked).items():
            refused(mode, answer, "could not be found out (unreachable)", "killed by SIGKILL")


def nearly(handler: Any, answer: Any) -> None:
    """Nearly as many bytes as a manifest may have, and never the last ones."""
    piece = b" " * 64 * KIB
    handler.wfile.write(handler.head(answer, {"Transfer-Encoding": "chunked"}))
    for _ in range(60):
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    handler.linger()


def test_large_documents_wait_for_each_other(servers, authority):
    """28: of forty-eight registries, which wait for nothing else of each other."""
    addresses = [f"127.0.1.{number}" for number in range(1, 49)]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*addresses).configure_cert(tls)
    with ExitStack() as stack:
        names, swollen = {"team/app:1": app()}, {"*": Fault(nearly)}
        registries = [
            stack.enter_context(Registry(names, tls=tls, address=address, faults=swollen))
            for address in addresses
        ]
        images = [f"{registry.host}/team/app:1" for registry in registries]

        def asked(mode: str) -> tuple[dict[str, Any], float]:
            served = servers[mode]
            before = sample(served.worker, 0).memory
            answer = served.ask(*images, seconds=4)
            grown = sample(served.worker, 0).memory - before
            judge_new_ones(well, mode, served)
            return answer, grown

        well = stack.enter_context(Registry(tls=tls, address=addresses[0]))
        for mode, (answer, grown) in in_both(asked).items():
            refused(mode, answer, "could not be found out (deadline)")
            assert grown < 96  # MiB, where all of it would be 190
