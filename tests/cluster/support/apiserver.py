"""A real Kubernetes API server with its etcd: admission, storage and audit log, no nodes.

Nothing runs in it: a pod that is let in is stored, and stays Pending. ``nodes.py`` adds the rest.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.cluster.support.objects import pod
from tests.cluster.support.processes import Service, eventually, free_port, kept, running
from tests.cluster.support.web import Answer, answers, request

TOKEN = "the-tests-own"  # of a server that lives as long as the tests, on the loopback

# What the tests do is logged, with its annotations, and what slimgate's account does; the server's
# own traffic is not.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete], users: [admin]}
- {level: Metadata, users: ["system:serviceaccount:gate:slimgate"]}
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
    server: Service
    """kube-apiserver, to be restarted."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Trust in its certificate."""
        return _trust(self.folder)

    def kubectl(self, *words: str, stdin: str | None = None, seconds: float = 120.0) -> Kubectl:
        """Run kubectl; a failure is an answer like any other."""
        done = subprocess.run(
            [self.program, "--kubeconfig", self.folder / "kubeconfig", *words],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "KUBECACHEDIR": str(self.folder / "kubectl")},
        )
        return Kubectl(done.returncode, done.stdout, done.stderr)

    def create(self, document: Mapping[str, Any], *words: str) -> Kubectl:
        """Create an object by kubectl."""
        return self.kubectl("create", "-f", "-", *words, stdin=json.dumps(document))

    def must(self, *words: str, stdin: str | None = None, seconds: float = 120.0) -> str:
        """Run kubectl for a test's own arrangement, and return what it printed."""
        said = self.kubectl(*words, stdin=stdin, seconds=seconds)
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


@dataclass(frozen=True)
class Setting:
    """What an API server with nodes has otherwise than one without."""

    names: tuple[str, ...] = ()
    """Of its certificate, besides the loopback address."""
    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Token → name and group of who may come with it, besides the administrator."""
    flags: Mapping[str, object] = field(default_factory=dict)
    """More flags, or other values; None takes one away."""
    env: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def cluster(
    setting: Setting = Setting(),
    /,
    *,
    etcd: Path,
    kube_apiserver: Path,
    kubectl: Path,
    folder: Path,
) -> Iterator[Cluster]:
    """Run etcd and the API server, with what they write in ``folder``; ready in seconds."""
    port = free_port()
    _write_credentials(folder, f"https://127.0.0.1:{port}", setting)
    with _etcd(etcd, folder, setting.env) as store:
        url, trust = f"https://127.0.0.1:{port}/readyz", _trust(folder)
        server = Service(
            command=[kube_apiserver, *_flags(port, folder, store, setting.flags)],
            log=folder / "kube-apiserver.log",
            ready=partial(answers, url, trust=trust),
            env=setting.env,
        )
        with kept(server):
            yield Cluster(port, folder, kubectl, server)


def _trust(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


@contextmanager
def _etcd(program: Path, folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        *(program, "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        *("--initial-cluster", f"default={peers}"),
    ]
    ready = partial(answers, f"{clients}/health")
    log, nothing_to_save = folder / "etcd.log", signal.SIGKILL
    with running(command, log=log, ready=ready, end=nothing_to_save, env=env):
        yield clients


def _flags(port: int, folder: Path, store: str, changes: Mapping[str, object]) -> list[str]:
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
    merged: dict[str, object] = {**values, **changes}
    return [f"--{name}={value}" for name, value in merged.items() if value is not None]


def _write_credentials(folder: Path, url: str, setting: Setting) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", *setting.names, common_name="kube-apiserver")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    authority.private_key_pem.write_to_path(folder / "ca.key")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.crt")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    users = {TOKEN: ("admin", "system:masters"), **setting.users}
    lines = (f'{token},{name},{name},"{group}"\n' for token, (name, group) in users.items())
    (folder / "tokens.csv").write_text("".join(lines))
    (folder / "audit.yaml").write_text(AUDIT_POLICY)
    (folder / "audit.log").touch()  # the server makes it with the first event
    write_kubeconfig(folder / "kubeconfig", url, folder / "ca.crt", TOKEN)


def write_kubeconfig(path: Path, url: str, authority: Path, token: str) -> Path:
    """How a client that has the token reaches the API server; returns ``path``."""
    server = {"server": url, "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        "current-context": "tests",
    }
    path.write_text(yaml.safe_dump(config))
    return path
