"""What an upload leaves behind: receipts, outcomes of a batch, progress."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

import attrs

from media_watch_tasks.model.redaction import without_url_secrets
from media_watch_tasks.model.values import Value

__all__ = ["Stage", "UploadOutcome", "UploadProgress", "UploadReceipt"]


class Stage(StrEnum):
    """What an upload is busy with."""

    HASH = "hash"
    INITIALISE = "initialise"
    TRANSFER = "transfer"
    FINALISE = "finalise"
    PROCESSING = "processing"


def _frozen_texts(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({key: without_url_secrets(text) for key, text in value.items()})


@attrs.frozen(eq=False, repr=False)
class UploadReceipt(Value):
    """Proof of delivery, made once the bytes are durable at the destination.

    Query strings and user info are cut off URLs, so that no signature reaches the database.
    """

    remote_id: str | None = attrs.field(default=None, converter=attrs.converters.optional(without_url_secrets))
    """How the destination names what it holds: a path, an object key, a document id, a URL."""
    size: int | None = attrs.field(default=None, kw_only=True)
    """Bytes at the destination; None where it does not say."""
    sha256: str | None = attrs.field(default=None, kw_only=True)
    """Hex, of the bytes sent; the manager fills it in where it saw all of them."""
    etag: str | None = attrs.field(default=None, kw_only=True)
    verified: bool = attrs.field(default=False, kw_only=True)
    """True only if the uploader compared what stands at the destination with what it sent."""
    deduplicated: bool = attrs.field(default=False, kw_only=True)
    """True where equal content was there already and nothing was sent."""
    details: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_texts, kw_only=True, hash=False)


@attrs.frozen(eq=False, repr=False)
class UploadProgress(Value):
    """How far an upload is."""

    stage: Stage
    done: int
    """Bytes."""
    total: int | None = None
    """Bytes; None where unknown."""
    rate: float | None = attrs.field(default=None, kw_only=True, eq=False)
    """Bytes a second, over the last ten seconds or so of this stage; None before there is something to tell."""

    @property
    def eta(self) -> timedelta | None:
        """How long this stage will still take at that rate; None where the rate or the total is unknown."""
        if not self.rate or self.total is None:
            return None
        return timedelta(seconds=max(self.total - self.done, 0) / self.rate)

    @property
    def fraction(self) -> float | None:
        """0.0 to 1.0, None where the total is unknown."""
        if self.total is None:
            return None
        return min(self.done / self.total, 1.0) if self.total else 1.0


@attrs.frozen(eq=False, repr=False)
class UploadOutcome(Value):
    """The result of one item of a batch: a receipt, or the exception that a single upload would have raised."""

    key: str
    receipt: UploadReceipt | None = None
    error: Exception | None = None

    def __attrs_post_init__(self) -> None:
        if (self.receipt is None) == (self.error is None):
            raise ValueError("an outcome has a receipt or an error, exactly one of them")
