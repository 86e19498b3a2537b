"""Certificates, leadership and registration with the real API server, and a real webhook."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes.client import ApiClient
from kubernetes.config import load_kube_config
from kubernetes.dynamic import DynamicClient
from prometheus_client import CollectorRegistry

from tests.cluster.support.processes import eventually, free_port
from webhook.certs.authority import Terms
from webhook.certs.issue import issue_authority, issue_leaf, read_certificates
from webhook.cli.main import run
from webhook.cluster.certificates import (
    ROTATE,
    Installer,
    Instruments,
    Rotation,
    Steps,
    leader_step,
)
from webhook.cluster.lease import Leader
from webhook.cluster.registration import MANAGED, PODS, TEMPLATES, Enforcement, Registration
from webhook.server.tls import ReloadingContext

pytestmark = pytest.mark.cluster

NAME = "slimgate.guard"
NS = "guard"


class _Answers(BaseHTTPRequestHandler):
    """Lets everything in; a probe's nonce goes back as a warning."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        annotations = request["object"]["metadata"].get("annotations") or {}
        nonce = annotations.get("slimgate.dev/probe")
        answer = {"uid": request["uid"], "allowed": True}
        if nonce and request.get("dryRun"):
            answer["warnings"] = [f"slimgate answers: {nonce}"]
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        body = json.dumps({**kind, "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # so that each call takes the newest certificate
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        with contextlib.suppress(OSError):  # a client that does not trust us
            wrapped = self.context.current().wrap_socket(request, server_side=True)
            self.RequestHandlerClass(wrapped, client_address, self)
            wrapped.close()


@contextlib.contextmanager
def in_thread(run):
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


class Replica:
    """A controller: leads if it can, and installs.

    ``lease``: how long one lasts, and for how long a leader goes on without renewing it.
    """

    def __init__(self, one, folder, identity, *, port, auto=False, overlap=1.0, lease=(30.0, 20.0)):
        self.said, self.folder = [], folder
        folder.mkdir()
        load_kube_config(str(one.folder / "kubeconfig"))
        self.client = ApiClient()
        api = DynamicClient(self.client)
        report = lambda word, text: self.said.append((word, text))  # noqa: E731
        instruments = Instruments(CollectorRegistry())
        times = dict(zip(("duration", "deadline"), lease, strict=True), retry=0.3)
        self.leader = Leader(api, "slimgate", NS, identity, **times, report=report)
        self.registration = Registration(api, NAME, report=report)
        terms = Terms(service="slimgate", namespace=NS, overlap=overlap, extra=("127.0.0.1",))
        self.rotation = Rotation(
            api,
            release="slimgate",
            terms=terms,
            leading=lambda: self.leader.leading,
            registration=self.registration,
            instruments=instruments,
            report=report,
            tick=1.5,  # what it saw before a pause of thrice that still counts
        )
        probe = Enforcement(api, self.registration, namespace="default", report=report)
        self.installer = Installer(
            api,
            release="slimgate",
            namespace=NS,
            folder=folder,
            instruments=instruments,
            report=report,
        )
        common = {"instruments": instruments, "report": report, "every": 0.2}
        self.leads = Steps(
            lambda: leader_step(
                self.rotation,
                probe if auto else None,
                self.registration,
                lambda: self.leader.leading,
                instruments,
            ),
            name="leader",
            **common,
        )
        self.installs = Steps(self.installer.step, name="installer", **common)

    @contextlib.contextmanager
    def running(self):
        runs = (self.leader.run, self.leads.run, self.installs.run)
        with contextlib.ExitStack() as stack:
            for run in runs:
                stack.enter_context(in_thread(run))
            yield self


@pytest.fixture
def guard(alone):
    """The API server with what the chart renders; the webhook is asked about one namespace."""
    one = alone
    one.must("create", "namespace", NS)
    for which in ("ca", "tls"):
        one.must("create", "secret", "generic", f"slimgate-{which}", "-n", NS)
    port = free_port()
    one.must("create", "-f", "-", stdin=json.dumps(configuration(port)))
    yield one, port
    one.must("delete", "validatingwebhookconfiguration", NAME, "--ignore-not-found")
    one.must("delete", "-n", NS, "secret,lease", "--all")
    one.kubectl("delete", "namespace", NS, "--wait=false")
    finalize = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    one.kubectl("replace", "--raw", f"/api/v1/namespaces/{NS}/finalize", "-f", "-", stdin=finalize)
    assert eventually(lambda: one.kubectl("get", "namespace", NS).status != 0)


def configuration(port):
    def hook(name, resources):
        return {
            "name": name,
            "clientConfig": {"url": f"https://127.0.0.1:{port}/validate"},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": resources,
                }
            ],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 30,
            "namespaceSelector": {
                "matchExpressions": [
                    {
                        "key": "kubernetes.io/metadata.name",
                        "operator": "In",
                        "values": ["default"],
                    }
                ]
            },
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [hook(PODS, ["pods"]), hook(TEMPLATES, ["podtemplates"])],
    }


@contextlib.contextmanager
def serving(port, folder, warn=lambda text: None):
    server = _Server(("127.0.0.1", port), _Answers)
    server.context = ReloadingContext(folder / "tls/tls.crt", folder / "tls/tls.key", warn)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def live(one):
    return json.loads(one.must("get", "validatingwebhookconfiguration", NAME, "-o", "json"))


def bundles(one):
    found = [hook["clientConfig"].get("caBundle", "") for hook in live(one)["webhooks"]]
    return [read_certificates(base64.b64decode(text)) for text in found]


def policy(one):
    return live(one)["webhooks"][0]["failurePolicy"]


def leaf(replica):
    return (replica.folder / "tls/tls.crt").read_bytes()


def installed(replica):
    return (replica.folder / "tls/tls.crt").exists()


def ask(one):
    """One call that is refused if slimgate cannot be asked."""
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "call-"},
        "spec": {
            "containers": [{"name": "a", "image": "a"}],
            "automountServiceAccountToken": False,
        },
    }
    return one.post("/api/v1/namespaces/default/pods?dryRun=All", document)


def test_rotation_fails_no_call(guard, tmp_path):
    """CA and leaf are rotated by force under calls without a break, with failurePolicy Fail."""
    one, port = guard
    one.kubectl("create", "serviceaccount", "default", "-n", "default")
    with Replica(one, tmp_path / "a", "a", port=port, auto=True).running() as a:
        assert eventually(lambda: installed(a)), a.said
        assert (a.folder / "tls/tls.key").stat().st_mode & 0o777 == 0o600
        with serving(port, a.folder):
            assert eventually(lambda: policy(one) == "Fail"), a.said
            time.sleep(1.0)  # the API server acts on it
            before = bundles(one)[0]
            answers = []

            def call(stop):
                while not stop.is_set():
                    answers.append(ask(one))

            with in_thread(call):
                first = leaf(a)
                one.must("annotate", "-n", NS, "secret", "slimgate-ca", f"{ROTATE}=leaf")
                assert eventually(lambda: leaf(a) != first), a.said
                second = leaf(a)
                one.must("annotate", "-n", NS, "secret", "slimgate-ca", f"{ROTATE}=ca")
                assert eventually(lambda: leaf(a) != second, seconds=120), a.said
                gone = lambda: before[0] not in bundles(one)[0]  # noqa: E731
                assert eventually(gone, seconds=120), a.said
                time.sleep(1.0)
    failed = [answer.body for answer in answers if answer.status != 201]
    assert failed == []
    assert len(answers) > 20
    print(f"{len(answers)} calls, none failed")


def test_the_bundle_is_restored_unless_told_otherwise(guard, tmp_path):
    one, port = guard
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: installed(a)), a.said
        good = bundles(one)
        assert good[0] == good[1] != ()
        empty = json.dumps([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])
        one.must("patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", empty)
        assert eventually(lambda: bundles(one) == good), a.said
        assert eventually(lambda: "ca-bundle-restored" in [word for word, _ in a.said]), a.said
        one.must("annotate", "validatingwebhookconfiguration", NAME, f"{MANAGED}=false")
        one.must("patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", empty)
        time.sleep(1.5)
        assert bundles(one)[0] == ()
        one.must("delete", "validatingwebhookconfiguration", NAME)
        time.sleep(1.5)
        assert one.kubectl("get", "validatingwebhookconfiguration", NAME).status != 0
        assert a.leads.alive()
        assert a.leader.alive()


def test_a_strangers_pair_is_never_installed(guard, tmp_path):
    one, port = guard
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: installed(a)), a.said
        first = leaf(a)
        now, year = datetime.now(UTC), timedelta(days=365)
        ca = issue_authority("stranger", now=now, valid=year)
        pair = issue_leaf(ca, "x", ["127.0.0.1"], now=now, valid=year)
        data = {
            "tls.crt": base64.b64encode(pair.cert_pem).decode(),
            "tls.key": base64.b64encode(pair.key_pem).decode(),
        }
        change = json.dumps({"data": data})
        one.must("patch", "secret", "slimgate-tls", "-n", NS, "--type=merge", "-p", change)
        assert eventually(lambda: leaf(a) != first), a.said
        assert leaf(a) != pair.cert_pem
        error = ("certificate-error", "tls.crt: it is not by the CA in ca.crt")
        assert eventually(lambda: error in a.said), a.said


def test_emptied_secrets_are_filled_and_the_old_ca_stays_meanwhile(guard, tmp_path):
    """As docs/certificates.md has it for a start from nothing: what is served is still trusted."""
    one, port = guard
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: installed(a)), a.said
        first, (old, *_) = leaf(a), bundles(one)[0]
        for which in ("ca", "tls"):
            one.must("patch", "secret", f"slimgate-{which}", "-n", NS, "-p", '{"data":null}')
        both = lambda: old in (now := bundles(one)[0]) and len(now) > 1  # noqa: E731
        assert eventually(both), a.said
        assert eventually(lambda: leaf(a) != first, seconds=120), a.said
        assert eventually(lambda: old not in bundles(one)[0], seconds=120), a.said


def test_one_leads_and_another_takes_over(guard, tmp_path):
    """A leader that stops gives up its Lease; one that hangs is over before the next begins."""
    one, port = guard
    a = Replica(one, tmp_path / "a", "a", port=port, lease=(3.0, 2.0))
    b = Replica(one, tmp_path / "b", "b", port=port)
    with b.running():
        assert eventually(lambda: b.leader.leading)
        a.leader.step()
        assert not a.leader.leading
    a.leader.step()
    holder = ("get", "lease", "slimgate", "-n", NS, "-o", "jsonpath={.spec.holderIdentity}")
    assert one.must(*holder) == "a"  # released: no wait
    # a hangs from here on
    taken = []

    def watch(stop):
        while not stop.is_set():
            second = b.leader.leading  # before a: between the two looks a Lease may lapse
            taken.append((a.leader.leading, second))
            time.sleep(0.01)

    b = Replica(one, tmp_path / "c", "c", port=port)
    with in_thread(watch), b.running():
        assert eventually(lambda: b.leader.leading)
        assert eventually(lambda: installed(b))
    assert (True, True) not in taken


def test_only_the_leader_tells_when_certificates_end():
    """What another has replaced since would alarm for ever."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    instruments.leads(leading=True)
    instruments.expires("leaf", datetime.fromtimestamp(1.8e9, UTC))

    def told():
        name = "slimgate_certificate_expiry_timestamp_seconds"
        return registry.get_sample_value(name, {"certificate": "leaf"})

    assert told() == 1.8e9
    leader_step(None, None, None, lambda: False, instruments)
    assert told() is None
    assert registry.get_sample_value("slimgate_leader") == 0


def test_two_that_both_think_they_lead_do_no_harm(guard, tmp_path):
    one, port = guard
    pair = [Replica(one, tmp_path / name, name, port=port) for name in "ab"]
    for each in pair:
        each.rotation._leading = lambda: True
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        for each in pair:
            steps = Steps(
                each.rotation.step,
                name="rotation",
                instruments=each.rotation._instruments,
                report=each.rotation._report,
                every=0.05,
            )
            stack.enter_context(in_thread(steps.run))
            stack.enter_context(in_thread(each.installs.run))
        assert eventually(lambda: all(installed(each) for each in pair))
        before = bundles(one)[0]
        one.must("annotate", "-n", NS, "secret", "slimgate-ca", f"{ROTATE}=ca")
        assert eventually(lambda: before[0] not in bundles(one)[0], seconds=120)
        assert eventually(lambda: leaf(pair[0]) == leaf(pair[1]))
        assert len(bundles(one)[0]) == 1
    stop.set()
    context = ssl.create_default_context()
    context.load_verify_locations(
        cadata=base64.b64decode(live(one)["webhooks"][0]["clientConfig"]["caBundle"]).decode()
    )


def test_the_command_rotates_and_shows(guard, tmp_path, capsys):
    """``slimgate certs`` against the controller's Secrets."""
    one, port = guard
    place = ["--namespace", NS, "--kubeconfig", str(one.folder / "kubeconfig")]
    assert run(["certs", "show", "--secret", "slimgate-tls", *place]) == 64
    assert (
        "there is no certificate in Secret slimgate-tls" in capsys.readouterr().err
    )  # not issued yet
    with Replica(one, tmp_path / "a", "a", port=port).running() as a:
        assert eventually(lambda: installed(a)), a.said
        first = leaf(a)
        assert run(["certs", "rotate", "--wait", "60s", *place]) == 0
        assert eventually(lambda: leaf(a) != first), a.said
    assert run(["certs", "rotate", "--wait", "1s", *place]) == 1  # nobody leads
    assert run(["certs", "show", "--secret", "slimgate-tls", *place]) == 0
    out = capsys.readouterr().out
    assert "done: a new certificate is issued" in out
    assert "slimgate.guard.svc" in out
    assert "PRIVATE" not in out
    assert run(["certs", "show", "--secret", "nothing", *place]) == 64
