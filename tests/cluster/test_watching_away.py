"""The controller and ``slimgate serve --state`` where the way to the API server fails.

Between the controller and the API server lies a proxy; the API server's own way to slimgate, and
the tests' own, are not cut. With the newest API server and the oldest; what is slow, and the same
with each, is in ``test_watching.py``.
"""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
import yaml

from tests.cluster import build
from tests.cluster.support.apiserver import TOKEN, Setting, write_kubeconfig
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually
from tests.cluster.support.proxy import proxy
from tests.cluster.support.watched import policy, watched
from tests.cluster.support.web import request as ask_http

pytestmark = pytest.mark.cluster

SERVERS = {"newest": build.KUBE_APISERVER, "oldest": build.OLDEST_APISERVER}
GONE = 'slimgate_watch_relists_total{cause="gone",resource="namespaces"}'
AGE = "slimgate_snapshot_age_seconds"


@pytest.fixture(scope="module", params=SERVERS)
def api(request, start, tmp_path_factory):
    """An API server of these tests' own, without its cache of watches: it cannot hide a gap."""
    setting = Setting(flags={"watch-cache": "false"})
    with start(tmp_path_factory.mktemp("away-cluster"), SERVERS[request.param], setting) as one:
        yield one


@pytest.fixture(scope="module")
def way(api):
    """The controller's way to the API server."""
    with proxy(api.port) as one:
        yield one


@pytest.fixture(scope="module")
def gate(api, way, tmp_path_factory):
    """Both processes, registered; the controller goes through the proxy."""
    folder = tmp_path_factory.mktemp("away")
    ca, url = api.folder / "ca.crt", f"https://127.0.0.1:{way.port}"
    kubeconfig = write_kubeconfig(folder / "kubeconfig", url, ca, TOKEN)
    with watched(api, folder, kubeconfig=kubeconfig) as one:
        one.start("controller")
        one.start("serve")
        one.register()
        api.must("apply", "-f", "-", stdin=policy("strict"))
        for name in ("here", "moving"):
            space(one, name, "strict")
            assert eventually(lambda name=name: denied(one, name))
        yield one


def space(gate, name, label):
    """A namespace, with the account that every pod has."""
    labels = {"slimgate.dev/policy": label}
    meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    account["metadata"] = {"name": "default", "namespace": name}
    gate.cluster.must("create", "-f", "-", stdin=yaml.safe_dump_all([meta, account]))


def said(gate, namespace):
    """What is said to a pod that runs as root, which no image has to be read for."""
    document = pod("probe-", "registry.example/app:1", securityContext={"runAsUser": 0})
    return gate.cluster.create(document, "--namespace", namespace, "--dry-run=server")


def denied(gate, namespace):
    """Whether that pod is denied, for what it is."""
    return 'admission webhook "pods.slimgate.dev" denied' in said(gate, namespace).err


def label(gate, name, value):
    """Put a namespace under another policy."""
    gate.cluster.must("label", "--overwrite", "namespace", name, f"slimgate.dev/policy={value}")


def asked(gate, process, path):
    """Status and text of a probe."""
    port = {"controller": gate.controller, "serve": gate.probes}[process]
    answer = ask_http("GET", f"http://127.0.0.1:{port}/{path}")
    return answer.status, answer.body.decode()


def test_what_is_known_judges_while_the_api_server_is_away(gate, way):
    """Its age is told; afterwards the watches go on where they were, without lists."""
    before = gate.metric(gate.controller, GONE)
    way.cut()
    try:
        label(gate, "moving", "none")
        assert eventually(lambda: gate.metric(gate.probes, AGE) > 4)
        assert denied(gate, "here")
        assert denied(gate, "moving")
        assert asked(gate, "controller", "healthz")[0] == 200
        assert asked(gate, "serve", "readyz")[0] == 200
    finally:
        way.mend()
    mended = time.monotonic()
    assert eventually(lambda: said(gate, "moving").status == 0)
    # Heard of on everything since then; a quiet watch says so when its half minute is over.
    assert eventually(
        lambda: gate.metric(gate.probes, AGE) < time.monotonic() - mended, seconds=120
    )
    assert gate.metric(gate.controller, GONE) == before
    label(gate, "moving", "strict")
    assert eventually(lambda: denied(gate, "moving"))


def test_a_namespace_that_cannot_be_read_is_refused_by_an_error(gate, way):
    """Made while the controller hears nothing: what it is under is unknown, and no pass."""
    way.cut()
    try:
        space(gate, "unread", "none")
        assert eventually(lambda: gate.metric(gate.probes, AGE) > 1)
        answer = said(gate, "unread")
        assert answer.status != 0
        assert "namespace unread could not be read" in answer.err
        assert TOKEN not in answer.err
    finally:
        way.mend()
    assert eventually(lambda: said(gate, "unread").status == 0)


def test_what_etcd_no_longer_has_is_listed_anew(gate, way):
    """A real 410: etcd is compacted while the controller is away, and no cache is before it."""
    before = gate.metric(gate.controller, GONE)
    way.cut()
    try:
        label(gate, "moving", "none")
        compact(gate.cluster)
    finally:
        way.mend()
    assert eventually(lambda: gate.metric(gate.controller, GONE) > before)
    assert eventually(lambda: said(gate, "moving").status == 0)
    label(gate, "moving", "strict")
    assert eventually(lambda: denied(gate, "moving"))


def compact(api):
    """Make etcd forget all but what stands now, by its own JSON gateway."""
    store = re.search(r"--etcd-servers=(\S+)", " ".join(map(str, api.server.command)))[1]

    def etcd(path, **body):
        answer = ask_http("POST", f"{store}/v3/kv/{path}", json.dumps(body).encode())
        assert answer.status == 200, answer.body
        return answer.json

    key = base64.b64encode(b"/").decode()
    revision = etcd("range", key=key, limit=1)["header"]["revision"]
    etcd("compaction", revision=revision, physical=True)
