"""runnable: would the command start, as containerd, runc and the kernel start it?"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.checks.subjects import found, image, subject
from webhook.checks.runnable import CHECK
from webhook.image.facts import Executable, Programs
from webhook.pod import ContainerKind, Hook

ELF = Executable(kind="elf", machine="amd64")
GLIBC = Executable(kind="elf", machine="amd64", interpreter="/lib64/ld-linux-x86-64.so.2")
PATH = ("PATH=/usr/bin:/bin",)


def asked(
    executables, *, links=None, entrypoint=None, cmd=None, image_env=PATH, cwd="", **container
):
    facts = image(
        contents={"programs": Programs(executables=executables, links=links or {})},
        entrypoint=entrypoint,
        cmd=cmd,
        env=image_env,
        working_dir=cwd,
    )
    return subject(facts, **container)


def script(interpreter, argument=None):
    return Executable(kind="script", interpreter=interpreter, interpreter_argument=argument)


@pytest.mark.parametrize(
    ("config", "container", "expected"),
    [
        pytest.param(
            {},
            {},
            [("noCommand", "neither the pod nor the image names a command")],
            id="no command",
        ),
        pytest.param({"entrypoint": ("/app",)}, {}, [], id="entrypoint"),
        pytest.param({"cmd": ("/app",)}, {}, [], id="cmd"),
        pytest.param({"cmd": ("/gone",)}, {"args": ("/app",)}, [], id="args replace cmd"),
        pytest.param({"entrypoint": ("/gone",)}, {"command": ("/app",)}, [], id="command wins"),
        pytest.param({"entrypoint": ("/app",)}, {"command": ()}, [], id="an empty command is none"),
        pytest.param(
            {"entrypoint": ("/app",)},
            {"command": ("sh", "-c", "/app")},
            [("commandMissing", 'the pod\'s command "sh" is not in PATH (/usr/bin:/bin)')],
            id="sh -c on distroless",
        ),
        pytest.param(
            {"entrypoint": ("/app/server",)},
            {},
            [
                (
                    "commandMissing",
                    (
                        'the image\'s entrypoint "/app/server" is not in the image, or is not '
                        "executable"
                    ),
                )
            ],
            id="not there",
        ),
        pytest.param({"cmd": ("node",)}, {}, [], id="in PATH"),
        pytest.param(
            {"cmd": ("node",), "image_env": ("PATH=/bin",)},
            {},
            [("commandMissing", 'the image\'s cmd "node" is not in PATH (/bin)')],
            id="not in this PATH",
        ),
        pytest.param({"cmd": ("node",), "image_env": ()}, {}, [], id="the default PATH"),
        pytest.param(
            {"cmd": ("node",)},
            {"env": {"PATH": "/opt"}},
            [("commandMissing", 'the image\'s cmd "node" is not in PATH (/opt)')],
            id="the pod's PATH",
        ),
        pytest.param(
            {"cmd": ("node",)},
            {"document": {"env": [{"name": "PATH", "valueFrom": {}}]}, "env": {}},
            [],
            id="PATH from elsewhere",
        ),
        pytest.param({"cmd": ("./node",), "cwd": "/usr/bin"}, {}, [], id="working directory"),
        pytest.param({"cmd": ("./node",)}, {"working_dir": "/usr/bin"}, [], id="the pod's own"),
        pytest.param({"cmd": ("$(BIN)",)}, {}, ["commandMissing"], id="the image's are literal"),
        pytest.param({}, {"command": ("$(BIN)",)}, [], id="variable from elsewhere"),
        pytest.param(
            {}, {"command": ("$(BIN)",), "env": {"BIN": "/app"}}, [], id="variable, known"
        ),
        pytest.param(
            {},
            {"command": ("$(BIN)",), "env": {"BIN": "/gone"}},
            ["commandMissing"],
            id="variable, known and wrong",
        ),
        pytest.param({}, {"command": ("$$(X)",)}, ["commandMissing"], id="an escaped dollar"),
        pytest.param({}, {"command": ("$(1 A/B)",)}, [], id="a name of any characters"),
        pytest.param(
            {"cmd": ("node",)},
            {"env": {"PATH": "/opt:$(HOME)/bin", "HOME": "/usr"}},
            [],
            id="a PATH of variables",
        ),
        pytest.param(
            {"cmd": ("node",)}, {"env": {"PATH": "$(BIN)"}}, [], id="a PATH from elsewhere"
        ),
        pytest.param(
            {},
            {"command": ("/data/x",), "document": {"volumeMounts": [{"mountPath": "/data/"}]}},
            [],
            id="below a volume",
        ),
        pytest.param({}, {"kind": ContainerKind.VOLUME}, [], id="a volume never starts"),
        pytest.param({}, {"pod": {"os": "windows"}}, [], id="windows"),
    ],
)
def test_command(config, container, expected):
    """Which word is started, and where it is looked for."""
    answer = found(CHECK, asked({"/app": ELF, "/usr/bin/node": ELF}, **config, **container))
    assert answer == expected or [reason for reason, _ in answer] == expected


@pytest.mark.parametrize(
    ("executables", "links", "expected"),
    [
        pytest.param({"/app": ELF}, {}, [], id="static"),
        pytest.param(
            {"/app": GLIBC},
            {},
            [
                (
                    "interpreterMissing",
                    (
                        "needs /lib64/ld-linux-x86-64.so.2, which the image does not have (a glibc "
                        "binary on a musl or static base)"
                    ),
                )
            ],
            id="glibc on musl",
        ),
        pytest.param(
            {"/app": GLIBC, "/usr/lib64/ld-linux-x86-64.so.2": ELF},
            {"/lib64": "usr/lib64"},
            [],
            id="loader through a merged folder",
        ),
        pytest.param(
            {"/app": Executable(kind="elf", machine="arm64")},
            {},
            [("architecture", "is built for arm64, and the image is for amd64")],
            id="another architecture",
        ),
        pytest.param(
            {"/app": Executable(kind="elf", machine="386")}, {}, [], id="386 runs on amd64"
        ),
        pytest.param(
            {"/app": Executable(kind="other")},
            {},
            [("notExecutable", "is neither an ELF binary nor a script with #!")],
            id="text",
        ),
        pytest.param({"/app": script("/bin/sh"), "/bin/sh": ELF}, {}, [], id="script"),
        pytest.param(
            {"/app": script("/bin/bash")},
            {},
            [
                (
                    "interpreterMissing",
                    "is a script for /bin/bash, which the image does not have",
                )
            ],
            id="script without its shell",
        ),
        pytest.param(
            {"/app": script("/bin/sh\r"), "/bin/sh": ELF},
            {},
            [
                (
                    "interpreterMissing",
                    (
                        "is a script for '/bin/sh\\r', which the image does not have (its lines "
                        "end as on Windows)"
                    ),
                )
            ],
            id="CRLF",
        ),
        pytest.param(
            {"/app": script("/usr/bin/env", "-S node --x"), "/usr/bin/env": ELF},
            {},
            [
                (
                    "interpreterMissing",
                    "is a script for node, which is not in PATH (/usr/bin:/bin)",
                )
            ],
            id="env without node",
        ),
        pytest.param(
            {"/app": script("/usr/bin/env", "node"), "/usr/bin/env": ELF, "/bin/node": ELF},
            {},
            [],
            id="env with node",
        ),
        pytest.param(
            {"/app": script("/app")},
            {},
            [("notExecutable", "is a script run by scripts, too deep")],
            id="its own interpreter",
        ),
        pytest.param({"/bin/app": ELF}, {"/app": "bin/../bin/./app"}, [], id="link"),
        pytest.param(
            {},
            {"/app": "/loop", "/loop": "/app"},
            [("commandMissing", "is not in the image, or is not executable")],
            id="links in circles",
        ),
    ],
)
def test_program(executables, links, expected):
    """What the kernel would say."""
    answer = found(CHECK, asked(executables, links=links, entrypoint=("/app",)))
    assert answer == [
        (reason, f'the image\'s entrypoint "/app" {what}') for reason, what in expected
    ]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"image_env": ("PATH=" + ":".join(["/a"] * 1_000_000),)}, id="folders"),
        pytest.param({"cwd": "/" + "a/" * 1_000_000, "image_env": ("PATH=b:c",)}, id="directory"),
        pytest.param({"cmd": ("/" + "a/" * 1_000_000,)}, id="command"),
    ],
)
def test_what_would_take_minutes_is_not_looked_up(config):
    """A config of 8 MiB must not stop whoever judges it."""
    begin = time.process_time()
    assert found(CHECK, asked({}, **{"cmd": ("node",), **config})) == []
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("where", "word", "expected"),
    [
        pytest.param("readinessProbe", "$(BIN)", [], id="a probe, known"),
        pytest.param("readinessProbe", "$(OTHER)", [], id="a probe, from elsewhere"),
        pytest.param("readinessProbe", "$(GONE)", ["hookMissing"], id="a probe, wrong"),
        pytest.param("preStop", "$(BIN)", ["hookMissing"], id="lifecycle hooks are literal"),
    ],
)
def test_variables_of_hooks(where, word, expected):
    """The kubelet expands them in probes only."""
    hooks = (Hook(where=where, command=(word,)),)
    env = {"BIN": "/app", "GONE": "/gone"}
    answer = found(CHECK, asked({"/app": ELF}, entrypoint=("/app",), hooks=hooks, env=env))
    assert [reason for reason, _ in answer] == expected


def test_hooks():
    """Probes and lifecycle hooks start programs, too."""
    hooks = (
        Hook(where="livenessProbe", command=("curl", "-f", "localhost")),
        Hook(where="preStop", command=("/app", "stop")),
        Hook(where="postStart", command=()),
    )
    assert found(CHECK, asked({"/app": ELF}, entrypoint=("/app",), hooks=hooks)) == [
        (
            "hookMissing",
            'the livenessProbe runs "curl", which is not in PATH (/usr/bin:/bin)',
        )
    ]


LACKING = Executable(
    kind="elf",
    machine="amd64",
    interpreter="/lib64/ld-linux-x86-64.so.2",
    lacks="libz.so.1",
    run_path="$ORIGIN/../deps:/opt/lib",
)
LOADER = {"/lib64/ld-linux-x86-64.so.2": ELF}


def mounted(*paths):
    return {"document": {"volumeMounts": [{"mountPath": path} for path in paths]}}


def test_a_library_is_missing():
    """What the dynamic loader would say."""
    answer = found(CHECK, asked({"/app": LACKING, **LOADER}, entrypoint=("/app",)))
    assert answer == [
        (
            "libraryMissing",
            (
                'the image\'s entrypoint "/app" needs the library libz.so.1, and no file in the '
                "image has that name"
            ),
        )
    ]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"image_env": (*PATH, "LD_LIBRARY_PATH=/x")}, id="the image's variable"),
        pytest.param({"env": {"LD_PRELOAD": "/x.so"}}, id="the pod's variable"),
        pytest.param({"image_env": (*PATH, "NVIDIA_VISIBLE_DEVICES=all")}, id="NVIDIA's runtime"),
        pytest.param({"document": {"envFrom": [{}]}}, id="variables that nobody knows"),
        pytest.param(
            {"document": {"env": [{"name": "LD_AUDIT", "valueFrom": {}}]}}, id="from elsewhere"
        ),
        pytest.param(
            {"document": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}, id="a device plugin"
        ),
        pytest.param({"document": {"resources": {"claims": [{"name": "gpu"}]}}}, id="a claim"),
        pytest.param(mounted("/"), id="a volume over all"),
        pytest.param(mounted("/usr/lib/x86_64-linux-gnu"), id="over libraries"),
        pytest.param(mounted("/usr/local/lib/libz.so.1"), id="one library"),
        pytest.param(mounted("/tmp", "/usr"), id="the second, above libraries"),
        pytest.param(mounted("/etc"), id="over ld.so.cache"),
        pytest.param(mounted("/opt/lib/x"), id="below its run path"),
        pytest.param(mounted("/deps"), id="at its run path, by $ORIGIN"),
        pytest.param(mounted("/real"), id="where its run path leads"),
        pytest.param(mounted(*("/m",) * 65), id="more volumes than honest pods have"),
    ],
)  # fmt: skip
def test_libraries_from_elsewhere(more):
    """A warning that is wrong would be worse than none."""
    assert found(CHECK, asked(
        {"/app": LACKING, **LOADER}, links={"/opt/lib": "/real"}, entrypoint=("/app",), **more
    )) == []  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        mounted("/var/run/secrets/kubernetes.io/serviceaccount", "/tmp", "/data", "/etc/app"),
        {"document": {"resources": {"limits": {"memory": "1Gi"}, "requests": None}}},
        {"document": {"resources": "none", "env": "none", "volumeMounts": "none"}},
        {"env": {"LANG": "C"}, "image_env": (*PATH, "XLD_PRELOAD=1")},
        {"document": {"envFrom": []}},
    ],
)
def test_what_brings_no_libraries(more):
    answer = found(CHECK, asked({"/app": LACKING, **LOADER}, entrypoint=("/app",), **more))
    assert [reason for reason, _ in answer] == ["libraryMissing"]


def test_a_run_path_that_only_loaders_understand():
    """``$LIB`` may be anything; it matters only where there is a volume."""
    program = replace(LACKING, run_path="/opt/$LIB")
    asked_for = {"/app": program, **LOADER}
    assert found(CHECK, asked(asked_for, entrypoint=("/app",), **mounted("/data"))) == []
    assert len(found(CHECK, asked(asked_for, entrypoint=("/app",)))) == 1


def test_the_interpreter_of_a_script_lacks_a_library():
    """As well as a program that env starts, unless env tells its loader more."""
    there = {"/bin/node": LACKING, **LOADER, "/usr/bin/env": ELF}
    for line, expected in {
        ("/bin/node", None): ["libraryMissing"],
        ("/usr/bin/env", "node"): ["libraryMissing"],
        ("/usr/bin/env", "-S X=1 node"): ["libraryMissing"],
        ("/usr/bin/env", "-S LD_LIBRARY_PATH=/x node"): [],
        ("/usr/bin/env", "-S PATH=/x node"): [],
    }.items():
        answer = found(CHECK, asked({"/app": script(*line), **there}, entrypoint=("/app",)))
        assert [reason for reason, _ in answer] == expected, line


def test_a_loader_that_is_missing_comes_first():
    answer = found(CHECK, asked({"/app": LACKING}, entrypoint=("/app",)))
    assert [reason for reason, _ in answer] == ["interpreterMissing"]


def test_needs_the_layers():
    """Not looked is not the same as not there."""
    assert found(CHECK, subject(image(read=False))) is None


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({}, []),
        ({"nodes": frozenset({"linux/amd64", "linux/arm64"})}, []),
        (
            {"nodes": frozenset({"linux/arm64", "linux/s390x"})},
            ["it is for linux/amd64, and the cluster's nodes are linux/arm64, linux/s390x"],
        ),
        (
            {"nodes": frozenset({"windows/amd64"})},
            ["it is for linux/amd64, and the cluster's nodes are windows/amd64"],
        ),
        ({"architectures": frozenset({"amd64"}), "nodes": frozenset({"linux/arm64"})}, []),
        (
            {"architectures": frozenset({"arm64"}), "nodes": frozenset({"linux/amd64"})},
            ["it is for linux/amd64, and the pod can only land on arm64"],
        ),
    ],
)
def test_where_it_can_land(pod, expected):
    """What the pod says counts before the nodes that there are: more can come."""
    told = found(CHECK, subject(image(), pod=pod))
    assert told == [("architecture", detail) for detail in expected]
