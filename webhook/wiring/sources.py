"""One source for every image: archives that were named on the command line, else registries.

A pod cannot name an archive: what one goes by is a name that was opened here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from webhook.errors import ImageError
from webhook.gather.credentials import PodCredentials
from webhook.gather.source import AccountSource, Document, ImageSource
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.pod import Account
from webhook.registry.archive import is_archive, open_archive
from webhook.settings import Settings

if TYPE_CHECKING:
    from webhook.wiring.registries import Registries


class Sources:
    """An ``ImageSource``. Safe for threads once the archives are opened."""

    def __init__(self, settings: Settings, pods: PodCredentials | None = None) -> None:
        """``pods`` knows the credentials of pods, where it matters whose image it is."""
        self._settings, self._pods = settings, pods
        self._archives: dict[Reference, ImageSource] = {}
        self._registries: Registries | None = None
        self._closing = ExitStack()
        self._lock = Lock()

    def open(self, argument: str) -> Reference:
        """The reference that an image argument goes by from here on.

        An archive that cannot be opened has one, too: whoever asks for it is told why.

        Raises:
            Malformed: the argument is no image's name.
            UsageError: it begins like an archive, and is none.
        """
        if not is_archive(argument):
            return Reference.parse(argument)
        source: ImageSource
        try:
            source, reference = open_archive(argument, limits=self._settings.limits)
        except ImageError as error:
            source, reference = _Broken(error), _unnamed(len(self._archives))
        self._archives[reference] = source
        return reference

    def near(self, reference: Reference) -> bool:
        """Whether the image is an archive on this machine."""
        return reference in self._archives

    def resolve(
        self, reference: Reference, deadline: Deadline, most: int | None = None
    ) -> Document:
        """As ``ImageSource.resolve``."""
        return self._of(reference).resolve(reference, deadline, most)

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        """As ``ImageSource.digest``."""
        return self._of(reference).digest(reference, deadline)

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        """As ``ImageSource.document``."""
        return self._of(reference).document(reference, descriptor, deadline)

    def blob(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Iterator[bytes]:
        """As ``ImageSource.blob``."""
        return self._of(reference).blob(reference, descriptor, deadline)

    def connect(self) -> None:
        """Make the client of registries now, so that wrong settings show before the first image.

        Raises:
            UsageError: a setting cannot be used.
        """
        with self._lock:
            if self._registries is None:
                from webhook.wiring.registries import registries  # noqa: PLC0415 - 150 ms

                self._registries = registries(self._settings, self._pods)
                self._closing.callback(self._registries.transport.close)

    def close(self) -> None:
        """Close the connections to registries."""
        self._closing.close()

    def _of(self, reference: Reference) -> ImageSource:
        archive = self._archives.get(reference)
        if archive is not None:
            return archive
        return self._connected().everybody()

    def on_behalf(self, account: Account) -> AccountSource:
        """The registries as one account sees them."""
        return self._connected().of(account)

    def _connected(self) -> Registries:
        self.connect()
        assert self._registries is not None
        return self._registries


@dataclass(frozen=True, slots=True)
class _Broken:
    """An archive that could not be opened: whatever it is asked, it says why."""

    error: ImageError

    def resolve(self, *_: object) -> Document:
        raise self.error

    def digest(self, *_: object) -> str | None:
        raise self.error

    def document(self, *_: object) -> Document:
        raise self.error

    def blob(self, *_: object) -> Iterator[bytes]:
        raise self.error


def _unnamed(number: int) -> Reference:
    return Reference(registry="localhost", repository=f"unreadable/{number}", tag="latest")
