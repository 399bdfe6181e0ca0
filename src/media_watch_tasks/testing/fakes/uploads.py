"""Uploaders that keep everything in memory, and whose outcomes a test can script."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from media_watch_tasks.abc.uploader import (
    BatchItem,
    BatchUploader,
    Checks,
    FindsExisting,
    UploadContext,
    Uploader,
    Verifies,
)
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.uploads import UploadOutcome, UploadReceipt

__all__ = ["FakeBatchUploader", "FakeUploader", "RecordingUploader", "ScriptedOutcome", "UploadCall"]

ScriptedOutcome = Exception | type[Exception] | UploadReceipt | None | Callable[[ResolvedMedia, UploadContext], object]
"""What a call does instead: raise, answer with a receipt and keep nothing, or (None) deliver as usual.

A function is called with the media and the context before the delivery goes on as usual.
"""

_CHUNK = 1 << 20


@attrs.frozen
class UploadCall:
    """One call of `upload`."""

    key: str
    asset: MediaAsset
    attempt: int
    thread: str
    """The name of the thread that called."""


class FakeUploader(Uploader):
    """A destination in memory that addresses objects by the key. It has no optional capability.

    Args:
        destination_id: what `destination_id` answers.
        outcomes: what the first, second, … call of `upload` does; calls beyond its end deliver.
    """

    def __init__(self, destination_id: str = "fake", *, outcomes: Iterable[ScriptedOutcome] = ()) -> None:
        self._destination_id = destination_id
        self._outcomes = iter(outcomes)
        self._lock = threading.Lock()
        self.calls: list[UploadCall] = []
        """Every call, in order, refused ones included."""
        self.objects: dict[str, bytes] = {}
        """What was delivered: key -> bytes."""
        self.assets: dict[str, MediaAsset] = {}
        """key -> the asset that was delivered under it."""
        self.closed = 0
        """How many times `close` was called."""

    @property
    def destination_id(self) -> str:
        """As given."""
        return self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Follow the script, else keep the bytes under the key."""
        call = UploadCall(context.key, media.asset, context.attempt, threading.current_thread().name)
        with self._lock:
            self.calls.append(call)
            outcome = next(self._outcomes, None)
        if isinstance(outcome, UploadReceipt):
            return outcome
        if isinstance(outcome, type):
            raise outcome(f"scripted for {media.asset.display}")
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            outcome(media, context)
        return self._deliver(media, context)

    def delivered(self, path: str | bytes) -> list[bytes]:
        """The bytes of every delivered version of the asset, in the order of delivery."""
        name = path.encode("utf-8", "surrogatepass") if isinstance(path, str) else path
        return [self.objects[key] for key, asset in self.assets.items() if asset.asset_id == name]

    def close(self) -> None:
        """Count the call."""
        self.closed += 1

    def _deliver(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        parts = []
        with media.open() as body:
            watched = context.watch(body)
            while part := watched.read(_CHUNK):
                parts.append(part)
        data = b"".join(parts)
        if len(data) != media.size:
            raise AssetChanged(f"{media.asset.display}: {len(data)} bytes came, {media.size} were announced")
        context.confirm()
        with self._lock:
            self.objects[context.key] = data
            self.assets[context.key] = media.asset
        return _receipt(context.key, data)


class RecordingUploader(FakeUploader, FindsExisting, Verifies, Checks):
    """A `FakeUploader` that can be asked: it finds what was delivered under a key, verifies, and can be checked."""

    def __init__(self, destination_id: str = "fake", *, outcomes: Iterable[ScriptedOutcome] = ()) -> None:
        super().__init__(destination_id, outcomes=outcomes)
        self.looks: list[str] = []
        """The keys that `find_existing` was asked for."""
        self.checks = 0
        """How many times `check` was called."""
        self.check_error: Exception | None = None
        """What `check` raises."""

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:  # noqa: ARG002 - the key says it all
        """The receipt if an object has the key."""
        self.looks.append(context.key)
        data = self.objects.get(context.key)
        return None if data is None else _receipt(context.key, data)

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:  # noqa: ARG002 - the object is compared with the receipt
        """True if the object named by the receipt is there, with its size and hash."""
        data = self.objects.get(receipt.remote_id or "")
        return data is not None and (len(data), _sha256(data)) == (receipt.size, receipt.sha256)

    def check(self) -> None:
        """Raise `check_error` if there is one."""
        self.checks += 1
        if self.check_error is not None:
            raise self.check_error


class FakeBatchUploader(BatchUploader):
    """Batches in memory. `errors` maps asset ids to the exception that their item gets, once each time it comes.

    Args:
        destination_id: what `destination_id` answers.
        max_batch_size: the most items a call takes.
        errors: asset id -> exception; the other items are delivered.
        forgets: asset ids whose items get no outcome at all.
    """

    def __init__(
        self,
        destination_id: str = "fake-batch",
        *,
        max_batch_size: int = 3,
        errors: dict[bytes, Exception] | None = None,
        forgets: Iterable[bytes] = (),
    ) -> None:
        self._destination_id = destination_id
        self._max_batch_size = max_batch_size
        self.errors = errors or {}
        self.forgets = frozenset(forgets)
        self.batches: list[tuple[bytes, ...]] = []
        """The asset ids of every call."""
        self.inner = FakeUploader(destination_id)
        """Where delivered items are kept."""

    @property
    def destination_id(self) -> str:
        """As given."""
        return self._destination_id

    @property
    def max_batch_size(self) -> int:
        """As given."""
        return self._max_batch_size

    def upload_batch(self, items: Sequence[BatchItem], *, cancel: CancelToken) -> Iterator[UploadOutcome]:
        """Deliver the items, last one first: outcomes may come in any order."""
        self.batches.append(tuple(item.media.asset.asset_id for item in items))
        for item in reversed(items):
            cancel.raise_if_cancelled()
            if item.media.asset.asset_id not in self.forgets:
                yield self._outcome(item)

    def _outcome(self, item: BatchItem) -> UploadOutcome:
        scripted = self.errors.get(item.media.asset.asset_id)
        if scripted is not None:
            return UploadOutcome(item.context.key, error=scripted)
        try:
            receipt = self.inner.upload(item.media, item.context)
        except Exception as error:  # noqa: BLE001 - becomes the outcome of the item
            return UploadOutcome(item.context.key, error=error)
        return UploadOutcome(item.context.key, receipt)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _receipt(key: str, data: bytes) -> UploadReceipt:
    return UploadReceipt(key, size=len(data), sha256=_sha256(data), verified=True)
