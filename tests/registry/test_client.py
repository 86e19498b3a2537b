from __future__ import annotations

import pytest

from tests.registry.conftest import layer_of, soon
from tests.support import forge
from tests.support import registry as faulty
from tests.support.registry import Registry
from webhook.errors import (
    Blocked,
    DeadlineExceeded,
    Forbidden,
    IntegrityError,
    LimitExceeded,
    NotFound,
    RateLimited,
    ServerError,
    TlsError,
    Unreachable,
)
from webhook.gather.source import ImageSource
from webhook.image.manifest import Descriptor, Index, parse_manifest
from webhook.image.reference import Reference
from webhook.limits import Limits
from webhook.registry.addresses import AddressRules
from webhook.registry.client import Registry as Client
from webhook.registry.transport import HostSettings


def named(registry, rest="team/app:1"):
    return Reference.parse(f"{registry.host}/{rest}")


def test_is_an_image_source(client):
    source: ImageSource = client()
    assert isinstance(source, Client)


def test_an_image_from_end_to_end(image, client):
    with Registry({"team/app:1": image}) as registry:
        source = client()
        document = source.resolve(named(registry), soon())
        manifest = parse_manifest(document.body, document.media_type, Limits())
        blob = b"".join(source.blob(named(registry), manifest.layers[0], soon()))

    assert (document.body, document.digest) == (image.body, image.digest)
    assert document.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert blob == image.blobs[image.layers[0]]


def test_by_digest_and_by_both(image, client):
    """With a tag and a digest, the digest is asked for."""
    with Registry({"team/app:1": image}) as registry:
        for rest in (f"team/app@{image.digest}", f"team/app:other@{image.digest}"):
            assert client().resolve(named(registry, rest), soon()).digest == image.digest
        assert {one.path for one in registry.requests} == {f"/v2/team/app/manifests/{image.digest}"}


def test_a_manifest_of_an_index(image, client):
    index = forge.index([(image, {"os": "linux", "architecture": "amd64"})])
    with Registry({"team/app:1": index}) as registry:
        source = client()
        document = source.resolve(named(registry), soon())
        parsed = parse_manifest(document.body, document.media_type, Limits())
        assert isinstance(parsed, Index)
        found = source.document(named(registry), parsed.entries[0], soon())
    assert (found.body, found.media_type) == (image.body, image.media_type)


@pytest.mark.parametrize("settings", [{}, {"token": True}], ids=["open", "token"])
def test_what_a_tag_leads_to_by_head(image, client, settings):
    with Registry({"team/app:1": image}, **settings) as registry:
        source = client()
        assert source.digest(named(registry), soon()) == image.digest
        assert source.digest(named(registry), soon()) == image.digest
        methods = [one.method for one in registry.requests if "/token" not in one.path]
        assert set(methods) == {"HEAD"}
        # The connection serves on, and nothing is left on it.
        assert source.resolve(named(registry), soon()).digest == image.digest


@pytest.mark.parametrize("code", [404, 405, 429, 503])
def test_a_head_that_tells_nothing_is_no_failure(image, client, code):
    with Registry({"team/app:1": image}, faults={"*": faulty.status(code)}) as registry:
        assert client(None).digest(named(registry), soon()) is None


def test_a_manifest_is_of_the_kind_its_index_says(image, client):
    """So it is to containerd: what the registry calls it hides no entry, and refuses none."""
    with Registry(faults={"*": faulty.body(image.body, Content_Type="text/plain")}) as registry:
        found = client().document(named(registry), _descriptor(image), soon())
    assert found.media_type == image.media_type


def _descriptor(image):
    return Descriptor(media_type=image.media_type, digest=image.digest, size=image.size)


def test_the_content_type_loses_its_parameters(image, client):
    fault = faulty.body(
        image.body, Content_Type="Application/vnd.oci.image.manifest.v1+json; charset=utf-8"
    )
    with Registry(faults={"*": fault}) as registry:
        document = client().resolve(named(registry), soon())
    assert document.media_type == "application/vnd.oci.image.manifest.v1+json"


# --- what is not believed


def test_a_manifest_with_another_digest_than_asked_for(image, client):
    with (
        Registry({"team/app:1": image}, faults={"*/manifests/*": faulty.wrong_bytes()}) as registry,
        pytest.raises(IntegrityError, match="not what was promised"),
    ):
        client().resolve(named(registry, f"team/app@{image.digest}"), soon())


def test_a_digest_is_proved_though_the_registry_announces_none(image, client):
    other = forge.image([[forge.file("other", b"2")]])
    fault = faulty.status(200, other.body, Content_Type=other.media_type)
    with (
        Registry(faults={"*": fault}) as registry,
        pytest.raises(IntegrityError, match=f"{image.digest}, but {other.digest}"),
    ):
        client().resolve(named(registry, f"team/app@{image.digest}"), soon())


def test_a_manifest_with_another_digest_than_announced(image, client):
    with (
        Registry({"team/app:1": image}, faults={"*/manifests/*": faulty.wrong_bytes()}) as registry,
        pytest.raises(IntegrityError, match="not what was promised"),
    ):
        client().resolve(named(registry), soon())


def test_a_manifest_without_an_announced_digest(image, client):
    """The header is optional: the digest is that of the bytes."""
    fault = faulty.status(200, image.body, Content_Type=image.media_type)
    with Registry(faults={"*": fault}) as registry:
        assert client().resolve(named(registry), soon()).digest == image.digest


def test_a_manifest_of_another_size_than_the_index_says(image, client):
    descriptor = Descriptor(media_type=image.media_type, digest=image.digest, size=image.size + 1)
    with (
        Registry({"team/app:1": image}) as registry,
        pytest.raises(IntegrityError, match=f"has {image.size} bytes"),
    ):
        client().document(named(registry), descriptor, soon())


@pytest.mark.parametrize(
    "fault", [faulty.endless(), faulty.body(b" " * (5 << 20))], ids=["endless", "huge"]
)
def test_a_manifest_without_end(image, client, fault):
    with (
        Registry({"team/app:1": image}, faults={"*/manifests/*": fault}) as registry,
        pytest.raises(LimitExceeded, match="more than 4194304 bytes"),
    ):
        client().resolve(named(registry), soon())


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_blob_of_another_length_than_the_manifest_says(image, client, difference):
    """Told before a byte of it is read."""
    faults = {"*/blobs/*": faulty.wrong_length(difference)}
    with Registry({"team/app:1": image}, faults=faults) as registry:
        chunks = client().blob(named(registry), layer_of(image), soon())
        with pytest.raises(IntegrityError, match="bytes by the manifest"):
            next(chunks)


def test_a_blob_without_end_is_cut_one_byte_after_its_size(image, client):
    """The one byte too many is what tells the reader."""
    layer = layer_of(image)
    with Registry({"team/app:1": image}, faults={"*/blobs/*": faulty.endless()}) as registry:
        read = sum(len(chunk) for chunk in client().blob(named(registry), layer, soon()))
    assert read == layer.size + 1


def test_a_blob_that_is_left_early_costs_its_connection_only(image, client):
    with Registry({"team/app:1": image}) as registry:
        source = client()
        chunks = source.blob(named(registry), layer_of(image), soon())
        next(chunks)
        chunks.close()
        assert source.resolve(named(registry), soon()).digest == image.digest


# --- each failure its own error


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(faulty.status(403, b'{"errors":[{"code":"DENIED"}]}'), Forbidden, id="403"),
        pytest.param(faulty.status(404), NotFound, id="404"),
        pytest.param(faulty.status(429), RateLimited, id="429"),
        pytest.param(faulty.status(500), ServerError, id="500"),
        pytest.param(faulty.status(418), ServerError, id="418"),
        pytest.param(faulty.reset(after=-1), Unreachable, id="reset"),
        pytest.param(faulty.stall(), DeadlineExceeded, id="stall"),
        pytest.param(faulty.drip(), DeadlineExceeded, id="drip"),
    ],
)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_failure(image, client, fault, error, kind):
    with Registry({"team/app:1": image}, faults={f"*/{kind}/*": fault}) as registry:
        source, limit = client(), soon(1.0 if error is DeadlineExceeded else 10.0)

        def fetch():
            if kind == "manifests":
                return source.resolve(named(registry), limit)
            return list(source.blob(named(registry), layer_of(image), limit))

        with pytest.raises(error) as caught:
            fetch()
    assert caught.value.detail.startswith(f"{registry.host}/team/app:1: ")


def test_what_is_not_there(image, client):
    with Registry({"team/app:1": image}) as registry:
        for rest, code in (("team/app:2", "MANIFEST_UNKNOWN"), ("no/such:1", "NAME_UNKNOWN")):
            with pytest.raises(NotFound, match=f"404 {code}"):
                client().resolve(named(registry, rest), soon())


def test_the_registry_is_shown_its_own_error_not_its_words(image, client):
    said = b'{"errors":[{"code":"DENIED","message":"token \\u001b[2J abcdef"}]}'
    with (
        Registry(faults={"*": faulty.status(403, said)}) as registry,
        pytest.raises(Forbidden) as caught,
    ):
        client().resolve(named(registry), soon())
    assert "403 DENIED" in caught.value.detail
    assert "abcdef" not in caught.value.detail
    assert caught.value.detail.isprintable()


# --- http and https


def test_plain_http_is_for_configured_hosts(image, client):
    with Registry({"team/app:1": image}) as registry:
        source = client(loopback_http=False, hosts={registry.host: HostSettings(plain_http=True)})
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert len(registry.requests) == 1


def test_without_it_https_is_all_there_is(image, client):
    """What the webhook does: a loopback registry is nothing special to it."""
    with Registry({"team/app:1": image}) as registry:
        with pytest.raises(TlsError, match="does not speak TLS"):
            client(loopback_http=False).resolve(named(registry), soon())
        assert registry.requests == []


def test_a_bad_certificate_is_no_reason_for_plain_http(image, client, server_tls):
    with Registry({"team/app:1": image}, tls=server_tls) as registry:
        with pytest.raises(TlsError, match="not trusted"):
            client().resolve(named(registry), soon())
        assert registry.requests == []


def test_https_on_loopback_stays_https(image, client, server_tls, ca_file):
    with Registry({"team/app:1": image}, tls=server_tls, name="localhost") as registry:
        source = client(default=HostSettings(ca_file=ca_file))
        assert source.resolve(named(registry), soon()).digest == image.digest


def test_a_name_on_loopback_is_not_loopback_enough(image, client):
    """Only hosts that say so themselves: what a name resolves to is somebody else's word."""
    with Registry({"team/app:1": image}, name="registry.test") as registry:
        with pytest.raises(TlsError):
            client(resolve=lambda _: ["127.0.0.1"]).resolve(named(registry), soon())
        assert registry.requests == []


def test_the_webhook_dials_no_loopback(image, client):
    with Registry({"team/app:1": image}) as registry:
        source = client(addresses=AddressRules(), loopback_http=False)
        with pytest.raises(Blocked, match="loopback address"):
            source.resolve(named(registry), soon())
        assert registry.requests == []


def test_docker_hub_has_another_host(client):
    asked = []

    def resolve(host):
        asked.append(host)
        return ["169.254.0.1"]

    with pytest.raises(Blocked, match=r"docker.io/library/alpine:3: registry-1.docker.io is 169"):
        client(resolve=resolve).resolve(Reference.parse("alpine:3"), soon())
    assert asked == ["registry-1.docker.io"]
