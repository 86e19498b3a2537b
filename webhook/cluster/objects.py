"""Single objects of the Kubernetes API as documents: read, written, patched, with time limits.

By path, so that neither discovery nor the typed client is needed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from webhook.errors import SlimgateError

Document = dict[str, Any]
NOT_FOUND, FORBIDDEN, CONFLICT, INVALID = 404, 403, 409, 422
_SECONDS = (5.0, 10.0)
"""To connect, and for the answer."""


class ApiRefused(SlimgateError):  # noqa: N818 - named for what happened, as those of errors.py
    """The API server refused, or was not reached (``status`` 0)."""

    def __init__(self, detail: str, *, status: int) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the API server answered."""

    document: Document
    warnings: tuple[str, ...]
    """``Warning`` headers, whole."""


class Objects:
    """Objects by their path, such as ``/api/v1/namespaces/NS/secrets/NAME``."""

    def __init__(self, api: DynamicClient) -> None:
        self._api = api

    def get(self, path: str) -> Document | None:
        """The object, or None where there is none."""
        try:
            return self.ask("get", path).document
        except ApiRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def put(self, path: str, document: Document) -> Document:
        """Replace it, if it still has the ``resourceVersion`` that the document has."""
        return self.ask("put", path, document).document

    def create(self, path: str, document: Document) -> Document:
        """Create it; the path is the collection's."""
        return self.ask("post", path, document).document

    def patch(self, path: str, steps: list[Document]) -> Document:
        """Apply a JSON patch."""
        return self.ask("patch", path, steps, kind="application/json-patch+json").document

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request.

        Raises:
            ApiRefused: it was refused, or the API server was not reached.
        """
        try:
            response = self._api.request(
                method,
                path,
                body=body,
                content_type=kind,
                query_params=[*(query or {}).items()],
                serialize=False,
                _request_timeout=_SECONDS,
            )
            document = json.loads(response.data)
        except ApiException as error:
            raise ApiRefused(f"{path}: {_said(error)}", status=error.status or 0) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiRefused(f"{path}: {type(error).__name__}: {error}", status=0) from error
        return Answered(document=document, warnings=tuple(response.headers.getlist("warning")))


def secret_data(secret: Document | None) -> dict[str, bytes]:
    """A Secret's data, decoded; what is no base64 is empty."""
    found: dict[str, bytes] = {}
    for name, text in ((secret or {}).get("data") or {}).items():
        try:
            found[name] = base64.b64decode(text or "", validate=True)
        except (binascii.Error, ValueError):
            found[name] = b""
    return found


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """As the ``data`` of a Secret."""
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def _said(error: ApiException) -> str:
    """The message of the ``Status``; bounded, and without headers."""
    try:
        message = str(json.loads(error.body or "")["message"])
    except (ValueError, LookupError, TypeError):
        message = str(error.reason)
    return f"{error.status} {message[:500]}"
