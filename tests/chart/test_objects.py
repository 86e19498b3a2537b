"""What the chart renders by default, judged by what slimgate, Kubernetes and its users need."""

from __future__ import annotations

import base64
import importlib
import re
from pathlib import Path

import pytest
import trustme
import yaml

from tests.chart.conftest import CHART, NEEDED, ROOT, merged
from webhook.cli import self_test
from webhook.judge.load import load_policies
from webhook.review.admission import RESOURCES

EXISTING = {"mode": "existing", "existing": {"secretName": "tls", "caBundle": "Q0E="}}
EVERYTHING = {
    "breakGlass": True,
    "certificates": merged(EXISTING, {"client": {"caConfigMap": "ca", "names": ["api"]}}),
    "pullSecrets": {"read": "namespaces", "namespaces": ["default"]},
    "registries": {
        "authSecret": "a",
        "caConfigMap": "c",
        "plainHttp": ["r:5000"],
        "allowAddresses": ["10.0.0.0/8"],
        "denyAddresses": ["10.96.0.0/12"],
        "mirrors": {"docker.io": "x = 1", "r.example:5000": "y = 2"},
        "credentialProviders": {"config": "kind: X", "hostFolder": "/opt/providers"},
    },
    "bases": {"mine": '{"bases": []}'},
    "store": {
        "type": "valkey",
        "valkey": {
            "address": "v:6379",
            "secretName": "s",
            "username": "u",
            "tls": True,
            "caConfigMap": "c",
        },
    },
    "priorityQuota": True,
    "networkPolicy": {
        "enabled": True,
        "apiServers": ["10.0.0.0/28"],
        "metricsFrom": [{"namespaceSelector": {}}],
    },
    "webhook": {"matchConditions": [{"name": "x", "expression": "true"}]},
}
"""Values that render everything there is for a plain API server."""


def pod(objects):
    """The spec of the Deployment's pods."""
    return objects["Deployment", "slimgate"]["spec"]["template"]["spec"]


def containers(objects):
    """Both containers by name."""
    return {one["name"]: one for one in pod(objects)["containers"]}


def webhooks(objects):
    """The two webhooks by name."""
    found = objects["ValidatingWebhookConfiguration", "slimgate.gate"]["webhooks"]
    return {one["name"]: one for one in found}


def test_lint(helm):
    """Helm itself finds nothing."""
    assert "0 chart(s) failed" in helm.must("lint", "--strict", CHART, values=NEEDED)


def test_says_how_to_get_an_image(helm):
    """None is published: the two commands that make one are in the message."""
    said = helm.run("template", "slimgate", CHART, values={})
    assert said.status != 0
    for text in ("image.repository", "docker build -t", "docker push"):
        assert text in said.err


def test_one_object_a_file():
    """But for lists, one kind to each template, named by its component."""
    components = {"slimgate", "webhook", "controller", "certificates", "pullsecrets", "guard"}
    components |= {"policies", "crd", "monitoring", "test"}
    for path in (CHART / "templates").rglob("*.yaml"):
        assert path.stem.partition("-")[0] in components
        assert len(re.findall(r"^kind:", path.read_text(), re.MULTILINE)) <= 1


def test_arguments_are_in_one_form(rendered):
    """Every option is one word, ``--name=value``: none swallows its neighbour."""
    for one in containers(rendered(**EVERYTHING)).values():
        command, *options = one["args"]
        assert command in {"serve", "reader", "controller"}
        assert all(re.fullmatch(r"--[a-z-]+(=.+)?", option) for option in options)


def test_self_test_understands_its_arguments(rendered):
    """Each option of the test pod is one that ``slimgate self-test`` has."""
    command, *options = rendered()["Pod", "slimgate-test"]["spec"]["containers"][0]["args"]
    known = {name for one in self_test.command.params for name in one.opts}
    assert command == "self-test"
    assert {one.partition("=")[0] for one in options} <= known


@pytest.mark.parametrize("name", ["slimgate", "reader", "controller"])
def test_slimgate_understands_its_arguments(rendered, name):
    """Each option that the Deployment gives is one that the command has."""
    for certificates in ({}, EXISTING):
        objects = rendered(**{**EVERYTHING, "auditOnly": True, "certificates": certificates})
        word, *options = containers(objects)[name]["args"]
        command = importlib.import_module(f"webhook.cli.{word}").command
        known = {option for one in command.params for option in one.opts}
        assert {one.partition("=")[0] for one in options} <= known


@pytest.mark.parametrize("more", [{}, EVERYTHING], ids=["default", "everything"])
def test_files_are_where_the_arguments_say(rendered, more):
    """Every path among the arguments lies below a mount, and every mount has its volume."""
    objects = rendered(**more)
    volumes = {one["name"] for one in pod(objects)["volumes"]}
    used = set()
    for one in containers(objects).values():
        mounts = [Path(mount["mountPath"]) for mount in one["volumeMounts"]]
        used |= {mount["name"] for mount in one["volumeMounts"]}
        paths = [Path(arg.partition("=")[2]) for arg in one["args"] if "=/" in arg]
        assert paths
        assert all(any(path.is_relative_to(mount) for mount in mounts) for path in paths)
    assert used == volumes


def test_only_the_controller_has_a_token(rendered):
    """The container that reads what strangers wrote cannot speak to the API server."""
    objects = rendered(**EVERYTHING)
    assert pod(objects)["automountServiceAccountToken"] is False
    assert objects["ServiceAccount", "slimgate"]["automountServiceAccountToken"] is False
    holders = [
        name
        for name, one in containers(objects).items()
        if "token" in {mount["name"] for mount in one["volumeMounts"]}
    ]
    assert holders == ["controller"]
    projected = [one for one in pod(objects)["volumes"] if "projected" in one]
    assert [one["name"] for one in projected] == ["token"]


def test_what_opens_layers_has_nothing_else(rendered):
    """Whoever takes it over by a layer finds the socket on which layers come."""
    (mount,) = containers(rendered(**EVERYTHING))["reader"]["volumeMounts"]
    assert mount == {"name": "reader", "mountPath": "/run/slimgate-reader"}
    serve = containers(rendered())["slimgate"]
    assert mount in serve["volumeMounts"]
    assert "--reader=/run/slimgate-reader/reader.sock" in serve["args"]


def test_what_the_containers_share_is_in_memory(rendered):
    """One folder, for the snapshot, the socket and the key."""
    objects = rendered()
    shared = [one for one in pod(objects)["volumes"] if one["name"] in {"state", "reader"}]
    assert [one["emptyDir"]["medium"] for one in shared] == ["Memory", "Memory"]
    for name in ("slimgate", "controller"):
        one = containers(objects)[name]
        assert {"name": "state", "mountPath": "/run/slimgate"} in one["volumeMounts"]
        assert "--state=/run/slimgate" in one["args"]


def test_only_who_answers_has_the_store(rendered):
    """The seal, the password and the file: who opens strangers' layers could else forge facts."""
    for more in ({}, EVERYTHING):
        mounted = {
            name: {mount["name"] for mount in one["volumeMounts"]}
            for name, one in containers(rendered(**more)).items()
        }
        for name in ("controller", "reader"):
            assert not [one for one in mounted[name] if one.startswith("store")]
        assert [one for one in mounted["slimgate"] if one.startswith("store")]


def test_the_volume_of_the_file_has_room_for_all_that_may_be_in_it(rendered):
    (volume,) = (one for one in pod(rendered())["volumes"] if one["name"] == "store")
    assert volume["emptyDir"] == {"sizeLimit": "1024Mi"}
    assert "--store-size=256Mi" in containers(rendered())["slimgate"]["args"]


def test_probes_are_of_each_container_on_its_own_port(rendered):
    """By the names of ports that it has."""
    for name, one in containers(rendered()).items():
        if name == "reader":  # it ends when it cannot go on, and its jobs when they are late
            assert not {"startupProbe", "readinessProbe", "livenessProbe"} & set(one)
            continue
        ports = {port["name"]: port["containerPort"] for port in one["ports"]}
        wanted = {"slimgate": 9090, "controller": 9091}[name]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert ports[one[probe]["httpGet"]["port"]] == wanted
        assert f"--metrics=0.0.0.0:{wanted}" in one["args"]
        assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_pods_are_restricted(rendered):
    """Pod Security's restricted level and a read-only root, for every container of the chart."""
    objects = rendered()
    for spec in (pod(objects), objects["Pod", "slimgate-test"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in spec["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize(
    ("audit_only", "failure_policy", "seconds"),
    [
        pytest.param(True, "Ignore", 5, id="audit-only never stands in the way"),
        pytest.param(False, "Fail", 11, id="enforcing needs an answer"),
    ],
)
def test_registration(rendered, audit_only, failure_policy, seconds):
    """Pods count, templates advise; audit-only wins over whatever else is said."""
    objects = rendered(
        auditOnly=audit_only,
        webhook={"excludedNamespaces": ["storage"], "failurePolicy": "Fail", "deadlineSeconds": 10},
    )
    found = webhooks(objects)
    pods, templates = found["pods.slimgate.dev"], found["templates.slimgate.dev"]
    for name in ("slimgate", "controller"):
        assert ("--audit-only" in containers(objects)[name]["args"]) is audit_only
    assert (pods["failurePolicy"], pods["timeoutSeconds"]) == (failure_policy, seconds)
    assert (templates["failurePolicy"], templates["timeoutSeconds"]) == ("Ignore", seconds)
    assert pods["rules"][0]["resources"] == ["pods", "pods/ephemeralcontainers", "pods/resize"]
    for one in (pods, templates):
        assert one["matchPolicy"] == "Equivalent"
        assert "objectSelector" not in one
        (requirement,) = one["namespaceSelector"]["matchExpressions"]
        assert requirement == {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "gate", "storage"],
        }
        assert one["clientConfig"]["service"] == {
            "name": "slimgate",
            "namespace": "gate",
            "path": "/validate",
            "port": 443,
        }


@pytest.mark.parametrize("listed", [[], ["storage"], ["kube-system", "gate"]])
def test_its_own_namespace_is_never_judged(rendered, listed):
    """By its immutable label, whatever the values list; so it can always be repaired."""
    for one in webhooks(rendered(webhook={"excludedNamespaces": listed})).values():
        (requirement,) = one["namespaceSelector"]["matchExpressions"]
        assert (requirement["key"], requirement["operator"]) == (
            "kubernetes.io/metadata.name",
            "NotIn",
        )
        assert {"gate", "kube-system"} <= set(requirement["values"])


def test_templates_are_all_that_make_pods(rendered):
    """Eight kinds beside pods, for the webhook that only advises."""
    rules = webhooks(rendered())["templates.slimgate.dev"]["rules"]
    found = {
        (group, name) for one in rules for group in one["apiGroups"] for name in one["resources"]
    }
    assert found == set(RESOURCES) - {("", "pods")}


def test_no_side_effects_and_one_version(rendered):
    """What the registration promises: a dry run is sent, too, and AdmissionReview v1 only."""
    for one in webhooks(rendered()).values():
        assert one["sideEffects"] == "None"
        assert one["admissionReviewVersions"] == ["v1"]
        assert {verb for rule in one["rules"] for verb in rule["operations"]} == {
            "CREATE",
            "UPDATE",
        }


def test_replicas_are_spread_and_replaced_one_by_one(rendered):
    """The defaults are those of high availability."""
    objects = rendered()
    deployment = objects["Deployment", "slimgate"]["spec"]
    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spread = {one["topologyKey"]: one for one in pod(objects)["topologySpreadConstraints"]}
    assert set(spread) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert {one["whenUnsatisfiable"] for one in spread.values()} == {"ScheduleAnyway"}
    assert pod(objects)["priorityClassName"] == "system-cluster-critical"
    budget = objects["PodDisruptionBudget", "slimgate"]["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert ("PodDisruptionBudget", "slimgate") not in rendered(replicas=1)


@pytest.mark.parametrize(
    ("certificates", "bundle", "injected"),
    [
        pytest.param({}, None, None, id="self: the controller writes it"),
        pytest.param({"mode": "certManager"}, None, "gate/slimgate-tls", id="certManager"),
        pytest.param(EXISTING, "Q0E=", None, id="existing"),
        pytest.param(
            merged(EXISTING, {"existing": {"caBundle": "injected"}}), None, None, id="injected"
        ),
    ],
)
def test_ca_bundle_is_rendered_only_where_it_is_a_value(rendered, certificates, bundle, injected):
    """Helm would put back what somebody else wrote."""
    objects = rendered(certificates=certificates)
    for one in webhooks(objects).values():
        assert one["clientConfig"].get("caBundle") == bundle
    metadata = objects["ValidatingWebhookConfiguration", "slimgate.gate"]["metadata"]
    assert metadata.get("annotations", {}).get("cert-manager.io/inject-ca-from") == injected


def test_self_made_certificates_are_rendered_empty(rendered):
    """Helm owns no key of them, so no upgrade takes one away."""
    objects = rendered()
    for name in ("slimgate-ca", "slimgate-tls"):
        assert set(objects["Secret", name]) == {"apiVersion", "kind", "metadata", "type"}


def test_cert_manager(rendered):
    """A CA of the release's own, or an issuer that is there; the leaf is for the Service."""
    own = rendered(certificates={"mode": "certManager"})
    leaf = own["Certificate", "slimgate-tls"]["spec"]
    assert leaf["dnsNames"] == ["slimgate.gate.svc"]
    assert leaf["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "slimgate"}
    assert own["Issuer", "slimgate"]["spec"] == {"ca": {"secretName": "slimgate-cert-ca"}}
    assert own["Certificate", "slimgate-ca"]["spec"]["isCA"] is True
    assert own["Certificate", "slimgate-ca"]["spec"]["secretName"] == "slimgate-cert-ca"
    volumes = {one["name"]: one for one in pod(own)["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == leaf["secretName"] == "slimgate-cert"
    assert "--certificates=external" in containers(own)["controller"]["args"]
    issuer = {"name": "platform", "kind": "ClusterIssuer"}
    theirs = rendered(certificates={"mode": "certManager", "certManager": {"issuerRef": issuer}})
    assert theirs["Certificate", "slimgate-tls"]["spec"]["issuerRef"] == {
        "group": "cert-manager.io",
        **issuer,
    }
    assert not [name for kind, name in theirs if kind == "Issuer"]
    guard = theirs["ValidatingAdmissionPolicy", "slimgate.gate-webhook"]
    assert "cert-manager-cainjector" in guard["spec"]["validations"][0]["expression"]


def test_policies_are_those_of_the_folder(template, tmp_path):
    """As ImagePolicy objects that slimgate reads, with the user's own beside them."""
    mine = {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": "mine"},
        "spec": {"action": "Warn", "checks": {"nonRoot": {}}},
    }
    text = yaml.safe_dump({**mine, "metadata": {"name": "text"}})
    found = [
        one
        for one in template(policies={"extra": {"a": mine, "b": text}})
        if one["kind"] == "ImagePolicy" and one["metadata"]["name"] != "slimgate-test"
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(found))
    shipped = {policy.name: policy for policy in load_policies(ROOT / "policies")}
    rendered = {policy.name: policy for policy in load_policies(tmp_path)}
    assert set(rendered) == {*shipped, "mine", "text"}
    assert {name: rendered[name] for name in shipped} == shipped


def test_schema_knows_the_shipped_policies():
    """The list that ``policies.builtin`` may hold is the folder."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    listed = schema["properties"]["policies"]["properties"]["builtin"]["items"]["enum"]
    assert set(listed) == {path.stem for path in (ROOT / "policies").glob("*.yaml")}


def test_mirrors_lie_as_containerd_has_them(rendered):
    """A folder for each registry, with its port, in spite of what ConfigMap keys may be."""
    objects = rendered(registries={"mirrors": {"docker.io": "x = 1", "r.example:5000": "y = 2"}})
    (volume,) = [one for one in pod(objects)["volumes"] if one["name"] == "registry-hosts"]
    data = objects["ConfigMap", "slimgate-mirrors"]["data"]
    files = {one["path"]: data[one["key"]].strip() for one in volume["configMap"]["items"]}
    assert files == {"docker.io/hosts.toml": "x = 1", "r.example:5000/hosts.toml": "y = 2"}


def test_bases_lie_where_they_are_looked_for_and_a_change_starts_new_pods(rendered):
    """Each file whole, as ``slimgate base learn`` wrote it."""
    text = (ROOT / "webhook" / "image" / "bases.json").read_text()
    objects = rendered(bases={"mine": text, "theirs": '{"bases": []}'})
    slimgate = containers(objects)["slimgate"]
    (volume,) = [one for one in pod(objects)["volumes"] if one["name"] == "bases"]
    (mount,) = [one for one in slimgate["volumeMounts"] if one["name"] == "bases"]
    data = objects["ConfigMap", volume["configMap"]["name"]]["data"]
    files = [one.partition("=")[2] for one in slimgate["args"] if one.startswith("--bases=")]
    assert files == [f"{mount['mountPath']}/{name}" for name in data]
    assert data["mine.json"] == text

    def annotations(objects):
        return objects["Deployment", "slimgate"]["spec"]["template"]["metadata"]["annotations"]

    changed = rendered(bases={"mine": text})
    assert annotations(objects)["slimgate.dev/bases"] != annotations(changed)["slimgate.dev/bases"]


def test_service_sends_nothing_to_the_test_pod(rendered):
    """Its selector fits the replicas, and nothing else of the release."""
    objects = rendered()
    selector = objects["Service", "slimgate"]["spec"]["selector"].items()
    labels = objects["Deployment", "slimgate"]["spec"]["template"]["metadata"]["labels"].items()
    assert selector <= labels
    assert not selector <= objects["Pod", "slimgate-test"]["metadata"]["labels"].items()


def test_everything_that_helm_test_makes_is_removed(rendered):
    """Hooks are no part of a release: an uninstall would leave them."""
    hooks = [
        one
        for one in rendered().values()
        if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"
    ]
    assert {one["kind"] for one in hooks} == {
        *("Namespace", "ImagePolicy", "ServiceAccount", "Role", "RoleBinding", "Pod")
    }
    for one in hooks:
        policy = one["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("slimgate", "slimgate", id="its own name"),
        pytest.param("prod", "prod-slimgate", id="another"),
        pytest.param("my-slimgate-two", "my-slimgate-two", id="contains it"),
    ],
)
def test_names(helm, name, expected):
    """The controller is told the name that its objects have."""
    objects = yaml.safe_load_all(helm.must("template", name, CHART, values=NEEDED))
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects if one}
    assert ("ValidatingWebhookConfiguration", f"{expected}.gate") in found
    assert {("Secret", f"{expected}-ca"), ("Secret", f"{expected}-tls")} <= set(found)
    spec = found["Deployment", expected]["spec"]["template"]["spec"]
    assert f"--name={expected}" in spec["containers"][-1]["args"]


def test_two_releases_share_no_name(helm):
    """But for the policies, whose names are the users', and their definition."""
    names = []
    for release in ("one", "two"):
        values = merged(NEEDED, {"policies": {"builtin": []}})
        out = helm.must("template", release, CHART, values=values)
        objects = [one for one in yaml.safe_load_all(out) if one]
        names.append({(one["kind"], one["metadata"]["name"]) for one in objects})
    assert names[0] & names[1] == {("CustomResourceDefinition", "imagepolicies.slimgate.dev")}


@pytest.fixture(scope="module")
def prepared(api, template):
    """What a dry run needs to be there for others of its objects: a dry run makes nothing."""
    api.must("apply", "--server-side", "-f", str(CHART / "crds"))
    api.must("wait", "--for=condition=Established", "crd/imagepolicies.slimgate.dev")
    there = [one for one in template() if one["metadata"]["name"] == "slimgate-test"]
    there = [one for one in there if one["kind"] in {"Namespace", "ServiceAccount"}]
    api.must("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(there))
    yield api
    api.must("delete", "-f", str(CHART / "crds"))


@pytest.mark.cluster
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="default"),
        pytest.param({"auditOnly": False}, id="enforcing"),
        pytest.param(EVERYTHING, id="everything"),
    ],
)
def test_api_server_accepts_every_object(prepared, template, more):
    """By its own schemas and validation, and without a field that it does not know.

    The namespace is at Pod Security's restricted level: only providers from the host are not.
    """
    if "certificates" in more:
        authority = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
        more = merged(more, {"certificates": {"existing": {"caBundle": authority}}})
    objects = template(**more)
    said = prepared.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        stdin=yaml.safe_dump_all(objects),
    )
    assert said.status == 0, said.err
    providers = "credentialProviders" in more.get("registries", {})
    assert ["provider-bin" in warning for warning in said.warnings] == [True] * providers
    assert said.out.count("serverside-applied") == len(objects)
