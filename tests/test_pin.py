"""scripts/pin: digests that a registry said, or none."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from scripts import pin
from tests.cluster.support.processes import closed_port
from tests.support.registry import Registry
from tests.support.samples import SAMPLES

BUILDER, BASE = SAMPLES["scratch"].image, SAMPLES["distroless"].image


@pytest.fixture
def host():
    """A registry with both bases."""
    with Registry({"builder:1": BUILDER, "base:nonroot": BASE}) as there:
        yield there.host


@pytest.fixture
def dockerfile(host, tmp_path):
    """A Dockerfile that names them, the one with a digest that has passed."""
    path = tmp_path / "Dockerfile"
    path.write_text(
        f"ARG BUILDER={host}/builder:1\nARG BASE={host}/base:nonroot@sha256:{'0' * 64}\n"
        "FROM ${BUILDER} AS builder\nARG SOURCE_DATE_EPOCH=1\n"
    )
    return path


def pinned(path, *words):
    return CliRunner().invoke(pin.main, ["--file", str(path), *words])


def test_both_are_pinned_and_nothing_else_changes(dockerfile, host):
    for _ in range(2):  # and what is pinned is pinned anew
        assert pinned(dockerfile).exit_code == 0
        assert dockerfile.read_text() == (
            f"ARG BUILDER={host}/builder:1@{BUILDER.digest}\n"
            f"ARG BASE={host}/base:nonroot@{BASE.digest}\n"
            "FROM ${BUILDER} AS builder\nARG SOURCE_DATE_EPOCH=1\n"
        )


def test_another_base_is_named(dockerfile, host):
    assert pinned(dockerfile, f"BASE={host}/builder:1").exit_code == 0
    assert f"ARG BASE={host}/builder:1@{BUILDER.digest}\n" in dockerfile.read_text()


def test_where_one_is_not_known_nothing_is_written(dockerfile, host):
    """Neither the one that was found."""
    before = dockerfile.read_text()
    with closed_port() as port:
        for image, told in (
            (f"127.0.0.1:{port}/base:1", "refuses connections"),
            (f"{host}/missing:1", "404"),
            ("UPPER/case", "UPPER"),
        ):
            done = pinned(dockerfile, f"BASE={image}")
            assert done.exit_code == 1
            assert done.output.startswith("nothing is pinned: ")
            assert told in done.output
            assert dockerfile.read_text() == before


def test_other_arguments_are_refused(dockerfile):
    done = pinned(dockerfile, "TAG=1")
    assert done.exit_code == 2
    assert "TAG: only BUILDER and BASE" in done.output


def test_the_dockerfile_has_both():
    assert set(pin.bases(pin.DOCKERFILE.read_text())) == set(pin.ARGUMENTS)
