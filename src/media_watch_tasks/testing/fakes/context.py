"""FakeContext: an UploadContext that records, and that can lose its lease or be cancelled at a byte."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Self, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import Route, task_key
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt

__all__ = ["FakeContext"]

_CHUNK = 1 << 20


class FakeContext(UploadContext):
    """The context of one pretended attempt.

    Args:
        key: 64 hex digits; `for_media` computes the real one.
        attempt: counts from 1.
        tags: the task's.
        deadline: aware UTC.
        resume_state: what an earlier attempt kept.
        previous: the receipt of the earlier version.
        cancel: the token to use; a new one by default.
        lose_lease: True: `confirm` and `save_resume_state` raise `LeaseLost`.
        cancel_at: after this many bytes read through `watch`, the next read cancels the token (user) and raises.
        on_confirm: called by `confirm` before it returns, for example to look at what is visible by then.
    """

    def __init__(
        self,
        key: str = "0" * 64,
        *,
        attempt: int = 1,
        tags: Iterable[str] = (),
        deadline: datetime | None = None,
        resume_state: Mapping[str, Any] | None = None,
        previous: UploadReceipt | None = None,
        cancel: CancelToken | None = None,
        lose_lease: bool = False,
        cancel_at: int | None = None,
        on_confirm: Callable[[], object] | None = None,
    ) -> None:
        self._key = key
        self._attempt = attempt
        self._tags = frozenset(tags)
        self._deadline = deadline
        self._resume_state = resume_state
        self._previous = previous
        self._cancel = cancel or CancelToken()
        self._on_confirm = on_confirm
        self._cancel_at = cancel_at
        self.lose_lease = lose_lease
        """May be set in the middle of an upload."""
        self.bytes_read = 0
        """Bytes read through `watch`, over all streams."""
        self.largest_read = 0
        """The most bytes that one read of a watched stream asked for; -1 if one asked for everything."""
        self.progress_calls: list[UploadProgress] = []
        """Every call of `progress`, and one for each read of a watched stream."""
        self.confirmations = 0
        """How many times `confirm` returned."""
        self.saved_states: list[Mapping[str, Any] | None] = []
        """What `save_resume_state` was given, in order."""

    @classmethod
    def for_media(cls, media: ResolvedMedia | MediaAsset, *, destination_id: str = "fake", **settings: Any) -> Self:  # noqa: ANN401 - the parameters of the constructor
        """A context with the key that a manager would give this version at this destination."""
        asset = media if isinstance(media, MediaAsset) else media.asset
        key = task_key(Route(asset.source_id, destination_id), asset.asset_id, asset.fingerprint)
        return cls(key.hex(), **settings)

    @property
    def key(self) -> str:
        """As given."""
        return self._key

    @property
    def attempt(self) -> int:
        """As given."""
        return self._attempt

    @property
    def tags(self) -> frozenset[str]:
        """As given."""
        return self._tags

    @property
    def deadline(self) -> datetime | None:
        """As given."""
        return self._deadline

    @property
    def cancel(self) -> CancelToken:
        """The token."""
        return self._cancel

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        """As given, or what was saved last."""
        return self.saved_states[-1] if self.saved_states else self._resume_state

    @property
    def previous(self) -> UploadReceipt | None:
        """As given."""
        return self._previous

    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        """Record it; raises `OperationCancelled` once the token is cancelled."""
        self.progress_calls.append(UploadProgress(stage, done, total))
        self._cancel.raise_if_cancelled()

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        """The stream, with every read recorded."""
        return cast("BinaryIO", _WatchedStream(stream, self, offset))

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        """Record it; raises `LeaseLost` if the lease is to be lost."""
        if self.lose_lease:
            raise LeaseLost("the test gave the task to another worker")
        self.saved_states.append(state)

    def confirm(self) -> None:
        """Call `on_confirm`, then raise `LeaseLost` if the lease is to be lost."""
        self._cancel.raise_if_cancelled()
        if self._on_confirm is not None:
            self._on_confirm()
        if self.lose_lease:
            raise LeaseLost("the test gave the task to another worker")
        self.confirmations += 1

    def note_request(self, size: int) -> None:
        """Record what a read of a watched stream asks for; -1 is everything."""
        if self.largest_read >= 0:
            self.largest_read = -1 if size < 0 else max(self.largest_read, size)

    def allowed(self, wanted: int) -> int:
        """How many of the wanted bytes may still be read before the cancellation; cancels when none is left."""
        self._cancel.raise_if_cancelled()
        if self._cancel_at is None:
            return wanted
        left = self._cancel_at - self.bytes_read
        if left <= 0:
            self._cancel.cancel(CancelReason.USER)
            self._cancel.raise_if_cancelled()
        return min(wanted, left)

    def count(self, read: int) -> None:
        """Record bytes read through `watch`."""
        self.bytes_read += read


class _WatchedStream(io.RawIOBase):
    """`read(n)` is what every binary stream has; `readinto` rests on it where the stream has none of its own."""

    def __init__(self, stream: BinaryIO, context: FakeContext, offset: int) -> None:
        super().__init__()
        self._stream = stream
        self._context = context
        self._at = offset

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._context.note_request(size)
        data = self._stream.read(self._context.allowed(size))
        self._account(len(data))
        return data

    def readall(self) -> bytes:
        self._context.note_request(-1)
        parts = []
        while part := self.read(_CHUNK):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a writable buffer, whatever its type
        if not hasattr(self._stream, "readinto"):
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        self._context.note_request(len(buffer))
        view = memoryview(buffer)[: self._context.allowed(len(buffer))]
        count = cast("io.RawIOBase", self._stream).readinto(view) or 0
        self._account(count)
        return count

    def _account(self, count: int) -> None:
        self._at += count
        self._context.count(count)
        self._context.progress(self._at)

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        super().close()
        self._stream.close()
