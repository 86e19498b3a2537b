"""What programs are called."""

from __future__ import annotations

import pytest

from webhook.image import names


@pytest.mark.parametrize(
    "base, expected",
    [
        *(
            (shell, shell)
            for shell in [
                "sh",
                "ash",
                "bash",
                "rbash",
                "dash",
                "zsh",
                "ksh",
                "ksh93",
                "mksh",
                "lksh",
                "pdksh",
                "yash",
                "csh",
                "tcsh",
                "fish",
                "hush",
                "busybox",
                "toybox",
                "elvish",
                "nu",
                "xonsh",
                "pwsh",
                "powershell",
                "gosh",
                "murex",
                "rc",
                "es",
                "posh",
            ]
        ),
        ("bash-5.2", "bash"),
        ("pwsh-preview", "pwsh"),
        ("zsh-5.9", "zsh"),
        ("bash-static", "bash"),
        ("static-sh", "sh"),
        ("busybox.static", "busybox"),
        ("busybox-extras", "busybox"),
        ("sh.distrib", "sh"),
        ("shasum", None),
        ("bashbug", None),
        ("git-shell", None),
        ("fish_indent", None),
        ("sh.py", None),
        ("SH", None),
        ("", None),
    ],
)
def test_shells(base: str, expected: str | None) -> None:
    assert names.shell(base.encode()) == expected


@pytest.mark.parametrize(
    "base, expected",
    [
        *(
            (name, name)
            for name in [
                "apk",
                "apt",
                "apt-get",
                "aptitude",
                "dpkg",
                "rpm",
                "dnf",
                "microdnf",
                "yum",
                "zypper",
                "pacman",
                "pip",
                "pipx",
                "npm",
                "npx",
                "yarn",
                "pnpm",
                "corepack",
                "gem",
                "bundle",
                "conda",
                "mamba",
                "micromamba",
                "uv",
                "poetry",
                "composer",
                "brew",
                "nix",
                "opkg",
                "tdnf",
                "emerge",
                "xbps-install",
            ]
        ),
        ("pip3", "pip"),
        ("pip3.13", "pip"),
        ("dnf5", "dnf"),
        ("dnf-3", "dnf"),
        ("gem3.1", "gem"),
        ("apk.static", "apk"),
        ("composer.phar", "composer"),
        ("apt-compat", None),
        ("dpkg-query", None),
        ("npm-cli.js", None),
        ("pipe", None),
        ("rpm2cpio", None),
        ("node", None),
    ],
)
def test_package_managers(base: str, expected: str | None) -> None:
    assert names.package_manager(base.encode()) == expected


@pytest.mark.parametrize(
    "base, expected",
    [
        *(
            (name, name)
            for name in [
                "gcc",
                "g++",
                "cc",
                "c++",
                "clang",
                "clang++",
                "ld",
                "as",
                "make",
                "cmake",
                "ninja",
                "git",
                "gdb",
                "javac",
                "go",
                "rustc",
                "cargo",
                "pkg-config",
                "autoconf",
            ]
        ),
        ("gcc-12", "gcc"),
        ("x86_64-linux-gnu-gcc-12", "gcc"),
        ("aarch64-alpine-linux-musl-g++", "g++"),
        ("clang-16", "clang"),
        ("ld.bfd", "ld.bfd"),
        ("x86_64-linux-gnu-ld.gold", "ld.gold"),
        ("gcc-14-base", None),
        ("gitk", None),
        ("cc-by", None),
        ("java", None),
        ("golang", None),
        ("makedb", None),
        ("git-upload-pack", None),
    ],
)
def test_build_tools(base: str, expected: str | None) -> None:
    assert names.build_tool(base.encode()) == expected


def test_applets_are_no_shells() -> None:
    for applet in names.APPLETS:
        assert names.shell(applet) in {None, "busybox"}


def test_applets_that_manage_packages_are_package_managers_all_the_same() -> None:
    managers = {name for name in names.APPLETS if names.package_manager(name)}
    assert managers == {b"dpkg", b"rpm"}


def test_names_that_are_not_utf8_are_just_unknown() -> None:
    assert names.shell(b"\xff\xfesh") is None
