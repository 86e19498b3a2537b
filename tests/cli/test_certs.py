"""``slimgate certs show``: what it says of good, ended and orphaned certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import one_line
from webhook.certs.issue import issue_authority, issue_leaf
from webhook.cli.main import run

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def files(tmp_path):
    ca = issue_authority("an authority", now=NOW, valid=YEAR)
    for name, begin in {"tls": NOW, "ended": NOW - 2 * YEAR}.items():
        leaf = issue_leaf(ca, name, ["slimgate.guard.svc"], now=begin, valid=YEAR)
        (tmp_path / f"{name}.crt").write_bytes(leaf.cert_pem)
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem)
    (tmp_path / "ca.key").write_bytes(ca.key_pem)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["tls.crt", "ca.crt"], 0, "chain   ok"),
        (["tls.crt"], 1, "its issuer is not among these"),
        (["ended.crt", "ca.crt"], 1, "it has ended"),
    ],
)
def test_show_says_whether_the_chain_holds(files, capsys, given, code, says):
    assert run(["certs", "show", *(str(files / name) for name in given)]) == code
    out = capsys.readouterr().out
    assert says in out
    assert "slimgate.guard.svc" in out


@pytest.mark.parametrize("given", [[], ["ca.key"]])
def test_show_without_a_certificate_is_wrong_usage(files, capsys, given):
    assert run(["certs", "show", *(str(files / name) for name in given)]) == 64
    assert "PRIVATE" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: [", "config: while parsing", id="no YAML"),
        pytest.param("{}", "config: Invalid kube-config", id="no kubeconfig"),
        pytest.param(
            """{current-context: a, clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}],
            users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, user: a}}]}""",
            "secrets/slimgate-ca: ",
            id="no API server",
        ),
    ],
)
def test_where_there_is_no_cluster_one_line_says_so(tmp_path, capsys, text, says):
    """And no traceback."""
    config = tmp_path / "config"
    config.write_text(text)
    assert run(["certs", "rotate", "--kubeconfig", str(config)]) == 64
    assert says in one_line(capsys.readouterr().err)
