"""Published images, and other projects' test archives, each inspected: docs/images.md holds."""

from __future__ import annotations

import pytest

from scripts import images

PLACE = images.folder()
WHY = "no real images: name their folder in SLIMGATE_REAL_IMAGES"
ROWS = {
    line.split("`")[1]: line
    for line in (images.PAGE.read_text() if images.PAGE.exists() else "").splitlines()
    if line.startswith("| `")
}


@pytest.mark.skipif(PLACE is None, reason=WHY)
@pytest.mark.parametrize("name", images.names(PLACE) if PLACE else [])
def test_finds_what_the_table_says(name):
    """The row in docs/images.md is what ``slimgate inspect`` finds today."""
    assert images.row(PLACE, name) == ROWS[name]


@pytest.mark.skipif(PLACE is None, reason=WHY)
def test_table_has_every_image():
    """No image is left out, and none is there that is gone."""
    assert sorted(ROWS) == images.names(PLACE)


# From the images' own sources, not from slimgate: what each is known to be.
KNOWN = {
    "docker-archive:trivy-alpine-310.tar.gz": (True, {"/bin/sh"}, {"/sbin/apk"}),
    "docker-archive:trivy-alpine-311.tar.gz": (True, {"/bin/sh"}, {"/sbin/apk"}),
    "oci:busybox-musl-amd64": (True, {"/bin/sh", "/bin/busybox"}, set()),
    "oci:busybox-glibc-amd64": (True, {"/bin/sh", "/bin/busybox"}, set()),
    "oci:busybox-uclibc-amd64": (True, {"/bin/sh", "/bin/busybox"}, set()),
    "oci:busybox-musl-arm64v8": (True, {"/bin/sh", "/bin/busybox"}, set()),
    "docker-archive:rulesdocker-pause.tar": (True, None, set()),
    "docker-archive:crio-image.tar": (True, None, set()),
    "docker-archive:dockle-scratch.tar": (None, None, set()),
}
"""Root; shells that must be among those found (None: there is none); package managers, too."""


@pytest.mark.skipif(PLACE is None, reason=WHY)
@pytest.mark.parametrize("name", KNOWN)
def test_finds_what_is_known(name):
    """Root, shells and package managers of images whose content is documented elsewhere."""
    root, shells, managers = KNOWN[name]
    facts = images.inspect(PLACE, name)
    paths = {one["path"] for one in facts["shells"]}
    assert facts["user"]["root"] is root
    assert shells <= paths if shells else not paths
    assert managers <= {one["path"] for one in facts["packageManagers"]}
