"""The connection to the API server: as a pod's ServiceAccount, or by a kubeconfig."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from webhook.errors import UsageError

_NONSENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What the client meets in a kubeconfig that is YAML, and no more."""


def configured(kubeconfig: Path | None) -> client.Configuration:
    """Where the API server is and who we are to it.

    Raises:
        UsageError: this is no pod and no file was given, or the file cannot be used.
    """
    settings = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError, *_NONSENSE) as error:
        hint = "" if kubeconfig else " (outside a cluster, name a --kubeconfig)"
        raise UsageError(f"{kubeconfig or 'the ServiceAccount'}: {error}{hint}") from error
    settings.retries = False
    return settings


def connect(settings: client.Configuration) -> DynamicClient:
    """A client, without a word to the server yet.

    Everything here is asked for by its path. The client's own discovery would ask at once,
    without a time limit, and keep what it learns in a file under ``/tmp``.
    """
    return DynamicClient(client.ApiClient(settings), discoverer=_no_discovery)  # type: ignore[no-untyped-call]


def _no_discovery(_client: DynamicClient, _cache: str | None) -> None:
    return None
