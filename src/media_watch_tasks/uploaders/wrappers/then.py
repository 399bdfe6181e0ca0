"""Then: one destination after another, and the second one knows what the first one answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self

import attrs

from media_watch_tasks.abc.uploader import (
    Checks,
    FindsExisting,
    LocalDestination,
    RemovesUnfinished,
    Resumable,
    UploadContext,
    Uploader,
    Verifies,
)
from media_watch_tasks.errors import AlreadyExists, ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.hashing import source_sha256
from media_watch_tasks.uploaders.wrappers.contexts import ContextAround
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper, class_with

__all__ = ["Then"]

_FIRST, _SECOND, _RECEIPT = "first", "second", "receipt"
_FIRST_WHOLE, _SECOND_WHOLE = "first_receipt", "second_receipt"


class Then(Wrapper, FindsExisting, Checks, LocalDestination):
    """Uploads with `first`, then calls `second`, which finds the receipt of `first` in `context.previous`.

    For example: bytes to an object store, then a document into a catalog (`FirestoreUploader`). One task, delivered
    once both are; its receipt is that of `second`, with the remote id of `first` in the detail `first` and its whole
    receipt, as JSON, in `first_receipt`. Where `second` fails, the next attempt does not send to `first` again; after a
    crash both are asked for what they have (`find_existing`). It verifies where both can. For destinations that do not
    depend on each other, use `AllOf`.

    Args:
        first: gets the file.
        second: gets the file and the receipt.

    Raises:
        ConfigurationError: one of them is no uploader, or one that fans out.
    """

    passes_on = ()

    def __new__(cls, first: Uploader, second: Uploader) -> Self:
        """Make an object that can verify where both can, and clears up where one of them does."""
        parts = (first, second)
        verifies = (Verifies,) if all(isinstance(part, Verifies) for part in parts) else ()
        clears = [one for one in (Resumable, RemovesUnfinished) if any(isinstance(part, one) for part in parts)]
        made: Self = super().__new__(class_with(cls, (*verifies, *clears)), first)
        return made

    def __init__(self, first: Uploader, second: Uploader) -> None:
        super().__init__(first)
        if not isinstance(second, Uploader):
            raise ConfigurationError(f"Then takes two uploaders, not {type(second).__name__}")
        self._second: Any = second

    @property
    def destination_id(self) -> str:
        """Made of both."""
        return f"Then({self.inner.destination_id}, {self._second.destination_id})"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Upload with the first, unless an earlier attempt has done so, then with the second."""
        receipt = _known(context)
        if receipt is None:
            receipt = _delivered(self.inner, media, self._first_context(context))
            _keep(context, receipt)
        last = _delivered(self._second, media, _PartContext(context, _SECOND, receipt))
        return _together(receipt, last)

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if both can prove that they have the file; what the first one has is remembered."""
        receipt = _known(context)
        if receipt is None:
            if not isinstance(self._inner, FindsExisting):
                return None
            receipt = self._inner.find_existing(media, self._first_context(context))
            if receipt is None:
                return None
            _keep(context, receipt)
        if not isinstance(self._second, FindsExisting):
            return None
        last = self._second.find_existing(media, _PartContext(context, _SECOND, receipt))
        return None if last is None else _together(receipt, last)

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        """True if both say so. Called only where both are `Verifies`."""
        first, second = _kept(receipt, _FIRST_WHOLE), _kept(receipt, _SECOND_WHOLE) or receipt
        return first is not None and self._inner.verify(media, first) and self._second.verify(media, second)

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove what either of them left unfinished."""
        for name, part in ((_FIRST, self.inner), (_SECOND, self._second)):
            state = resume_state.get(name)
            if isinstance(state, Mapping) and isinstance(part, RemovesUnfinished):
                part.abort(state)

    def check(self) -> None:
        """Check both, as far as they can be."""
        for part in (self.inner, self._second):
            if isinstance(part, Checks):
                part.check()

    def refuse_watched(self, root: str | bytes, *, excluded: Callable[[bytes], bool] | None = None) -> None:
        """Ask those of the two that deliver into a folder."""
        for part in (self.inner, self._second):
            if isinstance(part, LocalDestination):
                part.refuse_watched(root, excluded=excluded)

    def close(self) -> None:
        """Close both, the second first."""
        try:
            self._second.close()
        finally:
            self.inner.close()

    def __repr__(self) -> str:
        return f"Then({self.inner!r}, {self._second!r})"

    def _first_context(self, context: UploadContext) -> UploadContext:
        previous = context.previous
        return _PartContext(context, _FIRST, None if previous is None else _kept(previous, _FIRST_WHOLE))


class _PartContext(ContextAround):
    """The resume state of one part is a part of the task's."""

    def __init__(self, outer: UploadContext, name: str, previous: UploadReceipt | None) -> None:
        super().__init__(outer)
        self._name = name
        self._previous = previous

    @property
    def previous(self) -> UploadReceipt | None:
        return self._previous

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        state = (self.outer.resume_state or {}).get(self._name)
        return state if isinstance(state, Mapping) else None

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        others = {name: value for name, value in (self.outer.resume_state or {}).items() if name != self._name}
        self.outer.save_resume_state(others if state is None else {**others, self._name: dict(state)})


def _delivered(part: Uploader, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
    """The receipt of one part. What stands there already is judged here: for the manager it would be the whole task's.

    Raises `AlreadyExists`, without a receipt, where nothing proves that it is this file.
    """
    try:
        return part.upload(media, context)
    except AlreadyExists as error:
        there = error.receipt
        if there is not None and (error.by_key or _is_equal(there, media, context)):
            return there
        found = part.find_existing(media, context) if isinstance(part, FindsExisting) else None
        if found is None:
            raise AlreadyExists(str(error)) from error
        return found


def _is_equal(there: UploadReceipt, media: ResolvedMedia, context: UploadContext) -> bool:
    return there.size == media.size and (there.sha256 is None or there.sha256 == source_sha256(media, context))


def _together(first: UploadReceipt, last: UploadReceipt) -> UploadReceipt:
    details = {**last.details, _FIRST: first.remote_id or "", _FIRST_WHOLE: json.dumps(_plain(first))}
    if _FIRST_WHOLE in last.details:  # the second is such a pair itself
        details[_SECOND_WHOLE] = json.dumps(_plain(last))
    return attrs.evolve(last, sha256=last.sha256 or first.sha256, details=details)


def _kept(receipt: UploadReceipt, detail: str) -> UploadReceipt | None:
    text = receipt.details.get(detail)
    return None if text is None else UploadReceipt(**json.loads(text))


def _known(context: UploadContext) -> UploadReceipt | None:
    known = (context.resume_state or {}).get(_RECEIPT)
    return UploadReceipt(**known) if isinstance(known, Mapping) else None


def _keep(context: UploadContext, receipt: UploadReceipt) -> None:
    context.save_resume_state({_RECEIPT: _plain(receipt)})


def _plain(receipt: UploadReceipt) -> dict[str, Any]:
    return {**attrs.asdict(receipt, recurse=False), "details": dict(receipt.details)}
