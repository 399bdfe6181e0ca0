"""Writes, packed into batches that one commit takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

__all__ = ["FENCED", "Limits", "PlannedWrite", "packed"]

_ENVELOPE = 4_096
"""Bytes of a request beside its writes: the name of the database, a guard."""
_FRAME = 8
"""Bytes around each write, at most."""


@attrs.frozen
class Limits:
    """How much one commit takes. Firestore itself allows 10 MiB; a message of 4 MiB is refused by many proxies."""

    documents: int = 500
    size: int = 3 * 1024 * 1024
    """Bytes of the messages on the wire."""


FENCED = Limits(documents=499)
"""Where each commit holds a guard as well."""


@attrs.frozen(eq=False)
class PlannedWrite:
    """A write of one document, and what it is done for."""

    message: Any = attrs.field(repr=False)
    """A Write message: an absolute set, or a delete. Applied twice it ends in the same state."""
    subject: Any
    """Handed back with the result."""

    @property
    def path(self) -> str:
        """The full name of the document."""
        return str(self.message.update.name or self.message.delete)


def packed(writes: Iterable[PlannedWrite], limits: Limits) -> Iterator[list[PlannedWrite]]:
    """The writes in their order, in batches within the limits; one that is larger than a batch stands alone."""
    batch: list[PlannedWrite] = []
    size = _ENVELOPE
    for write in writes:
        length = write.message.ByteSize() + _FRAME
        if batch and (len(batch) == limits.documents or size + length > limits.size):
            yield batch
            batch, size = [], _ENVELOPE
        batch.append(write)
        size += length
    if batch:
        yield batch
