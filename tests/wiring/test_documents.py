"""Files of Kubernetes objects: namespaces, policies, manifests."""

from __future__ import annotations

import pytest

from webhook.errors import PolicyError, UsageError
from webhook.judge.load import BUILTIN
from webhook.wiring import NAME_LABEL, read_namespaces, read_objects, read_policies

POLICY = """
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: %s}
spec: {action: Audit, namespaceSelector: {matchLabels: {a: b}}, checks: {nonRoot: {}}}
"""


def test_namespaces_by_name(tmp_path):
    """Several documents or a List; the API server's own label is always there."""
    path = tmp_path / "namespaces.yaml"
    path.write_text(
        "kind: Namespace\nmetadata: {name: a, labels: {env: prod}}\n---\n"
        "kind: NamespaceList\nitems: [{kind: Namespace, metadata: {name: b}}]\n"
    )

    namespaces = read_namespaces(path)

    assert namespaces("a").labels == {"env": "prod", NAME_LABEL: "a"}
    assert namespaces("a").document["metadata"]["name"] == "a"
    assert namespaces("b").labels == {NAME_LABEL: "b"}
    assert namespaces("other").labels == {NAME_LABEL: "other"}


def test_a_namespace_cannot_claim_another_name(tmp_path):
    """The label is the API server's: what a file says of it does not count."""
    path = tmp_path / "namespaces.yaml"
    path.write_text(
        f"kind: Namespace\nmetadata: {{name: a, labels: {{{NAME_LABEL}: kube-system}}}}"
    )

    assert read_namespaces(path)("a").labels == {NAME_LABEL: "a"}


def test_objects_know_their_lines(tmp_path):
    """Where each begins, those of a List too; values as kubectl reads them."""
    path = tmp_path / "all.yaml"
    path.write_text("kind: A\nwhen: 2026-01-01\n---\nkind: List\nitems:\n- kind: B\n\n- kind: C\n")

    found = list(read_objects(path))

    assert [(one.kind, one.line) for one in found] == [("A", 1), ("B", 6), ("C", 8)]
    assert found[0].document["when"] == "2026-01-01"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"\xff", "is no UTF-8", id="bytes"),
        pytest.param(b"a: [" * 500, "deeper|no YAML", id="depth"),
        pytest.param(b"text", "is no Kubernetes object", id="text"),
        pytest.param(b"kind: List\nitems: [1]", "is no Kubernetes object", id="item"),
        pytest.param(b"kind: List\nitems: [{a: 1}]", ":2: kind is missing", id="item of no kind"),
        pytest.param(b"spec: {containers: []}", ":1: kind is missing", id="no kind"),
        pytest.param(b"kind: null", ":1: kind is missing", id="null for a kind"),
    ],
)
def test_no_objects(tmp_path, data, says):
    """The file is named."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)

    with pytest.raises(UsageError, match=says) as caught:
        list(read_objects(path))
    assert "bad.yaml" in str(caught.value)


def test_a_list_says_what_its_items_are(tmp_path):
    """As ``kubectl get --raw`` answers; an item that says so itself is believed."""
    path = tmp_path / "list.yaml"
    path.write_text(
        "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: a}\n- kind: Other"
    )

    found = [one.document for one in read_objects(path)]

    assert found == [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
        {"apiVersion": "apps/v1", "kind": "Other"},
    ]


def test_deep_and_long_manifests_are_read(tmp_path):
    """CustomResourceDefinitions nest deeper, and clusters are larger, than policies are."""
    path = tmp_path / "large.yaml"
    deep = "kind: Deep\na: " + "[" * 100 + "]" * 100
    path.write_text("\n---\n".join([deep, *(f"kind: K{n}\na: {'x' * 1000}" for n in range(2000))]))

    assert len(list(read_objects(path))) == 2001


@pytest.mark.parametrize("select", [True, False])
def test_policies_by_file_folder_and_name(tmp_path, select):
    """Selectors are kept or left out."""
    (tmp_path / "one.yaml").write_text(POLICY % "one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two.yml").write_text(POLICY % "two")

    found = read_policies(
        [str(tmp_path / "one.yaml"), str(tmp_path / "folder"), "nonroot"], select=select
    )

    assert [policy.name for policy in found] == ["one", "two", "nonroot"]
    assert [policy.selector is not None for policy in found] == [select] * 3


def test_all_shipped_policies_together():
    """They differ in name."""
    assert {policy.name for policy in read_policies(BUILTIN, select=True)} == set(BUILTIN)


def test_every_fault_of_every_policy(tmp_path):
    """A name given twice is one of them."""
    path = tmp_path / "one.yaml"
    path.write_text(POLICY % "nonroot")

    with pytest.raises(PolicyError) as caught:
        read_policies(["nonroot", str(path), str(tmp_path / "none.yaml")], select=True)

    assert len(caught.value.problems) == 2
    assert "there is a policy nonroot already" in caught.value.problems[0]
