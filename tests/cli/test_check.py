"""``slimgate check``: exit codes, reports, manifests, baselines, and clear words for mistakes."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from tests.cli.conftest import one_line
from tests.support import forge, samples
from tests.support.registry import Registry, stall, status
from tests.support.samples import SAMPLES

WARN = """
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: gentle}
spec: {action: Warn, checks: {nonRoot: {}, noShell: {}}}
"""
PROD = """
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: prod}
spec:
  namespaceSelector: {matchLabels: {env: prod}}
  action: Enforce
  checks: {nonRoot: {}}
"""


def _pod(image: str, name: str = "web") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec: {{containers: [{{name: app, image: "{image}"}}]}}
"""


def _deployment(image: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  template:
    spec: {{containers: [{{name: app, image: "{image}"}}]}}
"""


@pytest.mark.parametrize(
    ("sample", "code"),
    [(sample.name, 1 if sample.fails else 0) for sample in SAMPLES.values()
     if not sample.pod and sample.fails != "size"],
)  # fmt: skip
def test_samples(slimgate, layout, sample, code):
    """Each sample is denied by the one check it breaks, or passes."""
    ran = slimgate("check", layout(sample), "-o", "json", "--all")

    (decision,) = ran.decisions
    assert ran.code == code, ran.out
    assert decision["allowed"] is (code == 0)
    assert {finding["check"] for finding in decision["findings"]} == (
        {SAMPLES[sample].fails} if code else set()
    )


def test_json_decision(slimgate, layout):
    """What a decision on an image by itself holds; keys of the contract and extras."""
    (decision,) = slimgate("check", layout("shell-by-name"), "-o", "json").decisions

    (finding,) = decision.pop("findings")
    assert decision == {
        "workload": "Image/oci:shell-by-name",
        "container": "image",
        "image": "oci:shell-by-name",
        "digest": SAMPLES["shell-by-name"].image.digest,
        "platform": "linux/amd64",
        "policy": "distroless-nonroot",
        "action": "Enforce",
        "allowed": False,
        "excepted": [],
        "unasked": [],
    }
    assert (finding["check"], finding["result"], finding["path"]) == ("noShell", "fail", "/bin/sh")
    assert finding["layerDigest"] == SAMPLES["shell-by-name"].image.layers[1]
    assert finding["createdBy"] == "COPY --from=build /rootfs/ /"
    assert finding["remedy"]


@pytest.mark.parametrize("output", ["text", "github"])
def test_text_says_what_where_and_the_cure(slimgate, layout, output):
    """Path and remedy are in what people read."""
    ran = slimgate("check", layout("shell-by-symlink"), "-o", output)

    assert ran.code == 1
    assert "/bin/sh" in ran.out
    assert "→" in ran.out
    assert SAMPLES["shell-by-symlink"].image.digest in ran.out


def test_text_golden(slimgate, layout, snapshot):
    """The whole page, over an image denied and one passed."""
    ran = slimgate("check", layout("shell-by-symlink"), layout("distroless"))

    assert ran.out == snapshot


def test_junit_and_sarif_are_documents(slimgate, layout):
    """Both can be parsed and hold the finding."""
    junit = ET.fromstring(slimgate("check", layout("root-zero"), "-o", "junit").out)
    sarif = json.loads(slimgate("check", layout("root-zero"), "-o", "sarif").out)

    assert junit.get("failures") == "1"
    assert sarif["runs"][0]["results"][0]["ruleId"] == "nonRoot"
    assert sarif["runs"][0]["tool"]["driver"]["rules"][0]["shortDescription"]["text"] != "nonRoot"


def test_all_asks_on(slimgate):
    """The layers of a root image in a registry are not fetched, unless --all asks for them."""
    image = SAMPLES["root-zero"].image
    with Registry({"team/root:1": image}) as registry:
        arguments = ("check", f"{registry.host}/team/root:1", "-o", "json")
        short = slimgate(*arguments).decisions[0]
        fetched = registry.count(f"*/blobs/{image.layers[0]}")
        whole = slimgate(*arguments, "--all").decisions[0]

    assert "noShell" in short["unasked"]
    assert fetched == 0
    assert whole["unasked"] == []


def test_a_warning_does_not_fail(slimgate, layout, file):
    """Exit 1 is for what denies."""
    policy = file("warn.yaml", WARN)

    ran = slimgate("check", layout("shell-by-name"), "--policy", policy, "-o", "json")

    assert ran.code == 0
    assert [f["check"] for f in ran.decisions[0]["findings"]] == ["noShell"]


def test_several_policies_answer_each(slimgate, layout, file):
    """One decision for each; one denial is enough."""
    file("warn.yaml", WARN)

    ran = slimgate("check", layout("shell-by-name"), "--policy", "warn.yaml",
                   "--policy", "distroless-nonroot", "-o", "json")  # fmt: skip

    assert [(d["policy"], d["allowed"]) for d in ran.decisions] == [
        ("gentle", True), ("distroless-nonroot", False),
    ]  # fmt: skip
    assert ran.code == 1


@pytest.mark.parametrize(
    ("labels", "code", "decisions"),
    [
        pytest.param([], 1, 1, id="without labels the selector is not asked"),
        pytest.param(["--namespace-label", "env=prod"], 1, 1, id="selected"),
        pytest.param(["--namespace-label", "env=dev"], 2, 0, id="no policy applies"),
    ],
)
def test_namespace_labels(slimgate, layout, file, labels, code, decisions):
    """A namespace selector counts once there are labels."""
    policy = file("prod.yaml", PROD)

    ran = slimgate("check", layout("root-zero"), "--policy", policy, *labels, "-o", "json")

    assert (ran.code, len(ran.decisions)) == (code, decisions)


def test_every_platform_is_judged(slimgate, layout):
    """The worst counts, and is named; --platform asks for one alone."""
    index = forge.index(
        [
            (SAMPLES["distroless"].image, {"os": "linux", "architecture": "amd64"}),
            (forge.image(user="0", architecture="arm64"), {"os": "linux", "architecture": "arm64"}),
        ]
    )

    argument = layout(index)
    every = slimgate("check", argument, "--policy", "nonroot", "-o", "json")
    one = slimgate(
        "check", argument, "--policy", "nonroot", "-o", "json", "--platform", "linux/amd64"
    )

    assert every.code == 1
    assert {d["platform"]: d["allowed"] for d in every.decisions} == {
        "linux/amd64": True, "linux/arm64": False,
    }  # fmt: skip
    assert {d["digest"] for d in every.decisions} == {index.digest}
    assert (one.code, [d["platform"] for d in one.decisions]) == (0, ["linux/amd64"])


class TestManifests:
    """``-f``: the workloads of files."""

    @pytest.fixture(autouse=True)
    def _images(self):
        images = {
            "team/root:1": SAMPLES["root-zero"].image,
            "team/good:1": SAMPLES["distroless"].image,
        }
        with Registry(images) as registry:
            self.root, self.good = (f"{registry.host}/{name}" for name in images)
            yield

    def test_templates_are_judged_as_the_pods_they_create(self, slimgate, file):
        """A Deployment is denied, though the webhook would only warn of it."""
        manifest = file("web.yaml", _deployment(self.root))

        (decision,) = (ran := slimgate("check", "-f", manifest, "-o", "json")).decisions

        assert ran.code == 1
        assert (decision["workload"], decision["container"]) == ("Deployment/web", "app")
        assert (decision["action"], decision["allowed"]) == ("Enforce", False)
        assert decision["image"] == self.root

    def test_documents_lists_and_other_kinds(self, slimgate, file):
        """Every workload counts, wherever it is written; others are skipped with a note."""
        file(
            "all.yaml",
            "\n---\n".join(
                (
                    _pod(self.good, "one"),
                    json.dumps(
                        {
                            "apiVersion": "v1",
                            "kind": "List",
                            "items": [
                                {
                                    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two"},
                                    "spec": {"containers": [{"name": "app", "image": self.good}]},
                                },
                                {"kind": "ConfigMap", "metadata": {"name": "x"}},
                            ],
                        }
                    ),
                    "# nothing",
                    "apiVersion: v1\nkind: Service\nmetadata: {name: web}",
                )
            ),
        )  # fmt: skip

        ran = slimgate("check", "-f", "all.yaml", "-o", "json")

        assert ran.code == 0, ran.err
        assert [d["workload"] for d in ran.decisions] == ["Pod/one", "Pod/two"]
        assert ran.err.splitlines() == [
            "slimgate: note: all.yaml:8: ConfigMap/x creates no pods, skipped",
            "slimgate: note: all.yaml:12: Service/web creates no pods, skipped",
        ]
        assert slimgate("check", "-f", "all.yaml", "--quiet").err == ""

    def test_standard_input(self, slimgate):
        """``-f -``."""
        ran = slimgate("check", "-f", "-", "-o", "github", stdin=_pod(self.root).encode())

        assert ran.code == 1
        assert "Pod/web" in ran.out
        assert "file=" not in ran.out

    def test_the_pod_decides_over_the_image(self, slimgate, file):
        """runAsUser makes a root image non-root."""
        manifest = _pod(self.root) + "  \n"
        manifest = manifest.replace("spec: {", "spec: {securityContext: {runAsUser: 65532}, ")

        assert slimgate("check", "-f", file("pod.yaml", manifest), "--policy", "nonroot").code == 0

    def test_no_workload_at_all(self, slimgate, file):
        """Nothing was judged: not 0."""
        ran = slimgate("check", "-f", file("s.yaml", "apiVersion: v1\nkind: Service"), "-q")

        assert ran.code == 2
        assert "no policy applied" in ran.out


class TestUnknown:
    """What cannot be found out is exit 2, never a pass and never a trace."""

    @pytest.mark.parametrize(
        ("argument", "reason"),
        [
            pytest.param("oci:missing", "notFound", id="no such folder"),
            pytest.param("docker-archive:missing.tar", "notFound", id="no such file"),
            pytest.param("127.0.0.1:1/team/app:1", "unreachable", id="nobody listens"),
            pytest.param("registry.invalid/team/app:1", "dns", id="no such host"),
        ],
    )
    def test_unreadable(self, slimgate, argument, reason):
        """One finding of the check ``image``."""
        ran = slimgate("check", argument, "-o", "json")

        (decision,) = ran.decisions
        (finding,) = decision["findings"]
        assert ran.code == 2
        assert (finding["check"], finding["result"], finding["reason"]) == (
            "image", "unknown", reason,
        )  # fmt: skip
        assert decision["image"] == argument
        assert decision["digest"] is None

    def test_a_registry_that_fails(self, slimgate):
        """The registry's status is in the detail."""
        with Registry({}, faults={"*": status(503)}) as registry:
            ran = slimgate("check", f"{registry.host}/team/app:1")

        assert ran.code == 2
        assert "503" in ran.out

    def test_a_denial_outweighs_the_unknown(self, slimgate, layout):
        """1 before 2."""
        assert slimgate("check", "oci:missing", layout("root-zero")).code == 1

    def test_a_truncated_layer_is_refused(self, slimgate, tmp_path, layout):
        """Wrong bytes are proved wrong: a failure."""
        argument = layout("distroless")
        digest = SAMPLES["distroless"].image.layers[1]
        blob = tmp_path / "distroless" / "blobs" / digest.replace(":", "/")
        blob.write_bytes(blob.read_bytes()[:-20])

        ran = slimgate("check", argument, "-o", "json")

        assert ran.code == 1
        assert {f["reason"] for f in ran.decisions[0]["findings"]} == {"integrity"}

    def test_no_image_name(self, slimgate):
        """What no runtime could pull is malformed."""
        ran = slimgate("check", "Team/App", "-o", "json")

        assert ran.code == 1
        assert ran.decisions[0]["findings"][0]["reason"] == "malformed"


def test_baseline(slimgate, layout):
    """Yesterday's findings are accepted, today's are not."""
    yesterday = slimgate("check", layout("shell-by-name", "app"), "-o", "json", "--all")
    with open("baseline.json", "w") as file:  # noqa: PTH123 - in the folder of the fixture
        file.write(yesterday.out)

    same = slimgate("check", "oci:app", "--baseline", "baseline.json", "-o", "json")
    other = slimgate("check", layout("root-zero"), "--baseline", "baseline.json")

    assert (yesterday.code, same.code, other.code) == (1, 0, 1)
    assert same.decisions[0]["findings"] == []
    assert same.decisions[0]["allowed"] is True


def test_a_baseline_hides_nothing_new(slimgate, file):
    """What was denied by the config alone is accepted; the shell behind it was never asked for."""
    images = {
        "app:1": samples.distroless(user="0"),
        "app:2": samples.distroless(samples.program("bin/sh"), user="0"),
    }
    with Registry(images) as registry:
        yesterday = slimgate("check", f"{registry.host}/app:1", "-o", "json")
        known = file("baseline.json", yesterday.out)
        today = slimgate("check", f"{registry.host}/app:2", "--baseline", known, "-o", "json")

    assert (yesterday.code, today.code) == (1, 1)
    assert [one["check"] for one in today.decisions[0]["findings"]] == ["noShell"]


def test_a_shells_list_of_manifests(slimgate, file):
    """``-f *.yaml``; without -f the same name is an image's."""
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: []}}"
    for name in ("a", "b"):
        file(f"{name}.yaml", pod % name)
    container = "{name: c, image: '127.0.0.1:1/x', securityContext: {runAsUser: 0}}"
    file("c.yaml", (pod % "c").replace("[]", f"[{container}]"))

    ran = slimgate("check", "-f", "a.yaml", "b.yaml", "c.yaml", "-o", "json")

    assert ran.code == 1
    assert [one["workload"] for one in ran.decisions] == ["Pod/c"]


def test_limits_are_settings(slimgate, layout):
    """Each of them: here one that every image crosses."""
    ran = slimgate("check", layout("distroless"), "--limit", "layers=1", "-o", "json")

    assert ran.code == 1
    assert ran.decisions[0]["findings"][0]["reason"] == "limit"


def test_says_why_checks_were_not_asked(slimgate):
    """``--all`` does not help where there is nothing to read."""
    out = slimgate("check", "oci:missing").out

    assert "not asked, the image could not be read: nonRoot, noShell" in out
    assert "--all" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["check"], "Usage: slimgate check", id="nothing to check"),
        pytest.param(["check", "-f", "-", "-f", "-"], "only once", id="manifests on one input"),
        pytest.param(
            ["check", "docker-archive:-:app", "-f", "-"],
            "only once",
            id="image and manifest on one",
        ),
        pytest.param(["check", "x", "--wrong"], "No such option", id="unknown option"),
        pytest.param(["chekc", "x"], "No such command", id="unknown command"),
        pytest.param(["check", "x", "-o", "yaml"], "'yaml' is not one of", id="unknown format"),
        pytest.param(["check", "-f", "no.yaml"], "'no.yaml' does not exist", id="no manifest"),
        pytest.param(["check", "x", "--platform", "amd64"], "is no platform", id="platform"),
        pytest.param(["check", "x", "--timeout", "soon"], "is no duration", id="duration"),
        pytest.param(["check", "x", "--timeout", "0s"], "is no duration", id="no time at all"),
        pytest.param(["check", "x", "--limit", "layer=1"], "is no limit: there are", id="limit"),
        pytest.param(["check", "x", "--limit", "layers=many"], "layers: ", id="limit's value"),
        pytest.param(["check", "x", "--limit", "layers=0"], "more than none", id="limit of none"),
        pytest.param(["check", "x", "--namespace-label", "a"], "is no label", id="label"),
        pytest.param(["check", "x", "--ca-file", "no.pem"], "does not exist", id="no CA"),
        pytest.param(["inspect"], "Usage: slimgate inspect", id="nothing to inspect"),
        pytest.param(["files", "x", "--largest", "0"], "not in the range", id="no files"),
    ],
)
def test_wrong_usage(slimgate, arguments, says):
    """64, and the mistake is named; click's own code 2 would mean unknown."""
    ran = slimgate(*arguments)

    assert ran.code == 64
    assert says in ran.err + ran.out
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        pytest.param("pod.yaml", "kind: ]", "pod.yaml:1: is no YAML", id="no YAML"),
        pytest.param("pod.yaml", "- 1", "pod.yaml:1: is no Kubernetes object", id="no object"),
        pytest.param("pod.yaml", "a: 1\na: 2", 'has the key "a" twice', id="twice"),
        pytest.param(
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nspec: {containers: {}}",
            "spec.containers",
            id="wrong type",
        ),
        pytest.param("pod.yaml", "a: *b", "anchor", id="alias of nothing"),
    ],
)
def test_a_broken_manifest(slimgate, file, name, text, says):
    """One line that names file and line."""
    ran = slimgate("check", "-f", file(name, text))

    assert ran.code == 64
    assert says in one_line(ran.err)


def test_a_broken_policy_tells_every_fault(slimgate, file):
    """Each with its line; nothing is judged by the rest of it."""
    policy = file(
        "bad.yaml",
        "apiVersion: slimgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: bad}\n"
        "spec:\n  action: Enforce\n  checks:\n    noShel: {}\n    size: {layer: 150 Mi}\n",
    )

    ran = slimgate("check", "x", "--policy", policy)

    assert ran.code == 64
    lines = ran.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("slimgate: bad.yaml:7:")
    assert "noShell" in lines[0]
    assert lines[1].startswith("slimgate: bad.yaml:8:")


@pytest.mark.parametrize("name", ["no-such-policy", "no/such/file.yaml"])
def test_no_such_policy(slimgate, name):
    """The shipped names are listed."""
    ran = slimgate("check", "x", "--policy", name)

    assert ran.code == 64
    assert name in one_line(ran.err)


def test_the_environment_sets_every_option(slimgate, layout, monkeypatch):
    """SLIMGATE_… of an option's name, here several of them."""
    monkeypatch.setenv("SLIMGATE_OUTPUT", "json")
    monkeypatch.setenv("SLIMGATE_POLICY", "nonroot debuggable")

    ran = slimgate("check", layout("root-zero"))

    assert [d["policy"] for d in ran.decisions] == ["nonroot", "debuggable"]


def test_a_deadline(slimgate):
    """What is not read in time is unknown, and the command ends."""
    with Registry({}, faults={"*": stall()}) as registry:
        ran = slimgate("check", f"{registry.host}/team/app:1", "--timeout", "300ms", "-o", "json")

    assert ran.code == 2
    assert ran.decisions[0]["findings"][0]["reason"] == "deadline"


@pytest.mark.parametrize(
    ("allow", "paths"),
    [
        ("{}", ["/usr/bin/perl", "/usr/bin/python3"]),
        ("{allow: [python]}", ["/usr/bin/perl"]),
        ("{allow: [python, perl]}", []),
    ],
)
def test_interpreters_that_may_stay(slimgate, layout, file, allow, paths):
    """Optional, and an application keeps the one it is written for."""
    image = forge.image(
        [
            [
                samples.program("usr/bin/python3.13"),
                forge.symlink("usr/bin/python3", "python3.13"),
                samples.program("usr/bin/perl"),
            ]
        ],
        user="65532",
        entrypoint=["/usr/bin/python3"],
    )
    policy = WARN.replace("nonRoot: {}, noShell: {}", f"noInterpreter: {allow}")
    ran = slimgate(
        "check", layout(image), "--policy", file("p.yaml", policy), "-o", "json", "--all"
    )

    (decision,) = ran.decisions
    assert [finding["path"] for finding in decision["findings"]] == paths


def test_unknown_interpreter(slimgate, layout, file):
    """A slip is told with its line and what there is."""
    policy = WARN.replace("nonRoot: {}, noShell: {}", "noInterpreter: {allow: [pyhton]}")
    ran = slimgate("check", layout("distroless"), "--policy", file("p.yaml", policy))

    assert ran.code == 64
    assert "noInterpreter.allow[0]: 'pyhton' is no interpreter (there are python, perl" in ran.err
