"""Then: one destination after another, and the second one knows what the first one answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from media_watch_tasks.abc.uploader import Checks, Resumable, UploadContext, Uploader
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.contexts import ContextAround
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = ["Then"]

_FIRST, _SECOND, _RECEIPT = "first", "second", "receipt"


class Then(Wrapper, Resumable, Checks):
    """Uploads with `first`, then calls `second`, which finds the receipt of `first` in `context.previous`.

    For example: bytes to an object store, then a row into a catalogue. One task, delivered once both are; its receipt
    is that of `second`, with the remote id of `first` in the detail `first`. Where `second` fails, the next attempt
    does not send to `first` again. For destinations that do not depend on each other, use `AllOf`.

    Args:
        first: gets the file.
        second: gets the file and the receipt.

    Raises:
        ConfigurationError: one of them is no uploader, or one that fans out.
    """

    passes_on = ()

    def __init__(self, first: Uploader, second: Uploader) -> None:
        super().__init__(first)
        if not isinstance(second, Uploader):
            raise ConfigurationError(f"Then takes two uploaders, not {type(second).__name__}")
        self._second = second

    @property
    def destination_id(self) -> str:
        """Made of both."""
        return f"Then({self.inner.destination_id}, {self._second.destination_id})"

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Upload with the first, unless an earlier attempt has done so, then with the second."""
        states = dict(context.resume_state or {})
        known = states.get(_RECEIPT)
        if isinstance(known, Mapping):
            receipt = UploadReceipt(**known)
        else:
            receipt = self.inner.upload(media, _PartContext(context, _FIRST, context.previous))
            context.save_resume_state({_RECEIPT: attrs.asdict(receipt, value_serializer=_plain)})
        last = self._second.upload(media, _PartContext(context, _SECOND, receipt))
        details = {_FIRST: receipt.remote_id or "", **last.details}
        return attrs.evolve(last, sha256=last.sha256 or receipt.sha256, details=details)

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove what either of them left unfinished."""
        for name, part in ((_FIRST, self.inner), (_SECOND, self._second)):
            state = resume_state.get(name)
            if isinstance(state, Mapping) and isinstance(part, Resumable):
                part.abort(state)

    def check(self) -> None:
        """Check both, as far as they can be."""
        for part in (self.inner, self._second):
            if isinstance(part, Checks):
                part.check()

    def close(self) -> None:
        """Close both, the second first."""
        try:
            self._second.close()
        finally:
            self.inner.close()

    def __repr__(self) -> str:
        return f"Then({self.inner!r}, {self._second!r})"


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


def _plain(_instance: object, _attribute: object, value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
