"""A real Kubernetes API server with its etcd: admission, storage and audit log, no nodes.

Nothing runs in it: a pod that is let in is stored, and stays Pending.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually, free_port, running
from tests.cluster.support.web import Answer, answers, request

TOKEN = "the-tests-own"  # of a server that lives as long as the tests, on the loopback

# What the tests do is logged, with its annotations; the server's own traffic is not.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete], users: [admin]}
- {level: None}
"""


@dataclass(frozen=True)
class Kubectl:
    """What kubectl said."""

    status: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        """The texts after ``Warning:``."""
        lines = self.err.splitlines()
        return [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: ")]


@dataclass(frozen=True)
class Cluster:
    """A running API server, as its administrator."""

    port: int
    folder: Path
    program: Path
    """kubectl."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Trust in its certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    def kubectl(self, *words: str, stdin: str | None = None) -> Kubectl:
        """Run kubectl; a failure is an answer like any other."""
        done = subprocess.run(
            [self.program, "--kubeconfig", self.folder / "kubeconfig", *words],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "KUBECACHEDIR": str(self.folder / "kubectl")},
        )
        return Kubectl(done.returncode, done.stdout, done.stderr)

    def create(self, document: Mapping[str, Any], *words: str) -> Kubectl:
        """Create an object by kubectl."""
        return self.kubectl("create", "-f", "-", *words, stdin=json.dumps(document))

    def must(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl for a test's own arrangement, and return what it printed."""
        said = self.kubectl(*words, stdin=stdin)
        assert said.status == 0, said.err
        return said.out

    def post(self, path: str, document: Mapping[str, Any]) -> Answer:
        """Create an object without kubectl: its status, headers and code are seen."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        body = json.dumps(document).encode()
        return request("POST", self.url + path, body, headers=headers, trust=self.trust)

    def asks(self, webhook: str, namespace: str) -> bool:
        """Whether it asks the webhook of that name about a pod of the namespace, by now."""
        self.create(pod("probe", "-"), "--namespace", namespace, "--dry-run=server")
        heard = self.audited(namespace, "probe")["annotations"]
        return any(key.startswith(f"{webhook}/") for key in heard)

    def audited(self, namespace: str, name: str) -> dict[str, Any]:
        """The newest event of the audit log about an object; written after the answer."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self._events(namespace, name)
            return bool(found)

        assert eventually(there), f"nothing about {namespace}/{name} in the audit log"
        return found[-1]

    def _events(self, namespace: str, name: str) -> list[dict[str, Any]]:
        # A line that is still being written is read the next time.
        lines = (self.folder / "audit.log").read_text().split("\n")[:-1]
        events = (json.loads(line) for line in lines if f'"{name}"' in line)
        return [one for one in events if _about(one) == (namespace, name)]


def _about(event: Mapping[str, Any]) -> tuple[str | None, str | None]:
    place = event.get("objectRef", {})
    return place.get("namespace"), place.get("name")


@contextmanager
def cluster(*, etcd: Path, kube_apiserver: Path, kubectl: Path, folder: Path) -> Iterator[Cluster]:
    """Run etcd and the API server, with what they write in ``folder``; ready in seconds."""
    one = Cluster(free_port(), folder, kubectl)
    _write_credentials(one)
    with _etcd(etcd, folder) as store:
        command = [kube_apiserver, *_flags(one.port, folder, store)]
        ready = partial(answers, f"{one.url}/readyz", trust=one.trust)
        with running(command, log=folder / "kube-apiserver.log", ready=ready):
            yield one


@contextmanager
def _etcd(program: Path, folder: Path) -> Iterator[str]:
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        *(program, "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        *("--initial-cluster", f"default={peers}"),
    ]
    ready = partial(answers, f"{clients}/health")
    log, nothing_to_save = folder / "etcd.log", signal.SIGKILL
    with running(command, log=log, ready=ready, end=nothing_to_save):
        yield clients


def _flags(port: int, folder: Path, store: str) -> list[str]:
    """As few as it starts with; every admission plugin that is on by default stays on."""
    values = {
        "etcd-servers": store,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": folder / "server.crt",
        "tls-private-key-file": folder / "server.key",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "server.key",
        "service-account-signing-key-file": folder / "server.key",
        "service-cluster-ip-range": "10.96.0.0/16",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "RBAC",
        "endpoint-reconciler-type": "none",  # it would advertise a loopback address, and may not
        "audit-policy-file": folder / "audit.yaml",
        "audit-log-path": folder / "audit.log",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def _write_credentials(one: Cluster) -> None:
    folder = one.folder
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.crt")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    (folder / "audit.yaml").write_text(AUDIT_POLICY)
    (folder / "audit.log").touch()  # the server makes it with the first event
    server = {"server": one.url, "certificate-authority": str(folder / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "current-context": "tests",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
