"""slimgate as it runs in a cluster, but outside of pods: the controller and the process that
answers, with a folder between them, at a real API server.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trustme
import yaml

from tests.cluster.support.apiserver import Cluster
from tests.cluster.support.processes import eventually, free_port, running
from tests.cluster.support.slimgate import Gate, registration
from tests.cluster.support.web import answers, request
from webhook.judge.crd import custom_resource_definition

NAMESPACE = "slimgate"


@dataclass
class Watched:
    """Both processes; each can be ended and begun anew."""

    cluster: Cluster
    folder: Path
    gate: Gate
    probes: int
    """The port of the answering process's probes."""
    controller: int
    """The port of the controller's probes."""
    options: Sequence[str] = ()
    """Of the answering process."""
    duties: Sequence[str] = ()
    """Of the controller."""
    kubeconfig: Path | None = None
    _stack: dict[str, contextlib.ExitStack] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The folder they share."""
        return self.folder / "state"

    def start(self, name: str, *, ready: bool = True) -> None:
        """Begin ``controller`` or ``serve``; by default wait until it is ready."""
        command, port = {
            "controller": (self._controlling(), self.controller),
            "serve": (self._serving(), self.probes),
        }[name]
        path = "readyz" if ready else "healthz"
        stack = contextlib.ExitStack()
        self.processes[name] = stack.enter_context(
            running(
                [sys.executable, "-m", "webhook", *command],
                log=self.folder / f"{name}.log",
                ready=partial(answers, f"http://127.0.0.1:{port}/{path}"),
            )
        )
        self._stack[name] = stack

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        process = self.processes[name]
        process.send_signal(number)
        status = process.wait(60)
        self._stack.pop(name).close()
        return status

    def close(self) -> None:
        """End both."""
        for stack in self._stack.values():
            stack.close()

    def metric(self, port: int, name: str) -> float | None:
        """A sample by its name and labels, as the text format writes them."""
        text = request("GET", f"http://127.0.0.1:{port}/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    def register(self) -> None:
        """Have the API server ask."""
        own = {"operator": "NotIn", "values": ["kube-system", NAMESPACE]}
        document = registration("slimgate.dev", self.gate, namespaces=own)
        self.cluster.must("apply", "-f", "-", stdin=yaml.safe_dump(document))
        self.cluster.kubectl("create", "serviceaccount", "default", "--namespace", "default")
        assert eventually(lambda: self.cluster.asks("pods.slimgate.dev", "default"))

    def _controlling(self) -> list[str | Path]:
        kubeconfig = self.kubeconfig or self.cluster.folder / "kubeconfig"
        return [
            *("controller", "--state", self.state, "--namespace", NAMESPACE),
            *("--kubeconfig", kubeconfig, "--metrics", f"127.0.0.1:{self.controller}"),
            *("--certificates", "external", "--failure-policy", "Ignore", *self.duties),
        ]

    def _serving(self) -> list[str | Path]:
        return [
            *("serve", "--state", self.state, "--listen", f"127.0.0.1:{self.gate.port}"),
            *("--cert", self.folder / "tls.crt", "--key", self.folder / "tls.key"),
            *("--metrics", f"127.0.0.1:{self.probes}", "--lame-duck", "1s", "--drain", "2s"),
            *("--allow-loopback", *self.options),
        ]


@contextlib.contextmanager
def watched(cluster: Cluster, folder: Path, **more: Sequence[str]) -> Iterator[Watched]:
    """Nothing runs yet: the CRD is there, and slimgate's own namespace."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "state").mkdir()
    cluster.must("apply", "-f", "-", stdin=yaml.safe_dump(custom_resource_definition()))
    cluster.must("wait", "--for=condition=Established", "crd/imagepolicies.slimgate.dev")
    if cluster.kubectl("get", "namespace", NAMESPACE).status:
        cluster.must("create", "namespace", NAMESPACE)
    gate = Gate(free_port(), authority.cert_pem.bytes())
    one = Watched(cluster, folder, gate, free_port(), free_port(), **more)
    try:
        yield one
    finally:
        one.close()


def policy(name: str, *, check: str = "nonRoot", label: str | None = None, **spec: object) -> str:
    """An ImagePolicy with one check, for namespaces whose ``slimgate.dev/policy`` is ``label``."""
    selector = {"namespaceSelector": {"matchLabels": {"slimgate.dev/policy": label or name}}}
    document = {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": name},
        "spec": {"action": "Enforce", **selector, "checks": {check: {}}, **spec},
    }
    return yaml.safe_dump(document)
