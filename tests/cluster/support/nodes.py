"""A real Kubernetes on this machine: pods run, Services answer, nodes are drained.

    with real_cluster(folder, provide, nodes=2) as cluster:
        reference = push(cluster.registry.host, "team/app", image)
        cluster.must("run", "app", f"--image={reference}")

The API server of ``apiserver.py``, with what it is to have nodes: controller manager, scheduler,
kube-proxy, and for each node a containerd and a kubelet of its own, with a bridge, a cgroup and
CNI state of its own, all in the machine's network. It takes root. Everything is started with
``leftovers.MARK`` in its environment, and ended by process id.

There is one such cluster on a machine at a time: a lock makes a second one wait.
There is no cluster DNS: pods find the API server by its environment variables, and everything
else by address.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import build
from tests.cluster.support import leftovers
from tests.cluster.support.apiserver import Cluster, Setting, cluster, write_kubeconfig
from tests.cluster.support.leftovers import BRIDGE, CGROUPS, MARK
from tests.cluster.support.processes import Service, eventually, free_port, kept, listens
from tests.cluster.support.registry import Registry, registry
from tests.support import forge
from tests.support.push import push
from tests.support.samples import program

GATEWAY = "10.88.7.1"
"""Of the first node's bridge: there the API server, the registry and the kubelet are reached."""
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
PODS = "10.88.0.0/16"
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc", "iptables", "conntrack", "ip")
CNI = Path("/usr/lib/cni")
KUBELET_PORT = 10250  # at the node's own address
COMPONENTS = {
    build.CONTROLLER_MANAGER: ("system:kube-controller-manager", ""),
    build.SCHEDULER: ("system:kube-scheduler", ""),
    build.PROXY: ("system:kube-proxy", ""),
}
"""Who each is for the API server: name and group, as kubeadm has them."""

Provide = Callable[[build.Program], Path]


@dataclass(frozen=True)
class Node:
    """A containerd and a kubelet."""

    number: int
    """From 1."""
    folder: Path
    """What both keep."""

    @property
    def name(self) -> str:
        """As the API server knows it."""
        return f"node{self.number}"

    @property
    def bridge(self) -> str:
        """Its network interface, and its cgroup."""
        return f"{BRIDGE}{self.number}"

    @property
    def network(self) -> str:
        """The first three parts of its addresses."""
        return f"10.88.{6 + self.number}"

    @property
    def address(self) -> str:
        """Its own, and its pods' gateway."""
        return f"{self.network}.1"

    @property
    def containerd(self) -> Path:
        """The socket: ``ctr --address``."""
        return self.folder / "cd.sock"

    def log(self, namespace: str, pod: str, container: str) -> str:
        """What a container has printed so far, from the node's disk: kubectl is slower."""
        found = (self.folder / "logs").glob(f"{namespace}_{pod}_*/{container}/*.log")
        lines = [line for file in sorted(found) for line in file.read_text().splitlines()]
        return "".join(f"{line.split(' ', 3)[3]}\n" for line in lines)


@dataclass(frozen=True)
class RealCluster(Cluster):
    """A running cluster with nodes, as its administrator."""

    nodes: tuple[Node, ...]
    registry: Registry
    """Its ``host`` is the same for the tests, for nodes and for pods; plain http for all."""
    services: Mapping[str, Service]
    """Every program by name (``kubelet1``, ``kube-scheduler``), to be restarted."""

    def restart_api_server(self) -> None:
        """End kube-apiserver and start it anew; up to 20 s without one."""
        self.server.restart()

    def cut_power(self) -> None:
        """End nodes, control plane and every container at once; etcd goes on, as its disk would."""
        for service in (self.server, *self.services.values()):
            assert service.process is not None
            service.process.kill()
            service.process.wait()
        leftovers.end_containers(self.folder)
        for node in self.nodes:
            node.containerd.unlink()  # as /run is empty after a start

    def drain(self, node: str, *, seconds: float = 180) -> str:
        """Empty a node, within what PodDisruptionBudgets allow; returns what kubectl said."""
        words = ("--ignore-daemonsets", "--delete-emptydir-data", "--force")
        return self.must("drain", node, *words, f"--timeout={seconds:.0f}s", seconds=seconds + 10)

    def uncordon(self, node: str) -> None:
        """Let the node have pods again."""
        self.must("uncordon", node)

    def objects(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """What ``kubectl get KIND`` lists."""
        listed: dict[str, Any] = json.loads(self.must("get", kind, *words, "-o", "json"))
        return listed["items"]

    def diagnosis(self) -> str:
        """For whoever has to find out why a test failed: pods, events, ends of logs."""
        parts = [self.kubectl("get", "pods", "-A", "-o", "wide").out]
        parts.append(self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp").out[-6000:])
        parts.extend(
            f"--- {log}\n{log.read_text(errors='replace')[-1500:]}"
            for log in sorted(self.folder.glob("*.log"))
            if log.name != "audit.log"
        )
        return "\n".join(parts)


def obstacle() -> str | None:
    """Why there can be no cluster with nodes here; None where there can."""
    if os.geteuid() != 0:
        return "a cluster with nodes needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not (CNI / "bridge").exists():
        missing.append(str(CNI / "bridge"))
    if missing:
        packages = "containerd runc containernetworking-plugins iptables conntrack iproute2"
        return f"not installed: {', '.join(missing)} (Debian packages: {packages})"
    if foreign := _foreign_kubelet():
        return f"this machine is a node already: process {foreign} is a kubelet"
    return None


def _foreign_kubelet() -> int | None:
    ours = leftovers.marked()
    for place in Path("/proc").glob("[0-9]*/comm"):
        pid = int(place.parent.name)
        try:
            if place.read_text().strip() == "kubelet" and pid not in ours:
                return pid
        except OSError:
            continue
    return None


@contextmanager
def real_cluster(
    folder: Path, provide: Provide, *, nodes: int = 2, flags: Mapping[str, object] | None = None
) -> Iterator[RealCluster]:
    """Run a cluster with so many nodes, Ready, with what it writes in ``folder``; some 20 s.

    ``flags`` are kube-apiserver's, over ours. When the block ends all pods are deleted and
    everything is stopped; nothing is left but the logs in ``folder``.
    """
    env = {MARK: str(folder)}
    with only_one(), ExitStack() as stack:
        leftovers.clear()
        stack.callback(leftovers.clear, folder)
        places = tuple(Node(number, folder / "nodes" / str(number)) for number in _upto(nodes))
        for node in places:
            _prepare(node)
        place = folder / "registry"
        images = stack.enter_context(
            registry(provide(build.REGISTRY), place, address=GATEWAY, env=env)
        )
        bare = stack.enter_context(
            cluster(
                _setting(folder, places, env, flags or {}),
                etcd=provide(build.ETCD),
                kube_apiserver=provide(build.KUBE_APISERVER),
                kubectl=provide(build.KUBECTL),
                folder=folder,
            )
        )
        pause = push(images.host, "pause", forge.image([[program("pause")]], entrypoint=["/pause"]))
        one = RealCluster(
            **{name: getattr(bare, name) for name in ("port", "folder", "program", "server")},
            nodes=places,
            registry=images,
            services=_services(bare, places, images, pause, provide, env),
        )
        for service in one.services.values():
            stack.enter_context(kept(service))
        stack.callback(_end_pods, one)
        names = [f"node/{node.name}" for node in places]
        one.must("wait", "--for=create", *names, "--timeout=100s")
        one.must("wait", "--for=condition=Ready", *names, "--timeout=100s")
        account = ("serviceaccount/default", "--namespace=default")
        one.must("wait", "--for=create", *account, "--timeout=100s")
        yield one


def _upto(number: int) -> range:
    return range(1, number + 1)


@contextmanager
def only_one() -> Iterator[None]:
    """Wait until no other process has a cluster with nodes, and keep others from having one."""
    build.cache().mkdir(parents=True, exist_ok=True)
    with (build.cache() / "nodes.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _setting(
    folder: Path, nodes: tuple[Node, ...], env: Mapping[str, str], flags: Mapping[str, object]
) -> Setting:
    """How the API server is reached from pods and reaches kubelets; who its components are."""
    return Setting(
        names=(GATEWAY, API_SERVICE, "localhost", "kubernetes", "kubernetes.default.svc"),
        users={
            **{_token(program.name): who for program, who in COMPONENTS.items()},
            **{_token(one.name): (f"system:node:{one.name}", "system:nodes") for one in nodes},
        },
        flags={
            "bind-address": "0.0.0.0",
            "advertise-address": GATEWAY,
            "endpoint-reconciler-type": None,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "kubelet-client-certificate": folder / "server.crt",
            "kubelet-client-key": folder / "server.key",
            "kubelet-preferred-address-types": "InternalIP",  # names are not in any DNS
            "request-timeout": "15s",  # how long it takes to end, with clients that watch
            **flags,
        },
        env=env,
    )


def _token(name: str) -> str:
    return f"token-of-{name}"


def _services(
    one: Cluster,
    nodes: tuple[Node, ...],
    images: Registry,
    pause: str,
    provide: Provide,
    env: Mapping[str, str],
) -> dict[str, Service]:
    """In the order of their start: kube-proxy waits half a minute for a node that is not there."""
    kubelet = provide(build.KUBELET)
    return {
        **{
            f"containerd{node.number}": _containerd(node, images, pause, one, env) for node in nodes
        },
        **{f"kubelet{node.number}": _kubelet(node, kubelet, one, env) for node in nodes},
        **_control_plane(one, provide, env),
    }


def _control_plane(one: Cluster, provide: Provide, env: Mapping[str, str]) -> dict[str, Service]:
    """Controller manager, scheduler and the one kube-proxy: the nodes share a network."""
    folder = one.folder
    flags: dict[build.Program, dict[str, object]] = {
        build.CONTROLLER_MANAGER: {
            "service-account-private-key-file": folder / "server.key",
            "root-ca-file": folder / "ca.crt",
            "cluster-signing-cert-file": folder / "ca.crt",
            "cluster-signing-key-file": folder / "ca.key",
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
        },
        build.SCHEDULER: {"leader-elect": "false", "bind-address": "127.0.0.1"},
        build.PROXY: {
            "hostname-override": "node1",
            "proxy-mode": "iptables",
            "cluster-cidr": PODS,
            "conntrack-max-per-core": 0,  # the sysctl may be forbidden
            "metrics-bind-address": f"127.0.0.1:{free_port()}",
        },
    }
    return {
        program.name: _component(one, provide(program), own, env) for program, own in flags.items()
    }


def _component(
    one: Cluster, place: Path, flags: Mapping[str, object], env: Mapping[str, str]
) -> Service:
    port = free_port()
    proxy = place.name == build.PROXY.name
    listen = {"healthz-bind-address": f"127.0.0.1:{port}"} if proxy else {"secure-port": port}
    config = _kubeconfig(one, place.name)
    return Service(
        command=[place, *_words({"kubeconfig": config, **listen, **flags})],
        log=one.folder / f"{place.name}.log",
        # Whether it works is seen in what it does; here, that it listens.
        ready=partial(listens, port),
        env=env,
    )


def _kubeconfig(one: Cluster, name: str) -> Path:
    path = one.folder / f"{name}.kubeconfig"
    return write_kubeconfig(path, one.url, one.folder / "ca.crt", _token(name))


def _words(flags: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _prepare(node: Node) -> None:
    """Its folders, its bridge and its cgroup: before anything runs on it."""
    for name in ("cni", "certs.d"):
        (node.folder / name).mkdir(parents=True)
    _run("ip", "link", "add", node.bridge, "type", "bridge")
    _run("ip", "address", "add", f"{node.address}/24", "dev", node.bridge)
    _run("ip", "link", "set", node.bridge, "up")
    unified = (CGROUPS / "cgroup.controllers").exists()
    tops = [CGROUPS] if unified else [top for top in CGROUPS.iterdir() if not top.is_symlink()]
    for top in tops:
        group = top / node.bridge
        group.mkdir(exist_ok=True)
        if top.name == "cpuset":  # empty in a new one, and then nothing may run there
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((top / name).read_text())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _containerd(
    node: Node, images: Registry, pause: str, one: Cluster, env: Mapping[str, str]
) -> Service:
    place = node.folder
    config = place / "containerd.toml"
    config.write_text(CONTAINERD.format(place=place, pause=pause, cni=CNI))
    hosts = place / "certs.d" / images.host / "hosts.toml"
    hosts.parent.mkdir()
    hosts.write_text(f'[host."http://{images.host}"]\ncapabilities = ["pull", "resolve"]\n')
    network = place / "cni" / "10-bridge.conflist"
    network.write_text(json.dumps(_network(node)))
    return Service(
        command=["containerd", "--config", config],
        log=one.folder / f"containerd{node.number}.log",
        ready=node.containerd.exists,
        env=env,
    )


# restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox starts ("can't get final child's
# PID from pipe"). The network namespaces below state are found, and unmounted, after a crash.
CONTAINERD = """\
version = 2
root = "{place}/cd/root"
state = "{place}/cd/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{place}/cd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{place}/certs.d"
"""


def _network(node: Node) -> dict[str, Any]:
    pods = {"subnet": f"{node.network}.0/24", "rangeStart": f"{node.network}.10"}
    bridge = {
        "type": "bridge",
        "bridge": node.bridge,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(node.folder / "ipam"),
            "ranges": [[pods]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": node.bridge, "plugins": [bridge, ports]}


def _kubelet(node: Node, kubelet: Path, one: Cluster, env: Mapping[str, str]) -> Service:
    config = node.folder / "kubelet.yaml"
    config.write_text(yaml.safe_dump(_kubelet_config(node, one.folder)))
    flags = {
        "config": config,
        "kubeconfig": _kubeconfig(one, node.name),
        "root-dir": node.folder / "kubelet",
        "cert-dir": node.folder / "pki",
        "hostname-override": node.name,
        "node-ip": node.address,
    }
    return Service(
        command=[kubelet, *_words(flags)],
        log=one.folder / f"kubelet{node.number}.log",
        ready=partial(listens, KUBELET_PORT, node.address),
        env=env,
    )


def _kubelet_config(node: Node, folder: Path) -> dict[str, Any]:
    authority = {"clientCAFile": str(folder / "ca.crt")}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.bridge}",  # or each kubelet removes the other's pods
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "address": node.address,
        "port": KUBELET_PORT,
        "healthzPort": 0,
        # Only the API server comes with a certificate of that authority.
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": authority,
        },
        "authorization": {"mode": "AlwaysAllow"},
        "podLogsDir": str(node.folder / "logs"),
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi"},
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "maxPods": 200,
    }


def _end_pods(one: RealCluster) -> None:
    """Delete every pod while the kubelets can still end its containers; nothing makes new ones."""
    for name in (build.CONTROLLER_MANAGER.name, build.SCHEDULER.name):
        one.services[name].stop()
    one.kubectl("delete", "pods", "-A", "--all", "--grace-period=1", "--wait=false")
    eventually(lambda: not leftovers.shims(), seconds=40)  # what stays is killed: leftovers.clear
