"""Wrapper: an uploader around another one, that can do what the other one can."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Self

from media_watch_tasks.abc.uploader import (
    Checks,
    FansOut,
    FindsExisting,
    LocalDestination,
    MovesRemote,
    RemovesUnfinished,
    Resumable,
    UploadContext,
    Uploader,
    Verifies,
)
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt

__all__ = ["Wrapper", "class_with"]


class Wrapper(Uploader):
    """Passes everything on to the uploader inside, its optional capabilities too, and closes it.

    Subclasses override `upload` and what else they change. Tasks and receipts are those of the uploader inside: it has
    the same `destination_id`, so a wrapper may be put around an uploader, and taken off, at any time.

    Args:
        inner: any uploader but one that fans out; wrappers belong inside of `AllOf`, around each part.

    Raises:
        ConfigurationError: it is no uploader, or one that fans out.
    """

    passes_on: tuple[type, ...] = (
        FindsExisting, Verifies, Checks, Resumable, RemovesUnfinished, MovesRemote, LocalDestination,
    )  # fmt: skip
    """The capabilities that it has where the uploader inside has them."""

    def __new__(cls, inner: Uploader, *_arguments: Any, **_named: Any) -> Self:  # noqa: ANN401 - those of the subclass
        """Make an object of a subclass with the capabilities of the uploader inside."""
        if not isinstance(inner, Uploader) or isinstance(inner, FansOut):
            raise ConfigurationError(
                f"{cls.__name__} goes around one uploader, not {type(inner).__name__}; put it inside of AllOf, around"
                " each part"
            )
        shared = tuple(capability for capability in cls.passes_on if isinstance(inner, capability))
        made: Self = super().__new__(class_with(cls, shared))
        return made

    def __init__(self, inner: Uploader) -> None:
        self._inner: Any = inner

    @property
    def inner(self) -> Uploader:
        """The uploader inside."""
        inner: Uploader = self._inner
        return inner

    @property
    def destination_id(self) -> str:
        """That of the uploader inside."""
        return self.inner.destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Upload with the uploader inside."""
        return self.inner.upload(media, context)

    def close(self) -> None:
        """Close the uploader inside."""
        self.inner.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"


class _Finding(Wrapper, FindsExisting):
    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        found: UploadReceipt | None = self._inner.find_existing(media, context)
        return found


class _Verifying(Wrapper, Verifies):
    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        return bool(self._inner.verify(media, receipt))


class _Checking(Wrapper, Checks):
    def check(self) -> None:
        self._inner.check()


class _Removing(Wrapper, RemovesUnfinished):
    def abort(self, resume_state: Mapping[str, Any]) -> None:
        self._inner.abort(resume_state)


class _Resuming(_Removing, Resumable):
    pass


class _Moving(Wrapper, MovesRemote):
    def move_remote(self, receipt: UploadReceipt, media: ResolvedMedia) -> UploadReceipt:
        moved: UploadReceipt = self._inner.move_remote(receipt, media)
        return moved


class _Local(Wrapper, LocalDestination):
    def refuse_watched(self, root: str | bytes, *, excluded: Callable[[bytes], bool] | None = None) -> None:
        self._inner.refuse_watched(root, excluded=excluded)


_PASSING: dict[type, type[Wrapper]] = {
    FindsExisting: _Finding,
    Verifies: _Verifying,
    Checks: _Checking,
    Resumable: _Resuming,
    RemovesUnfinished: _Removing,
    MovesRemote: _Moving,
    LocalDestination: _Local,
}


@functools.cache
def class_with(cls: type[Any], capabilities: tuple[type, ...]) -> type[Any]:
    """The class of a wrapper with more capabilities; what the class defines itself comes first."""
    bases = (cls, *(_PASSING[capability] for capability in capabilities if not issubclass(cls, capability)))
    return type(cls.__name__, bases, {"__module__": cls.__module__, "__doc__": cls.__doc__})
