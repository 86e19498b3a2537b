"""The same against docker's own registry, with a password file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import urllib3

from tests.cluster.support.processes import free_port, listens, running
from tests.registry.conftest import layer_of, soon
from tests.support import forge
from webhook.errors import NotFound, Unauthorized
from webhook.gather.credentials import Credentials
from webhook.image.digest import verified
from webhook.image.reference import Reference

pytestmark = pytest.mark.skipif(
    not shutil.which("docker-registry"), reason="docker-registry is not installed"
)

# bcrypt of "s3cret": the only form that docker-registry takes.
PASSWORDS = "user:$2b$05$gQJPz5A.qMxXYcgJnYpY2u3TcYDdI/txRal4K0z1ogmqd4mxtgFV2\n"
USER = Credentials(username="user", password="s3cret")


@dataclass
class Server:
    host: str

    def put(self, image: forge.Image, name: str, tag: str) -> Reference:
        """Push it, as simply as the specification allows."""
        base = f"http://{self.host}/v2/{name}"
        headers = urllib3.make_headers(basic_auth="user:s3cret")
        with urllib3.PoolManager(headers=headers) as http:
            for digest, blob in image.blobs.items():
                upload = http.request("POST", f"{base}/blobs/uploads/").headers["Location"]
                joint = "&" if "?" in upload else "?"
                put = http.request("PUT", f"{upload}{joint}digest={digest}", body=blob)
                assert put.status == 201, put.data
            kind = {**headers, "Content-Type": image.media_type}
            put = http.request("PUT", f"{base}/manifests/{tag}", body=image.body, headers=kind)
            assert put.status == 201, put.data
        return Reference.parse(f"{self.host}/{name}:{tag}")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    host = f"127.0.0.1:{port}"
    (folder / "htpasswd").write_text(PASSWORDS)
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    command = ["docker-registry", "serve", folder / "config.yml"]
    with running(command, log=folder / "log", ready=lambda: listens(port)):
        yield Server(host)


def test_an_image(server, client, image):
    reference = server.put(image, "team/app", "1")
    source = client(USER)

    document = source.resolve(reference, soon())
    layer = layer_of(image)

    assert (document.body, document.digest) == (image.body, image.digest)
    assert document.media_type == image.media_type
    blob = verified(source.blob(reference, layer, soon()), layer, 1 << 20)
    assert blob == image.blobs[layer.digest]


@pytest.mark.parametrize("account", [None, Credentials(username="user", password="wrong")])
def test_without_the_right_password(server, client, image, account):
    reference = server.put(image, "team/app", "1")
    with pytest.raises(Unauthorized, match="401 UNAUTHORIZED"):
        client(account).resolve(reference, soon())


@pytest.mark.parametrize(("name", "code"), [("team/app:none", "MANIFEST_UNKNOWN"), ("none:1", "")])
def test_what_is_not_there(server, client, image, name, code):
    server.put(image, "team/app", "1")
    with pytest.raises(NotFound, match=f"404 {code}"):
        client(USER).resolve(Reference.parse(f"{server.host}/{name}"), soon())
