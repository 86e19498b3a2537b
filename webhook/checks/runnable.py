"""runnable: the container would start at all.

What it asks
    Is the command that the container would run in the image, and can this image run it?

Why
    Moving to a distroless base breaks what was never noticed: a start through sh -c, a probe
    that calls curl, a glibc binary on a musl base. That shows as a crash loop after the
    roll-out; here it shows before.

What it flags
    No command at all; a command that is not there or not executable (looked up in PATH as the
    runtime does, through symbolic links, from the working directory); an image for another
    architecture than the pod can land on or, where the pod does not say, than any node of the
    cluster has; a binary for another one than the image's; a missing ELF interpreter (the dynamic
    loader) or #! interpreter, also behind /usr/bin/env; a shared library that the binary needs
    (DT_NEEDED) and of whose name no file is anywhere in the image; and exec probes and lifecycle
    hooks whose command is missing.
    Not flagged: what cannot be known from the image, as commands below a volume mount, commands
    with a $(VARIABLE) whose value comes from elsewhere, and anything on Windows. Nor is anything
    looked up where PATH, the working directory or a command is longer than honest ones are.
    Of libraries nothing is said, either, where something else may bring them: LD_LIBRARY_PATH and
    its like or NVIDIA_VISIBLE_DEVICES, envFrom, a device plugin, NVIDIA's runtime, a volume over
    the folders they are in, ld.so.preload; where one is there, but in a folder that is not
    searched, of another version or for another machine; and of those that libraries need.

Remedy
    Name the program itself instead of a shell line, build statically or for the base's libc,
    and use httpGet, tcpSocket or grpc probes.

Options
    None: ``runnable: {}``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import chain

from webhook.checks.check import Check, Finding, Options, Subject
from webhook.image.config import ImageConfig
from webhook.image.lookup import DEFAULT_PATH, Hidden, Obstacle, Root
from webhook.image.platform import Platform, runs, runs_on
from webhook.pod import Container, ContainerKind

NAME = "runnable"
REMEDIES = {
    "commandMissing": "name a program that the image has; without a shell, name it directly",
    "interpreterMissing": "link it statically, or use a base that has the interpreter it needs",
    "libraryMissing": "copy it from the build stage, link statically, or use a base that has it",
    "architecture": "build the image for the platform it is published for",
    "notExecutable": "name a binary, or a script whose first line is #! and its interpreter",
}
_VARIABLE = re.compile(r"\$\$|\$\(([^)]+)\)")
_LOADER_VARIABLE = re.compile(r"LD_.*|NVIDIA_VISIBLE_DEVICES")
"""What tells dynamic loaders of other libraries, or NVIDIA's runtime to mount some."""
_PROBES = frozenset(("livenessProbe", "readinessProbe", "startupProbe"))
_LONGEST, _LONGEST_PATH, _MOST_FOLDERS = 1024, 4096, 64
"""Of a path, of ``PATH``, and of the folders in it. An image's config has room for millions, and
a lookup would take minutes."""


def _inspect(subject: Subject, _options: Options) -> Iterator[Finding]:
    container = subject.container
    if container.kind is ContainerKind.VOLUME or subject.windows:
        return
    yield from _landing(subject)
    config = subject.image.config
    path = _path(container, config)
    cwd = posixpath.join("/", container.working_dir or config.working_dir)
    if path is None or _excessive(path, cwd):
        return
    root = Root(
        programs=subject.image.files.programs,
        architecture=subject.image.platform.architecture,
        path=path,
        cwd=cwd,
        mounts=_mounts(container),
        libraries=not _brings_libraries(container, config),
    )
    yield from _command(container, config, root)
    for hook in container.hooks:
        # The kubelet expands variables in probes, and not in lifecycle hooks.
        word = hook.command[0] if hook.command else None
        if word is not None and hook.where in _PROBES:
            word = _expanded(word, container)
        obstacle = None if word is None else _obstacle(root, word)
        if obstacle is not None:
            yield _finding(
                "hookMissing",
                f'the {hook.where} runs "{word}", which {obstacle.detail}',
                "use httpGet, tcpSocket, grpc or sleep, or a program that the image has",
            )


def _landing(subject: Subject) -> Iterator[Finding]:
    """The image has to be for what the pod says it can land on, or else for some node there is."""
    wanted, platform = subject.workload.architectures, subject.image.platform
    if wanted is not None:
        if not any(runs(platform, one) for one in wanted):
            yield _finding(
                "architecture",
                f"it is for {platform}, and the pod can only land on {', '.join(sorted(wanted))}",
                "publish the image for that platform, or change the pod's node selector",
            )
        return
    nodes = subject.workload.nodes
    if nodes and not any(runs_on(platform, Platform.parse(node)) for node in nodes):
        yield _finding(
            "architecture",
            f"it is for {platform}, and the cluster's nodes are {', '.join(sorted(nodes))}",
            "publish the image for a platform of the cluster",
        )


def _command(container: Container, config: ImageConfig, root: Root) -> Iterator[Finding]:
    """Judge the first word of what containerd's WithProcessArgs would start."""
    words, whose = _words(container, config)
    if not words:
        yield _finding(
            "noCommand",
            "neither the pod nor the image names a command",
            "set ENTRYPOINT in the image, or command in the pod",
        )
        return
    word = words[0] if whose.startswith("the image") else _expanded(words[0], container)
    obstacle = None if word is None else _obstacle(root, word)
    if obstacle is not None:
        yield _finding(
            obstacle.reason, f'{whose} "{word}" {obstacle.detail}', REMEDIES[obstacle.reason]
        )


def _words(container: Container, config: ImageConfig) -> tuple[tuple[str, ...], str]:
    """The command line as far as its first word, and whose it is."""
    if container.command:
        return container.command, "the pod's command"
    if config.entrypoint:
        return config.entrypoint, "the image's entrypoint"
    if container.args:
        return container.args, "the pod's args"
    return config.cmd or (), "the image's cmd"


def _excessive(path: str, cwd: str) -> bool:
    folders = path.count(":") + 1
    return len(cwd) > _LONGEST or len(path) > _LONGEST_PATH or folders > _MOST_FOLDERS


def _obstacle(root: Root, command: str) -> Obstacle | None:
    if len(command) > _LONGEST:
        return None
    try:
        return root.obstacle(command)
    except Hidden:
        return None  # a volume may hold it


def _expanded(word: str, container: Container) -> str | None:
    """The word as the kubelet passes it on; None where a value comes from elsewhere."""
    known = {name: value for name, value in container.env.items() if "$" not in value}
    if any(name and name not in known for name in _VARIABLE.findall(word)):
        return None
    return _VARIABLE.sub(lambda match: known[match[1]] if match[1] else "$", word)


def _path(container: Container, config: ImageConfig) -> str | None:
    """The container's PATH; None where its value comes from elsewhere (``valueFrom``)."""
    if "PATH" in container.env:
        return _expanded(container.env["PATH"], container)
    if "PATH" in _named(container):
        return None
    path = config.variable("PATH")
    return DEFAULT_PATH if path is None else path


def _brings_libraries(container: Container, config: ImageConfig) -> bool:
    """Whether loaders may find libraries that are not in the image, volumes apart."""
    document = container.document
    variables = chain((line.partition("=")[0] for line in config.env), _named(container))
    if document.get("envFrom") or any(map(_LOADER_VARIABLE.fullmatch, variables)):
        return True
    resources = document.get("resources")
    asked = resources if isinstance(resources, dict) else {}
    amounts = (asked.get(key) for key in ("limits", "requests"))
    devices = chain.from_iterable(each for each in amounts if isinstance(each, dict))
    return bool(asked.get("claims")) or any("/" in device for device in devices)


def _named(container: Container) -> Iterator[str]:
    """The variables that the container sets, to whatever value."""
    yield from container.env
    named = container.document.get("env")
    for item in named if isinstance(named, list) else ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield item["name"]


def _mounts(container: Container) -> tuple[str, ...]:
    mounts = container.document.get("volumeMounts")
    paths = [
        mount.get("mountPath")
        for mount in (mounts if isinstance(mounts, list) else ())
        if isinstance(mount, dict)
    ]
    return tuple(posixpath.join("/", path) for path in paths if isinstance(path, str) and path)


def _finding(reason: str, detail: str, remedy: str) -> Finding:
    return Finding(check=NAME, result="fail", reason=reason, detail=detail, remedy=remedy)


CHECK = Check(name=NAME, title="would start", options=Options, inspect=_inspect)
