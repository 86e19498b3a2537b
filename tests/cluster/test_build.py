"""Where the real programs come from; a stand-in for ``go`` saves the minutes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.cluster import build

# Writes a program, slowly, and counts how often it was asked to.
STAND_IN = """#!/bin/sh
echo built >> {count}
sleep 0.2
while [ "$1" != -o ]; do shift; done
{outcome}
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """No program installed, an empty cache, and no Go."""
    monkeypatch.setenv("SLIMGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def install_go(folder, outcome='echo program > "$2"'):
    """Put the stand-in on the PATH."""
    place = folder / "bin" / "go"
    place.write_text(STAND_IN.format(count=folder / "count", outcome=outcome))
    place.chmod(0o755)
    os.environ["PATH"] += ":/usr/bin:/bin"  # the script's own needs; the fixture puts it back


def test_every_program_has_a_pinned_version():
    """go.mod names the version, go.sum its content."""
    for program in build.PROGRAMS:
        assert re.fullmatch(r"v\d+\.\d+\.\d+", program.version), program.name
        assert program.version in program.gomod.with_name("go.sum").read_text()


def test_what_assets_name_is_taken(elsewhere, monkeypatch):
    """KUBEBUILDER_ASSETS comes first, as for every test of controllers."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(elsewhere / "assets"))
    (elsewhere / "assets").mkdir()
    (elsewhere / "assets" / "etcd").touch()
    assert build.provide(build.ETCD, print) == elsewhere / "assets" / "etcd"


def test_without_go_the_reason_is_told(elsewhere):
    """A skip must say what would make it run."""
    with pytest.raises(build.Missing, match="etcd is not there: install Go"):
        build.provide(build.ETCD, print)


def test_two_at_once_build_once(elsewhere):
    """The second waits for the first and takes what it built."""
    install_go(elsewhere)
    code = "from tests.cluster import build; print(build.provide(build.ETCD, lambda line: None))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    places = {one.communicate(timeout=120)[0].strip() for one in both}
    assert places == {str(build.ETCD.built)}
    assert build.ETCD.built.read_text() == "program\n"
    assert (elsewhere / "count").read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing(elsewhere):
    """… so that the next one starts anew; what Go wrote by then is gone."""
    install_go(elsewhere, outcome='echo half > "$2"; exit 1')
    with pytest.raises(subprocess.CalledProcessError):
        build.provide(build.ETCD, print)
    assert [path.name for path in build.ETCD.built.parent.iterdir()] == ["etcd.lock"]
