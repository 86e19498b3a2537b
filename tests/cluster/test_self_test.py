"""The chart's ``helm test``, through a real API server and a webhook that answers as told."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from tests.cluster.support.apiserver import TOKEN
from tests.cluster.support.processes import closed_port, eventually
from webhook.cli.main import run
from webhook.cluster.self_test import ApiServer, in_cluster, self_test
from webhook.errors import UsageError

pytestmark = pytest.mark.cluster
NAME = "self-test"
GOOD, BAD = "registry.example/app:1", "registry.example/app:2"


@dataclass
class Gate:
    """Stands in for slimgate: says what the test is to hear."""

    denies: bool = True
    echoes: bool = True
    authority: bytes = b""
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def answer(self, request: dict) -> dict:
        """As slimgate would: root is refused, the nonce of a dry-run PodTemplate is told."""
        assert request["dryRun"] is True
        self.asked.append(request["kind"]["kind"])
        found = request["object"]
        if request["kind"]["kind"] == "PodTemplate":
            nonce = found["metadata"]["annotations"]["slimgate.dev/probe"]
            return {"allowed": True, "warnings": [f"slimgate answers: {nonce}"] * self.echoes}
        user = found["spec"]["containers"][0]["securityContext"].get("runAsUser")
        if user == 0 and self.denies:
            return {"allowed": False, "status": {"code": 403, "message": "root"}}
        return {"allowed": True}


@contextmanager
def listening(gate: Gate) -> Iterator[Gate]:
    """The gate on a loopback port, with TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = {"uid": review["request"]["uid"], **gate.answer(review["request"])}
            body = json.dumps({**review, "response": response, "request": None}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        gate.authority, gate.port = authority.cert_pem.bytes(), server.server_address[1]
        try:
            yield gate
        finally:
            server.shutdown()
            thread.join()


def registration(gate: Gate) -> dict:
    """Pods and templates of the namespace, as the chart registers them."""
    common = {
        "clientConfig": {
            "url": f"https://127.0.0.1:{gate.port}/validate",
            "caBundle": base64.b64encode(gate.authority).decode(),
        },
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAME}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"]}
    names = {"pods.slimgate.dev": "pods", "templates.slimgate.dev": "podtemplates"}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {"name": name, "rules": [{**rule, "resources": [resource]}], **common}
            for name, resource in names.items()
        ],
    }


@pytest.fixture(scope="module")
def gate(alone) -> Iterator[Gate]:
    """It answers for one namespace, from when the API server asks it."""
    alone.must("create", "namespace", NAME)
    alone.must("create", "serviceaccount", "default", "--namespace", NAME)
    with listening(Gate()) as one:
        alone.must("create", "-f", "-", stdin=json.dumps(registration(one)))
        document = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "probe", "annotations": {"slimgate.dev/probe": "1"}},
            "template": {"spec": {"containers": [{"name": "a", "image": GOOD}]}},
        }

        def heard() -> bool:
            alone.create(document, "--namespace", NAME, "--dry-run=server")
            return bool(one.asked)

        assert eventually(heard)
        yield one
        alone.must("delete", "validatingwebhookconfiguration", NAME)


@pytest.fixture
def server(alone) -> ApiServer:
    return ApiServer(url=alone.url, token=TOKEN, authority=alone.folder / "ca.crt")


def problems(server, *, audit_only=False, seconds=0.0):
    """What each of the three steps found."""
    steps = self_test(
        server,
        namespace=NAME,
        good=GOOD,
        bad=BAD,
        audit_only=audit_only,
        seconds=seconds,
        sleep=lambda _: None,
    )
    return [step.problem for step in steps]


def test_all_is_well(gate, server):
    """Asked, a good pod let in, a bad one refused."""
    assert problems(server) == [None, None, None]


@pytest.mark.parametrize(
    ("denies", "audit_only", "last"),
    [
        pytest.param(False, False, "it was let in", id="what should be refused is not"),
        pytest.param(False, True, None, id="audit-only lets in"),
        pytest.param(True, True, "403", id="audit-only, and yet refused"),
    ],
)
def test_bad_image(gate, server, denies, audit_only, last):
    """The bad one has to be refused, but by audit-only."""
    gate.denies = denies
    try:
        *first, found = problems(server, audit_only=audit_only)
    finally:
        gate.denies = True
    assert first == [None, None]
    assert found == last if last is None else found.startswith(last)


def test_webhook_that_is_not_asked(gate, server):
    """An old warning is no proof: the nonce is new each time."""
    gate.echoes = False
    try:
        assert problems(server)[0] == "it was not asked; warnings: none"
    finally:
        gate.echoes = True


def test_refused_by_something_else(gate, server, alone):
    """Only slimgate's own refusal counts: here the namespace is missing."""
    steps = self_test(
        server, namespace="missing", good=GOOD, bad=BAD, audit_only=False, seconds=0.0
    )
    assert ['namespaces "missing" not found' in step.problem for step in steps] == [True] * 3


def test_asks_again_until_it_is_known(gate, server):
    """A policy that is new is known a moment later."""
    gate.denies = False
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        gate.denies = True

    steps = self_test(
        server, namespace=NAME, good=GOOD, bad=BAD, audit_only=False, seconds=30.0, sleep=sleep
    )
    assert [step.problem for step in steps] == [None, None, None]
    assert slept == [1.0]


def test_api_server_away(tmp_path):
    """It is said, not raised."""
    with closed_port() as port:
        (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
        server = ApiServer(
            url=f"https://127.0.0.1:{port}", token="t", authority=tmp_path / "ca.crt"
        )
        assert all("API server not reached" in problem for problem in problems(server))


@pytest.fixture
def mounted(alone, tmp_path, monkeypatch):
    """The folder and the environment of a pod."""
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "ca.crt").write_bytes((alone.folder / "ca.crt").read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(alone.port))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        pytest.param([], 0, f"ok: {BAD} as root is refused", id="as it should be"),
        pytest.param(["--audit-only"], 1, f"NOT OK: {BAD} as root is let in", id="not so"),
    ],
)
def test_command(gate, mounted, capsys, options, code, line):
    """Each step is a line, and the exit code tells Helm."""
    words = ["--namespace", NAME, "--good", GOOD, "--bad", BAD, "--wait", "10ms"]
    assert run(["self-test", *words, "--credentials", str(mounted), *options]) == code
    assert line in capsys.readouterr().out


def test_says_where_it_has_to_run(tmp_path, monkeypatch):
    """Outside a pod there is nobody to ask."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="run it in a pod"):
        in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(UsageError, match="no ServiceAccount token"):
        in_cluster(tmp_path)
    (tmp_path / "token").write_text("t\n")
    assert in_cluster(tmp_path) == ApiServer(
        url="https://[fd00::1]:443", token="t", authority=tmp_path / "ca.crt"
    )
