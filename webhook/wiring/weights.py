"""What the things that are remembered weigh: about as many bytes as they take of memory.

Whoever builds an image chooses how long its labels, paths and history are, so counting the
images, or their files, would bound nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from webhook.gather.source import Gathered, ImageRequest, Unread
from webhook.image.config import ImageConfig
from webhook.image.facts import Files, ImageFacts
from webhook.image.layer import Layer
from webhook.pod import Account

_OBJECT = 256
"""An entry, an executable, a string: each with the objects around it."""


def of_gathered(gathered: Gathered) -> int:
    """Manifests and configs of an image on its platforms."""
    return sum(_OBJECT if isinstance(item, Unread) else _facts(item) for item in gathered)


def of_request(request: ImageRequest) -> int:
    """The key of an image: a pod says much of it."""
    of_pod = (*request.nodes, *(request.architectures or ()))
    return _OBJECT + _texts(of_pod) + (of_account(request.account) if request.account else 0)


def of_account(account: Account) -> int:
    """The key of what is known on somebody's behalf."""
    return _texts((account.namespace, account.service_account, *account.pull_secrets))


def of_layer(layer: Layer | bytes) -> int:
    """A layer's entries, and the few bodies that are kept; or the same packed."""
    if isinstance(layer, bytes):
        return _OBJECT + len(layer)
    paths = sum(len(entry.path) + len(entry.link) for entry in layer.entries)
    bodies = sum(map(len, layer.bodies.values()))
    return _OBJECT * (1 + len(layer.entries) + len(layer.problems)) + paths + bodies


def of_files(files: Files) -> int:
    """What is known of a merged file system."""
    programs, found = files.programs, files.shells + files.package_managers
    found += files.build_tools + files.interpreters + files.packed + files.setuid
    texts = [*programs.executables, *(item for pair in programs.links.items() for item in pair)]
    texts += [each.path for each in found] + [each.detail for each in files.problems]
    texts += [item for pair in files.os_release.items() for item in pair]
    return _OBJECT + _texts(texts) + _texts(files.package_databases)


def _facts(facts: ImageFacts) -> int:
    return _OBJECT * (1 + 3 * len(facts.layers)) + _config(facts.config)


def _config(config: ImageConfig) -> int:
    labels = _texts(config.labels) + _texts(config.labels.values())
    steps = _texts(step.created_by for step in config.history)
    words = (*(config.entrypoint or ()), *(config.cmd or ()), *config.env, *config.diff_ids)
    return labels + steps + _texts(words) + _texts((config.user, config.working_dir))


def _texts(texts: Iterable[str]) -> int:
    return sum(_OBJECT // 2 + len(text) for text in texts)
