"""Libraries that are not there: what is said is what the real dynamic loaders say."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image.reading import files, real_images
from tests.support import forge
from tests.support.samples import linked
from webhook.image import elf, libraries
from webhook.image.libraries import Needed

GLIBC, MUSL = "lib64/ld-linux-x86-64.so.2", "lib/ld-musl-x86_64.so.1"
CHROOT = shutil.which("chroot") or "/usr/sbin/chroot"
LACKS = re.compile(
    r"error while loading shared libraries: (\S+): cannot open"  # glibc stops at the first
    r"|Error loading shared library (\S+): No such file"  # musl tells all
)


def read(program: bytes) -> Needed | None:
    """What a file needs, as a layer's walk reads it."""
    header = elf.parse(program[: elf.HEAD])
    assert header
    if header.linking is None:
        return None
    table, strings = (program[at : at + size] for at, size in libraries.parts(header.linking))
    return libraries.needed(header.linking, table, strings)


def lacks(*entries: forge.Entry, path: str = "/app") -> str | None:
    """What the program at ``path`` lacks in an image of these files."""
    return files(list(entries)).programs.executables[path].lacks


def app(*names: str, loader: str = GLIBC, **more: str) -> forge.Entry:
    """A program that needs these."""
    return forge.file("app", linked(*names, loader=f"/{loader}", **more), mode=0o755)


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        (("libc.so.6",), {}, Needed(b"libc.so.6")),
        (("libz.so.1", "libc.so.6"), {}, Needed(b"libz.so.1\0libc.so.6")),
        (("libz.so.1",), {"run_path": "$ORIGIN/a:/b"}, Needed(b"libz.so.1", b"$ORIGIN/a:/b")),
        ((), {}, None),
        (("lib" + "a" * 5000 + ".so",), {}, None),
        (tuple(f"lib{one}.so" for one in range(500)), {}, None),
    ],
)  # fmt: skip
def test_what_a_program_needs(names, more, expected):
    assert read(linked(*names, **more)) == expected


@pytest.mark.parametrize("length", range(0, 700, 7))
def test_what_is_cut_off_is_not_known(length):
    """It is read whole, or not at all."""
    whole = linked("libz.so.1", "libc.so.6")
    header = elf.parse(whole[: elf.HEAD])
    assert header
    assert header.linking
    cut = whole[:length]
    table, strings = (cut[at : at + size] for at, size in libraries.parts(header.linking))
    found = libraries.needed(header.linking, table, strings)
    assert found in {None, Needed(b"libz.so.1\0libc.so.6")}
    assert (found is None) == (length < len(whole))


@pytest.mark.parametrize(
    ("names", "there", "expected"),
    [
        pytest.param(("libc.so.6",), (), "libc.so.6", id="libc"),
        pytest.param(("libz.so.1", "libx.so.2"), ("usr/lib/libz.so.1",), "libx.so.2", id="second"),
        pytest.param(("libz.so.1",), ("opt/any/where/libz.so.1",), None, id="anywhere"),
        pytest.param(("libz.so.1",), ("lib/libz.so.1.3.1",), None, id="under a longer name"),
        pytest.param(("libz.so.1",), ("lib/libz.so.10",), "libz.so.1", id="another version"),
        pytest.param(("libz.so.1",), ("lib/libz.so",), "libz.so.1", id="for linkers only"),
        pytest.param(("/lib/libz.so.1",), (), None, id="a path"),
        pytest.param(("libz",), (), None, id="no name of a library"),
        pytest.param(("libcuda.so.1", "libnvidia-ml.so.1"), (), None, id="NVIDIA's runtime"),
        pytest.param(("libcuda.so.1", "libz.so.1"), (), "libz.so.1", id="not all are NVIDIA's"),
        pytest.param(("ld-linux-x86-64.so.2",), (), None, id="the loader"),
        pytest.param(("libz.so.1",), ("etc/ld.so.preload",), None, id="preloaded"),
        pytest.param(("libc.so.6",), (MUSL,), None, id="a glibc loader that is musl's"),
        pytest.param(("libstdc++.so.6",), (MUSL,), "libstdc++.so.6", id="and has not all"),
    ],
)  # fmt: skip
def test_what_is_not_there(names, there, expected):
    assert lacks(app(*names), *(forge.file(path, b"") for path in (GLIBC, *there))) == expected


@pytest.mark.parametrize(
    ("names", "there", "expected"),
    [
        (("libc.musl-x86_64.so.1",), (), None),
        (("libc.so", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"), (), None),
        (("libcrypto.so.3", "libc.so"), (), "libcrypto.so.3"),
        (("libcrypto.so.3",), ("etc/ld-musl-x86_64.path",), None),
    ],
)
def test_what_musl_is_itself(names, there, expected):
    entries = (forge.file(path, b"") for path in (MUSL, *there))
    assert lacks(app(*names, loader=MUSL), *entries) == expected


def test_a_loader_that_nobody_knows():
    strange = app("libz.so.1", loader="lib/ld-uClibc.so.0")
    assert lacks(strange) is None
    assert lacks(strange, forge.file(MUSL, b""), forge.file(GLIBC, b"")) is None


def test_links_count():
    """Where they lead may be what a runtime brings."""
    assert lacks(app("libz.so.1"), forge.symlink("usr/lib/libz.so.1", "/mnt/libz")) is None


def test_its_own_folders_are_told():
    found = files([app("libz.so.1", run_path="/opt/lib")]).programs.executables["/app"]
    assert (found.lacks, found.run_path) == ("libz.so.1", "/opt/lib")


def test_a_whited_out_library_is_not_there():
    base = [app("libz.so.1"), forge.file("lib/libz.so.1", b"")]
    assert files(base).programs.executables["/app"].lacks is None
    later = files(base, [forge.file("lib/.wh.libz.so.1", b"")])
    assert later.programs.executables["/app"].lacks == "libz.so.1"


HOSTILE = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 5, 10, 15, 29, 2**63, 1 << 20])


@given(
    st.sampled_from(["<QQ", ">QQ", "<II", ">II"]),
    st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), max_size=4),
    st.lists(st.tuples(st.sampled_from([1, 1, 5, 10, 15, 29, 7]), HOSTILE), max_size=40),
    st.binary(max_size=300),
    st.booleans(),
)
def test_hostile_sections(entry, loads, tags, first, ended):
    """Never an exception; and nothing is told that is not in the bytes."""
    most = 2 ** (8 * struct.calcsize(entry) // 2) - 1
    table = b"".join(struct.pack(entry, tag, value & most) for tag, value in tags)
    table += bytes(struct.calcsize(entry)) if ended else b""
    linking = elf.Linking((0, len(table)), entry, tuple(elf.Load(*one) for one in loads))
    found = libraries.needed(linking, table, first)
    if found:
        assert ended
        assert len(found.names) + len(found.run_path) <= 2 * 4096
        assert all(name + b"\0" in first for name in found.names.split(b"\0"))


def test_very_many_hostile_programs_are_bounded():
    """What is kept of each is one piece of bytes of a page at most."""
    program = linked(*(f"l{one}.so" for one in range(400)))
    tracemalloc.start()
    kept = [read(program) for _ in range(200)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept[0]
    assert size < 200 * 5000


def test_readelf_says_the_same():
    """Of the programs of this machine."""
    if not shutil.which("readelf"):
        pytest.skip("readelf is not there")
    compared = 0
    for path in sorted(Path("/usr/bin").iterdir())[:600:3]:
        if path.is_symlink() or not path.is_file():
            continue
        program = path.read_bytes()
        found = read(program) if program.startswith(elf.MAGIC) else None
        if found is None:
            continue
        told = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True)
        names = re.findall(r"\(NEEDED\).*\[(.*)\]", told.stdout)
        folders = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", told.stdout)
        assert found == Needed("\0".join(names).encode(), ":".join(folders).encode()), path
        compared += 1
    assert compared > 10


class Root:
    """A folder that programs are started in, as root of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, path: str) -> None:
        """A file of this machine, under the name by which it is asked for."""
        to = self.folder / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)

    def says(self, *command: str) -> set[str]:
        """The libraries that its loader misses."""
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--kill-child", CHROOT, self.folder, *command],
            capture_output=True,
            check=False,
            timeout=20,
            stdin=subprocess.DEVNULL,
            env={},
        )
        told = done.stderr.decode(errors="replace")
        missing = {one[1] or one[2] for one in LACKS.finditer(told)}
        assert missing or done.returncode in {0, 1}, told
        return missing

    def lacks(self, program: str) -> str | None:
        """What slimgate says."""
        made = files([self._entry(path) for path in sorted(self.folder.rglob("*"))])
        return made.programs.executables[program].lacks

    def _entry(self, path: Path) -> forge.Entry:
        name = str(path.relative_to(self.folder))
        if path.is_symlink():
            return forge.symlink(name, str(path.readlink()))
        if path.is_dir():
            return forge.folder(name)
        return forge.file(name, path.read_bytes(), mode=path.stat().st_mode & 0o777)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("chroot needs root, and unshare")
    return Root(tmp_path)


def _of_this_machine(program: str) -> Iterator[str]:
    """Its loader and libraries, as the loader finds them."""
    loader = f"/{GLIBC}"
    if not Path(loader).exists() or not Path(program).exists():
        pytest.skip(f"no glibc, or no {program}, on this machine")
    told = subprocess.run([loader, "--list", program], check=True, capture_output=True, text=True)
    yield loader
    yield from re.findall(r"=> (/\S+)", told.stdout)


@pytest.mark.parametrize(
    "command", [("/bin/dash", "-c", ":"), ("/bin/bash", "-c", ":"), ("/usr/bin/perl", "-v")]
)
def test_glibc_says_the_same(root, command):
    """Debian's programs, each of their libraries taken away in turn."""
    program = command[0]
    there = list(_of_this_machine(program))
    for path in (program, *there):
        root.put(path)
    needed = read(Path(program).read_bytes())
    assert needed
    names = needed.names.decode().split("\0")
    assert (root.says(*command), root.lacks(program)) == (set(), None)
    for path in there[1:]:
        gone = root.folder / path.lstrip("/")
        gone.unlink()
        real, ours = root.says(*command), root.lacks(program)
        assert real == {gone.name}
        assert {ours} == (real if gone.name in names else {None})  # what libraries need is not said
        root.put(path)


@pytest.fixture
def alpine(root):
    with tarfile.open(real_images() / "alpine-minirootfs-3.20-x86_64.tar.gz") as archive:
        archive.extractall(root.folder, filter="tar")
    return root


@pytest.mark.parametrize(
    ("command", "gone"),
    [
        (("/bin/busybox", "true"), "none"),
        (("/sbin/apk", "--version"), "none"),
        (("/sbin/apk", "--version"), "libapk.so.2.14.0"),
        (("/sbin/apk", "--version"), "libcrypto.so.3"),
        (("/sbin/apk", "--version"), "libz.so.1"),
        (("/usr/bin/ssl_client",), "libssl.so.3"),
    ],
)
def test_musl_says_the_same(alpine, command, gone):
    """Alpine 3.20's programs, and one of their libraries taken away."""
    for path in alpine.folder.rglob(f"{gone}*"):
        path.unlink()
    expected = None if gone == "none" else gone
    assert alpine.lacks(command[0]) == expected
    assert alpine.says(*command) == ({expected} if expected else set())


def test_glibc_on_musl(alpine):
    """Nobody knows whether such a loader is glibc's, or musl's under its name (gcompat)."""
    there = list(_of_this_machine("/bin/bash"))
    alpine.put("/bin/bash")
    alpine.put(there[0])
    assert (alpine.says("/bin/bash"), alpine.lacks("/bin/bash")) == (
        {"libtinfo.so.6"},
        "libtinfo.so.6",
    )


@pytest.mark.parametrize("how", ["-static", "-static-pie", "-no-pie", "-pie"])
def test_what_a_compiler_makes(root, how):
    """Static ones need nothing; others this machine's libc."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not there")
    program = root.folder / "app"
    command = ["gcc", how, "-x", "c", "-", "-o", str(program)]
    subprocess.run(command, input=b"int main(){return 0;}", check=True)
    static = how.startswith("-static")
    if not static:
        root.put(f"/{GLIBC}")
    expected = set() if static else {"libc.so.6"}
    assert root.says("/app") == expected
    assert root.lacks("/app") == next(iter(expected), None)
