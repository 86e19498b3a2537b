"""Layers in processes of their own: what they may not do, how they die, who is told."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.cluster.support.processes import eventually
from tests.support import forge
from webhook.errors import DeadlineExceeded, LimitExceeded, Malformed, Unreachable
from webhook.gather.reading import Here
from webhook.image.config import parse_config
from webhook.image.facts import Files, LayerRef
from webhook.image.layer import Entry, Layer
from webhook.limits import MIB, Deadline, Limits
from webhook.reader import messages, sandbox
from webhook.reader.client import Apart
from webhook.reader.own import Own

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = parse_config(b'{"config":{"User":"app"}}', "sha256:" + "0" * 64, Limits())
TAR = forge.tar(
    [
        forge.symlink("etc/passwd", "../data/users"),
        forge.file("data/users", b"app:x:7:8::/:\n"),
        forge.file("bin/sh", b"#!/bin/other\n", mode=0o755),
    ]
)


def promised(tar: bytes, blob: bytes | None = None) -> tuple[LayerRef, bytes]:
    """What a manifest says of a layer, and the layer."""
    blob = gzip.compress(tar) if blob is None else blob
    ref = LayerRef(
        index=0,
        digest="sha256:" + hashlib.sha256(blob).hexdigest(),
        diff_id="sha256:" + hashlib.sha256(tar).hexdigest(),
        media_type=GZIP,
        compressed=len(blob),
        created_by=None,
    )
    return ref, blob


@contextmanager
def apart(*options, limits=None):
    """A process for layers, and who asks it."""
    own = Own(options)
    try:
        assert eventually(own.path.exists)
        yield Apart(own.path, limits or Limits(), restart=own.restart, patience=60.0), own
    finally:
        own.close()
        assert not own.path.exists()


def soon(seconds=60.0):
    return Deadline.after(seconds, time.monotonic)


def read(reader, ref, chunks, *, keep=(), seconds=60.0):
    heard = []
    layer = reader.layer(
        ref, iter(chunks), keep=keep, deadline=soon(seconds), progress=heard.append
    )
    assert sum(heard) == ref.compressed
    return layer


def processes(of):
    """The pids of the jobs under way."""
    pid = of._process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def dripping(blob, hold):
    """Half of the blob, and the rest when it is let go."""
    yield blob[: len(blob) // 2]
    assert hold.wait(60)
    yield blob[len(blob) // 2 :]


def test_a_layer_is_what_it_is_here():
    """Read, merged with what has to be read again for that, merged again."""
    ref, blob = promised(TAR)
    here = Here(Limits())
    with apart() as (reader, _):
        layer = read(reader, ref, [blob[:7], blob[7:]])
        back = messages.unpacked(layer)
        assert replace(back, entries=[*back.entries]) == read(here, ref, [blob])
        assert back.entries[-1] == [*back.entries][-1]
        wanted = reader.files(CONFIG, [ref], [layer], soon())
        assert wanted == {0: (1,)}
        again = read(reader, ref, [blob], keep=wanted[0])
        files = reader.files(CONFIG, [ref], [again], soon())
        assert isinstance(files, Files)
        assert (files.user.uid, files.user.gid) == (7, 8)
        assert files == here.files(CONFIG, [ref], [read(here, ref, [blob], keep=[1])])


def test_what_is_wrong_with_a_layer_is_told_as_here():
    """Also where it is known before all of it has come, and nobody takes the rest."""
    ref, blob = promised(TAR, b"\x1f\x8b\x08" + b"\xff" * (8 * MIB))
    with apart() as (reader, _), pytest.raises(Malformed) as told:
        read(reader, ref, [blob[at : at + MIB] for at in range(0, len(blob), MIB)])
    with pytest.raises(Malformed) as here:
        read(Here(Limits()), ref, [blob])
    assert told.value.detail == here.value.detail


def test_an_error_of_the_source_is_the_error():
    """And the process that waited for more bytes ends."""
    ref, blob = promised(TAR)

    def broken():
        yield blob[:9]
        raise Unreachable("the registry hung up")

    with apart() as (reader, own):
        with pytest.raises(Unreachable, match="the registry hung up"):
            read(reader, ref, broken())
        assert eventually(lambda: not processes(own))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGKILL, Unreachable),
        (signal.SIGSEGV, LimitExceeded),
        (signal.SIGXCPU, LimitExceeded),
    ],
)
def test_one_that_dies_loses_its_own_layer_only(number, error):
    ref, blob = promised(TAR)
    hold = threading.Event()
    found = []

    def other():
        found.append(read(reader, ref, dripping(blob, hold)))

    with apart() as (reader, own):
        reading = threading.Thread(target=other)
        reading.start()
        assert eventually(lambda: len(processes(own)) == 1)
        (spared,) = processes(own)

        def killed():
            yield blob[:9]
            assert eventually(lambda: len(processes(own)) == 2)
            (victim,) = set(processes(own)) - {spared}
            os.kill(victim, number)
            yield blob[9:]

        with pytest.raises(error, match=number.name):
            read(reader, ref, killed())
        hold.set()
        reading.join()
        assert isinstance(messages.unpacked(found[0]), Layer)


def test_when_all_of_it_dies_the_next_layer_finds_another():
    ref, blob = promised(TAR)
    with apart() as (reader, own):
        read(reader, ref, [blob])
        own._process.kill()
        own._process.wait()
        assert read(reader, ref, [blob])


def test_where_it_cannot_begin_it_begins_once_it_can(monkeypatch):
    """A disk without room must not end whoever asks."""
    ref, blob = promised(TAR)
    later = Path(tempfile.mkdtemp()) / "later"  # tmp_path is too long for a socket with xdist
    monkeypatch.setattr("tempfile.tempdir", str(later))
    with closing(Own()) as own:
        reader = Apart(own.path, Limits(), restart=own.restart, patience=60.0)
        with pytest.raises(Unreachable, match="No such file"):
            read(reader, ref, [blob], seconds=0.2)
        later.mkdir()
        assert read(reader, ref, [blob])
    shutil.rmtree(later.parent)


def test_where_nobody_listens_it_is_said(tmp_path):
    ref, blob = promised(TAR)
    reader = Apart(tmp_path / "reader.sock", Limits())
    with pytest.raises(Unreachable, match="the process that reads layers: No such file"):
        read(reader, ref, [blob], seconds=0.2)


def test_memory_is_bounded():
    """Many names are refused where the process may not have that much; read they were flat."""
    many = forge.tar([forge.symlink(f"srv/{'d' * 80}/{number}", "x") for number in range(60_000)])
    ref, blob = promised(many)
    with apart("--memory", "12Mi") as (reader, _):
        layer = read(reader, ref, [blob])
        with pytest.raises(LimitExceeded, match="more memory than a job may have"):
            reader.files(CONFIG, [ref], [layer], soon())
        ref, blob = promised(TAR)
        read(reader, ref, [blob])


def test_time_is_bounded():
    """Of the job, and of who waits for it."""
    ref, blob = promised(TAR)
    with apart("--seconds", "1s") as (reader, own):
        with pytest.raises(DeadlineExceeded, match="ended after 1 s"):
            read(reader, ref, trickling(blob))
        assert not processes(own)
    with apart() as (reader, own):
        (pid,) = [own._process.pid]
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            read(reader, ref, [blob], seconds=0.5)
        assert time.monotonic() - begun < 30
        os.kill(pid, signal.SIGCONT)


def trickling(blob):
    """A byte at a time: for much longer than a second, however late anybody looks."""
    for byte in blob:
        yield bytes([byte])
        time.sleep(0.1)


def test_jobs_wait_for_a_place():
    ref, blob = promised(TAR)
    hold = threading.Event()
    with apart("--jobs", "2") as (reader, own):
        reading = [
            threading.Thread(target=read, args=(reader, ref, dripping(blob, hold)))
            for _ in range(5)
        ]
        for thread in reading:
            thread.start()
        assert eventually(lambda: len(processes(own)) == 2)
        time.sleep(0.3)
        assert len(processes(own)) == 2
        hold.set()
        for thread in reading:
            thread.join()


def test_it_ends_with_whoever_began_it():
    """However that one ends."""
    program = (
        "import os, time; from webhook.reader.own import Own\n"
        "own = Own(); print(own._process.pid, own.path, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    number, path = parent.stdout.readline().split()
    pid, folder = int(number), Path(path).parent
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: "Z" in state(pid))
    assert not folder.exists()


def state(pid):
    """The letter of proc_pid_stat(5); ``Z`` for one that is gone, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


ATTEMPTS = {
    "a file": lambda: open("/etc/passwd"),  # noqa: SIM115, PTH123
    "a file to write": lambda: os.open("/tmp/slimgate-was-here", os.O_CREAT | os.O_WRONLY),
    "a socket": lambda: socket.socket(),  # noqa: PLW0108
    "a unix socket": lambda: socket.socket(socket.AF_UNIX),
    "a pair": socket.socketpair,
    "a program": lambda: os.execv("/bin/true", ["true"]),
    "a signal": lambda: os.kill(os.getppid(), 0),
    "a name": lambda: os.unlink("/tmp/slimgate-is-not-there"),  # noqa: PTH108
    "a folder": lambda: os.mkdir("/tmp/slimgate-was-here"),  # noqa: PTH102
}


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_process_for_layers_gets(what):
    """... none of these: EPERM, from the kernel."""

    def attempt():
        try:
            ATTEMPTS[what]()
        except PermissionError as error:
            return f"refused {error.errno}"
        return "got it"

    assert confined(attempt) == "refused 1"


def test_what_it_needs_it_has():
    """Pipes that it was given, memory, time; and no privileges by a setuid program."""

    def attempt():
        bytearray(MIB)
        os.read(os.pipe()[0], 0)
        status = dict(line.split(":\t", 1) for line in before.splitlines())
        return (
            f"{status['NoNewPrivs']} {status['Seccomp']} {resource.getrlimit(resource.RLIMIT_CORE)}"
        )

    before = confined_status()
    assert confined(attempt) == "1 2 (0, 0)"


def confined_status():
    """/proc/PID/status of a confined process, read from outside: it can read no file itself."""
    ready, tell = os.pipe()
    hold, let_go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.confine(memory=64 * MIB, seconds=9)
            os.write(tell, b"x")
            os.read(hold, 1)
        finally:
            os._exit(0)
    os.read(ready, 1)
    text = Path(f"/proc/{pid}/status").read_text()
    os.write(let_go, b"x")
    os.waitpid(pid, 0)
    for end in (ready, tell, hold, let_go):
        os.close(end)
    return text


def confined(call):
    """What the call returns in a process as layers have it."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = sandbox.confine(memory=64 * MIB, seconds=9) or call()
            os.write(tell, said.encode())
        except BaseException as error:  # noqa: BLE001 - told, and the test fails
            os.write(tell, repr(error).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def test_calls_are_named_right(tmp_path):
    """The numbers of the filter are those of this machine's own headers, where it has them."""
    names = sandbox.MACHINES[os.uname().machine].denied
    headers = tmp_path / "calls.c"
    headers.write_text("#include <sys/syscall.h>\n" + "".join(f"{n} = SYS_{n}\n" for n in names))
    try:
        done = subprocess.run(
            ["cc", "-E", "-P", headers], capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no C compiler with headers")
    known = dict(line.split(" = ") for line in done.stdout.splitlines() if " = " in line)
    assert {name: known[name] for name in names} == {n: str(number) for n, number in names.items()}


@pytest.mark.parametrize("said", [b"", b"\xff", b"\x81", msgspec.msgpack.encode({"type": "read"})])
def test_an_answer_that_makes_no_sense_is_none(said, tmp_path):
    """Whoever took over a process for layers may say anything: it is refused, and no more."""
    ref, blob = promised(TAR)
    path = tmp_path / "reader.sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def act():
            one, _ = door.accept()
            _, pipes, _, _ = socket.recv_fds(one, 1, 1)
            os.close(pipes[0])
            with one:
                one.sendall(len(said).to_bytes(4, "big") + said)
                one.recv(99_999)

        thread = threading.Thread(target=act)
        thread.start()
        with pytest.raises(LimitExceeded, match="makes no sense"):
            read(Apart(path, Limits()), ref, [blob])
        thread.join()


def test_a_packed_layer_that_swells_is_refused():
    ref, _ = promised(TAR)
    layer = Layer(ref=ref, unpacked=0, entries=(), bodies={0: bytes(999)})
    with pytest.raises(LimitExceeded):
        messages.unpacked(messages.packed(layer), 99)
    long = [Entry(b"x" * 40_000_000, *range(6), b"y")] * 2  # no limit lets it be read
    entries = messages.unpacked(messages.packed(replace(layer, entries=long))).entries
    with pytest.raises(LimitExceeded):
        list(entries)
