"""``slimgate review``: an AdmissionReview in, an AdmissionReview out."""

from __future__ import annotations

import pytest

from tests.cli.conftest import one_line
from tests.support.registry import Registry
from tests.support.samples import SAMPLES
from tests.support.served import review

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
NAMESPACES = """
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {slimgate.dev/policy: distroless-nonroot}}
"""


@pytest.fixture
def image():
    """A root image in a registry."""
    with Registry({"team/root:1": SAMPLES["root-zero"].image}) as registry:
        yield f"{registry.host}/team/root:1"


@pytest.mark.parametrize(
    ("namespace", "allowed"),
    [pytest.param("shop", False, id="selected"), pytest.param("lab", True, id="unknown namespace")],
)
def test_review(slimgate, file, image, namespace, allowed):
    """Answered by the namespace's policies; exit 0 whatever the answer."""
    file("namespaces.yaml", NAMESPACES)

    body = review(image, space=namespace, uid=UID)
    ran = slimgate("review", "--namespaces", "namespaces.yaml", stdin=body)

    response = ran.json["response"]
    assert ran.code == 0, ran.err
    assert response["uid"] == UID
    assert response["allowed"] is allowed
    if not allowed:
        assert response["status"]["code"] == 403
        assert "distroless-nonroot" in response["status"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"\xff\xfe", b'{"kind": "Pod"}', b"[" * 100_000], ids=repr
)
def test_no_review(slimgate, body):
    """64 and one line."""
    ran = slimgate("review", stdin=body)

    assert (ran.code, ran.out) == (64, "")
    assert one_line(ran.err)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("kind: Pod\nmetadata: {name: a}", "ns.yaml:1: is no Namespace", id="a pod"),
        pytest.param("kind: Namespace", "ns.yaml:1: is no Namespace", id="no name"),
        pytest.param(
            "kind: Namespace\nmetadata: {name: a, labels: {b: 1}}", "every label", id="label"
        ),
        pytest.param("]", "ns.yaml:1: is no YAML", id="no YAML"),
    ],
)
def test_broken_namespaces(slimgate, file, text, says):
    """64, with file and line."""
    ran = slimgate("review", "--namespaces", file("ns.yaml", text), stdin=b"{}")

    assert ran.code == 64
    assert says in one_line(ran.err)
