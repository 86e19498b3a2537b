"""The connection to the API server: as a pod's ServiceAccount, or by a kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from webhook.errors import UsageError

_NONSENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What the client meets in a kubeconfig that is YAML, and no more."""


def configured(kubeconfig: Path | None, *, search: bool = False) -> client.Configuration:
    """Where the API server is and who we are to it: by the file, else as a pod's ServiceAccount.

    With ``search``, a file that is not named is looked for where kubectl does.

    Raises:
        UsageError: this is no pod and no file was given, or the file cannot be used.
    """
    settings = client.Configuration()
    file = str(kubeconfig or (search and _where_kubectl_looks()) or "")
    try:
        if not file:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(file, client_configuration=settings)  # type: ignore[no-untyped-call]
    except _NONSENSE as error:
        raise UsageError(f"{file or 'the ServiceAccount'}: is no kubeconfig") from error
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        hint = "" if file else " (outside a cluster, name a --kubeconfig)"
        said = " ".join(str(error).split())
        raise UsageError(f"{file or 'the ServiceAccount'}: {said}{hint}") from error
    settings.retries = False
    return settings


def connect(settings: client.Configuration) -> DynamicClient:
    """A client, without a word to the server yet.

    Everything here is asked for by its path. The client's own discovery would ask at once,
    without a time limit, and keep what it learns in a file under ``/tmp``.
    """
    return DynamicClient(client.ApiClient(settings), discoverer=_no_discovery)  # type: ignore[no-untyped-call]


def _where_kubectl_looks() -> str:
    """Those files of ``KUBECONFIG``, or of its default, that are there; as it writes several."""
    places = config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    return os.pathsep.join(one for one in places if one and Path(one).expanduser().exists())


def _no_discovery(_client: DynamicClient, _cache: str | None) -> None:
    return None
