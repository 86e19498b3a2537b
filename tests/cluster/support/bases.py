"""Bases for slimgate's image, assembled from Debian 13 packages: no public registry is asked.

A builder with python3 and pip, in place of ``python:3.13-slim-trixie``; and a runtime base that
holds what ``gcr.io/distroless/python3-debian13:nonroot`` holds: Python 3.13, its standard library,
the shared libraries, certificates, time zones and the user nonroot; no shell, no package manager.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tests.support import forge

EPOCH = 1_767_225_600
"""SOURCE_DATE_EPOCH of the builds here: 2026-01-01."""
SUITE = "trixie"
BUILDER_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates", "tzdata")
RUNTIME_PACKAGES = (
    *("base-files", "netbase", "media-types", "tzdata", "ca-certificates"),
    *("libc6", "gcc-14-base", "libgcc-s1", "libstdc++6", "zlib1g", "libssl3t64", "libexpat1"),
    *("libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5", "libzstd1", "libuuid1", "libdb5.3t64"),
    *("libreadline8t64", "libncursesw6", "libtinfo6"),
    *("libpython3.13-minimal", "libpython3.13-stdlib", "python3.13-minimal"),
)
PROGRAM = "usr/bin/python3.13"
"""The only program of all these packages that the runtime base has."""
LEFT_OUT = ("usr/bin/", "usr/sbin/", "usr/share/man/", "usr/share/info/", "usr/share/lintian/")
PASSWD = """\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
GROUP = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
NSSWITCH = "hosts: files dns\n"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def assemble(place: Path, *, tags: Mapping[str, str]) -> None:
    """Write the OCI layouts ``builder`` and ``runtime`` into the folder.

    ``tags`` has names for them, by build argument.
    """
    tar = place / "builder.tar"
    run(
        *("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(BUILDER_PACKAGES)}"),
        *(SUITE, str(tar)),
        env={"SOURCE_DATE_EPOCH": str(EPOCH)},
    )
    paths = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    builder = forge.image([tar.read_bytes()], env=paths, compression="none")
    forge.write_layout(place / "builder", builder, tag=tags["BUILDER"])
    with tarfile.open(tar) as packages:
        runtime = forge.image(
            [list(_runtime(packages))],
            user="65532",
            env=[*paths, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        )
    forge.write_layout(place / "runtime", runtime, tag=tags["BASE"])
    tar.unlink()


def _runtime(packages: tarfile.TarFile) -> Iterator[forge.Entry]:
    """The entries of the runtime base: what the packages own, and what their scripts would make."""
    members = {member.name.removeprefix("./").rstrip("/"): member for member in packages}
    wanted = {*_owned(packages, members), "etc/ssl/certs/ca-certificates.crt"}
    links = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
    own = {
        **{name: forge.symlink(name, target) for name, target in links.items()},
        "usr/bin/python3": forge.symlink("usr/bin/python3", "python3.13"),
        "etc/passwd": forge.file("etc/passwd", PASSWD.encode()),
        "etc/group": forge.file("etc/group", GROUP.encode()),
        "etc/nsswitch.conf": forge.file("etc/nsswitch.conf", NSSWITCH.encode()),
        "tmp": forge.folder("tmp", mode=0o1777),
        "home/nonroot": forge.folder("home/nonroot", mode=0o700),
        **{entry.info.name: entry for entry in _status(packages, members)},
    }
    own["home/nonroot"].info.uid = own["home/nonroot"].info.gid = 65532
    for name in sorted({*wanted, *own}):
        entry = own.get(name) or _copied(packages, members[name])
        entry.info.mtime = EPOCH
        yield entry


def _owned(packages: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> Iterator[str]:
    for package in RUNTIME_PACKAGES:
        for line in _info(packages, members, package, "list").splitlines():
            name = _merged(line.strip("/"))
            member = members.get(name)
            if member is None or not _kept(name):
                continue  # excluded by mmdebstrap, or the root
            if not member.isdir():
                yield name


def _kept(name: str) -> bool:
    if name.startswith("usr/share/doc/"):
        return PurePosixPath(name).name == "copyright"
    return name == PROGRAM or not name.startswith(LEFT_OUT)


def _merged(name: str) -> str:
    """Where a file is since /lib and its like are links to /usr."""
    first = name.partition("/")[0]
    return f"usr/{name}" if "/" in name and first in ("bin", "sbin", "lib", "lib64") else name


def _info(
    packages: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], package: str, kind: str
) -> str:
    folder = "var/lib/dpkg/info"
    names = (f"{folder}/{package}.{kind}", f"{folder}/{package}:amd64.{kind}")
    member = next(members[name] for name in names if name in members)
    file = packages.extractfile(member)
    assert file is not None
    return file.read().decode()


def _status(
    packages: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]
) -> Iterator[forge.Entry]:
    """One file a package, as distroless has it: scanners read them."""
    file = packages.extractfile(members["var/lib/dpkg/status"])
    assert file is not None
    for paragraph in file.read().decode().split("\n\n"):
        name = paragraph.partition("\n")[0].removeprefix("Package: ")
        if name in RUNTIME_PACKAGES:
            yield forge.file(f"var/lib/dpkg/status.d/{name}", f"{paragraph}\n".encode())


def _copied(packages: tarfile.TarFile, member: tarfile.TarInfo) -> forge.Entry:
    name = member.name.removeprefix("./")
    if member.issym():
        return forge.symlink(name, member.linkname)
    file = packages.extractfile(member)  # follows hard links
    assert file is not None, name
    return forge.file(name, file.read(), mode=member.mode)


def run(*command: str, env: Mapping[str, str] | None = None) -> str:
    """Run a step; what it printed is on stderr where it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout
