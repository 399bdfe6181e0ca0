"""AllOf: several destinations for every file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from media_watch_tasks.abc.uploader import FansOut, UploadContext, Uploader
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = ["AllOf"]


class AllOf(Uploader, FansOut):
    """Delivers every file to all of these destinations: the manager makes one task for each.

    Each has its own receipt, retries and pauses: one that is full or offline does not hold up the others.

    Args:
        uploaders: at least one; those of an `AllOf` inside are taken out of it. Their destination ids differ.

    Raises:
        ConfigurationError: none are given, one is no uploader, or two have the same destination id.
    """

    def __init__(self, uploaders: Iterable[Uploader]) -> None:
        self._parts = tuple(_flat(uploaders))
        if not self._parts:
            raise ConfigurationError("AllOf needs at least one uploader")
        seen: dict[str, int] = {}
        for number, part in enumerate(self._parts, start=1):
            first = seen.setdefault(part.destination_id, number)
            if first != number:
                raise ConfigurationError(
                    f"uploaders {first} and {number} of AllOf have the same destination id {part.destination_id!r}:"
                    " tasks and receipts are kept by that id; give one of them another (`destination_id`)"
                )

    @property
    def parts(self) -> Sequence[Uploader]:
        """The uploaders, in the order given."""
        return self._parts

    @property
    def destination_id(self) -> str:
        """The ids of the parts together, for people: tasks are kept under the parts' own."""
        return f"AllOf({', '.join(part.destination_id for part in self._parts)})"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:  # noqa: ARG002 - refused whatever they are
        """Not for calling: one receipt cannot stand for several destinations."""
        raise ConfigurationError(
            "AllOf has no upload of its own: give it to a TaskManager, which uploads to each of its parts; a wrapper"
            " around uploaders belongs inside of AllOf, around each part"
        )

    def close(self) -> None:
        """Close the parts, the last one first; all of them, also where one fails."""
        errors = []
        for part in reversed(self._parts):
            try:
                part.close()
            except Exception as error:  # noqa: BLE001 - the others are to be closed too
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several uploaders could not be closed", errors)

    def __repr__(self) -> str:
        return f"AllOf({list(self._parts)!r})"


def _flat(uploaders: Iterable[Uploader]) -> Iterator[Uploader]:
    for uploader in uploaders:
        if not isinstance(uploader, Uploader):
            raise ConfigurationError(f"AllOf takes uploaders, not {type(uploader).__name__}")
        if isinstance(uploader, FansOut):
            yield from _flat(uploader.parts)
        else:
            yield uploader
