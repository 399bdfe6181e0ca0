"""Another uploader before the document: the bytes go there, its receipt goes into the document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

from media_watch_tasks.abc.uploader import FindsExisting, UploadContext, Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AlreadyExists
from media_watch_tasks.firestore.plain import plain_receipt, receipt_of
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt

__all__ = ["CHAINED_DETAIL", "chained_receipt", "deliver_first", "find_first", "receipt_text"]

CHAINED_DETAIL = "chained"
"""The detail of a receipt that holds the one of the chained uploader, as JSON."""
_DONE, _STATE = "delivered", "chained"


def deliver_first(uploader: Uploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
    """Let the chained uploader deliver the file, unless an earlier attempt at this version has seen it do so."""
    kept = (context.resume_state or {}).get(_DONE)
    if kept is not None:
        return receipt_of(kept)
    inner = _ChainedContext(context)
    try:
        receipt = uploader.upload(media, inner)
    except AlreadyExists as error:
        found = uploader.find_existing(media, inner) if isinstance(uploader, FindsExisting) else None
        if found is None and error.by_key:
            found = error.receipt
        if found is None:
            raise
        receipt = found
    context.save_resume_state({_DONE: plain_receipt(receipt)})
    return receipt


def find_first(uploader: Uploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
    """The receipt of the chained uploader, if it is known or can be found to have delivered the file; it is kept."""
    kept = (context.resume_state or {}).get(_DONE)
    if kept is not None:
        return receipt_of(kept)
    if not isinstance(uploader, FindsExisting):
        return None
    found = uploader.find_existing(media, _ChainedContext(context))
    if found is not None:
        context.save_resume_state({_DONE: plain_receipt(found)})
    return found


def receipt_text(receipt: UploadReceipt) -> str:
    """The receipt as the text of a detail."""
    return json.dumps(plain_receipt(receipt), sort_keys=True)


def chained_receipt(receipt: UploadReceipt | None) -> UploadReceipt | None:
    """The receipt of the chained uploader that one of ours holds."""
    if receipt is None or CHAINED_DETAIL not in receipt.details:
        return None
    return receipt_of(json.loads(receipt.details[CHAINED_DETAIL]))


class _ChainedContext(UploadContext):
    """The context of the task as the chained uploader has to see it: with its own receipt and its own state."""

    def __init__(self, context: UploadContext) -> None:
        self._context = context

    @property
    def key(self) -> str:
        return self._context.key

    @property
    def attempt(self) -> int:
        return self._context.attempt

    @property
    def tags(self) -> frozenset[str]:
        return self._context.tags

    @property
    def deadline(self) -> datetime | None:
        return self._context.deadline

    @property
    def cancel(self) -> CancelToken:
        return self._context.cancel

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        return (self._context.resume_state or {}).get(_STATE)

    @property
    def previous(self) -> UploadReceipt | None:
        return chained_receipt(self._context.previous)

    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        self._context.progress(done, total=total, stage=stage)

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        return self._context.watch(stream, offset=offset)

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        self._context.save_resume_state(None if state is None else {_STATE: dict(state)})

    def confirm(self) -> None:
        self._context.confirm()
