"""Uploader: brings a file to where the application wants it. `upload` is the one method an application writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadOutcome, UploadReceipt

__all__ = [
    "BatchItem",
    "BatchUploader",
    "Checks",
    "FansOut",
    "FindsExisting",
    "LocalDestination",
    "MovesRemote",
    "RemovesUnfinished",
    "Resumable",
    "UploadContext",
    "Uploader",
    "Verifies",
]


class UploadContext(ABC):
    """What an upload knows of its task, and its way to talk to the manager. Used by the thread of that upload."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The idempotency key, 64 hex digits: the same for every attempt at this version of the file."""

    @property
    @abstractmethod
    def attempt(self) -> int:
        """1 for the first attempt."""

    @property
    @abstractmethod
    def tags(self) -> frozenset[str]:
        """The task's tags."""

    @property
    @abstractmethod
    def deadline(self) -> datetime | None:
        """When the attempt is cut off (`attempt_timeout`), aware UTC; None: never."""

    @property
    @abstractmethod
    def cancel(self) -> CancelToken:
        """Cancelled when the upload has to stop; `watch` and `progress` raise then too."""

    @property
    @abstractmethod
    def resume_state(self) -> Mapping[str, Any] | None:
        """What `save_resume_state` kept for this version, None at first."""

    @property
    @abstractmethod
    def previous(self) -> UploadReceipt | None:
        """The receipt of the asset's earlier version at this destination, if it is still the latest one there."""

    @abstractmethod
    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        """Say how far it is, in bytes. It keeps the lease alive. Raises `OperationCancelled` when it has to stop."""

    @abstractmethod
    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        """The stream, with reads reported as progress of the transfer.

        `offset`: bytes of the file that come before the stream's first one, where an upload goes on in its middle.
        """

    @abstractmethod
    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        """Keep a JSON object for the next attempt. No secrets: no query strings, user info or signatures.

        Raises `LeaseLost` when the task is another worker's now.
        """

    @abstractmethod
    def confirm(self) -> None:
        """Call this before the step that makes the bytes visible: it extends the lease, or raises `LeaseLost`.

        A worker that slept past its lease then never overwrites a newer version. It raises `AssetChanged` if the bytes
        read are not the version the task names.
        """


class Uploader(ABC):
    """Delivers files to one destination. Thread-safe: several worker threads call `upload` at once."""

    @property
    def destination_id(self) -> str:
        """A stable name of the destination, without secrets; by default the class name and its `target`, if any."""
        target = getattr(self, "target", None)
        return f"{type(self).__name__}:{target}" if target else type(self).__name__

    @abstractmethod
    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Deliver the file; return only once its bytes are durable at the destination.

        It may be called again for the same key after a failure or a crash, also when an earlier call had succeeded
        without the answer getting through: sending the same bytes twice must end in the same state.

        Raises:
            TransientError: it may work later; so does every exception that is not in this list.
            PermanentError, ConfigurationError: it never will.
            RateLimited, DestinationFull, AuthenticationRequiredError: the destination pauses, no attempt is spent.
            AlreadyExists: something stands there already; see its docstring.
            Snooze: not now, no attempt is spent.
        """

    def close(self) -> None:
        """Release what it holds. May be called again; no upload follows it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@attrs.frozen(eq=False)
class BatchItem:
    """One file of a batch."""

    media: ResolvedMedia
    context: UploadContext


class BatchUploader(Uploader):
    """Delivers many small things in one call, with an outcome for each."""

    @property
    @abstractmethod
    def max_batch_size(self) -> int:
        """The most items that one call takes."""

    @abstractmethod
    def upload_batch(self, items: Sequence[BatchItem], *, cancel: CancelToken) -> Iterator[UploadOutcome]:
        """Deliver the items and yield exactly one outcome for each, in any order, as soon as it is known.

        An exception raised by the call itself, or a missing outcome, counts for every item that has none yet.
        """

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Deliver a batch of one."""
        for outcome in self.upload_batch((BatchItem(media, context),), cancel=context.cancel):
            if outcome.receipt is not None:
                return outcome.receipt
            if outcome.error is not None:
                raise outcome.error
        raise RuntimeError(f"{type(self).__name__}.upload_batch gave no outcome for its only item")


class FindsExisting(ABC):
    """Capability: look whether a file was delivered by an attempt whose answer got lost."""

    @abstractmethod
    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if the destination holds these bytes under this key, on proof; None otherwise.

        Proof is the key or hash stored with the object, or a re-read that hashes equal. Equal name and size is none.
        """


class RemovesUnfinished(ABC):
    """Capability: `context.resume_state` tells what a cut-off upload left at the destination; it can be removed."""

    @abstractmethod
    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove what a cut-off upload left at the destination. May be called again; nothing there is no error.

        A manager calls it for tasks that ended without a delivery, at the next run at the latest, and again at each run
        until it returns, or raises `PermanentError` or `ConfigurationError`: then nothing can be done.
        """


class Resumable(RemovesUnfinished):
    """Capability: an upload that was cut off goes on from `context.resume_state`, also after a restart."""


class Verifies(ABC):
    """Capability: prove later that what was delivered still stands at the destination."""

    @abstractmethod
    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        """True if the destination still holds what the receipt says; `media` is None if the source is gone."""


class Checks(ABC):
    """Capability: say before the first upload whether the destination can be used."""

    @abstractmethod
    def check(self) -> None:
        """Reach the destination and return. Raises what `upload` would raise, with a message that says what to do."""


class MovesRemote(ABC):
    """Capability: follow a move at the source by a move at the destination."""

    @abstractmethod
    def move_remote(self, receipt: UploadReceipt, media: ResolvedMedia) -> UploadReceipt:
        """Move the delivered object to where `media` would be uploaded to; the receipt of its new place."""


class LocalDestination(ABC):
    """Capability: delivers into a folder of this machine, which must not lie inside of a folder that is watched."""

    @abstractmethod
    def refuse_watched(self, root: str | bytes, *, excluded: Callable[[bytes], bool] | None = None) -> None:
        """Refuse to deliver into a watched folder: every file delivered would be found as a new one, for ever.

        Args:
            root: the absolute path of the root of a local source.
            excluded: says of a folder, by its path below that root, that scans leave it out.

        Raises:
            ConfigurationError: files are delivered to that root or below it, where scans find them.
        """


class FansOut(ABC):
    """Capability of a wrapper: one task for each of several destinations, each with its own receipt and retries."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Uploader]:
        """The uploaders; their `destination_id`s differ."""
