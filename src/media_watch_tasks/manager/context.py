"""The `UploadContext` that an upload gets from the manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, cast

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.manager.content import WatchedStream
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.model.events import TaskProgress
from media_watch_tasks.model.redaction import without_url_secrets
from media_watch_tasks.model.uploads import Stage, UploadReceipt

__all__ = ["ManagedContext"]


class ManagedContext(UploadContext):
    """Ties one attempt at an upload to its claim."""

    def __init__(
        self,
        core: ManagerCore,
        flight: Flight,
        *,
        check_source: Callable[[], None],
        deadline: datetime | None,
    ) -> None:
        self._core = core
        self._flight = flight
        self._check_source = check_source
        self._deadline = deadline
        self._resume_state = flight.claim.task.resume_state
        self.bytes_read_at_confirm: int | None = None

    @property
    def key(self) -> str:
        """The task's key in hex."""
        return self._flight.claim.task.key

    @property
    def attempt(self) -> int:
        """The number of this attempt."""
        return self._flight.claim.task.attempts

    @property
    def tags(self) -> frozenset[str]:
        """The task's tags."""
        return self._flight.claim.task.tags

    @property
    def deadline(self) -> datetime | None:
        """When `attempt_timeout` cuts this attempt off."""
        return self._deadline

    @property
    def cancel(self) -> CancelToken:
        """The token of this attempt."""
        return self._flight.cancel

    @property
    def resume_state(self) -> Mapping[str, Any] | None:
        """What an earlier attempt, or this one, has saved."""
        return self._resume_state

    @property
    def previous(self) -> UploadReceipt | None:
        """The receipt of the version that stands at the destination; looked up when it is asked for."""
        task = self._flight.claim.task
        (delivered,) = self._core.tasks.delivered(task.route, (task.asset_id,))
        return None if delivered is None else delivered.receipt

    def progress(self, done: int, *, total: int | None = None, stage: Stage = Stage.TRANSFER) -> None:
        """Note the progress; listeners hear of it now and then."""
        whole = self._flight.claim.task.fingerprint.size if total is None and stage is Stage.TRANSFER else total
        notifier = self._core.notifier
        if not self._flight.on_progress(stage, done, whole) or not notifier.active:
            return
        progress = self._flight.progress
        if progress is not None:
            notifier.emit(TaskProgress(at_ns=notifier.now_ns(), task=self._flight.claim.task, progress=progress))

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        """Report what is read from the stream as progress of the transfer."""
        sent = offset

        def on_read(count: int) -> None:
            nonlocal sent
            sent += count
            self.progress(sent)

        return cast("BinaryIO", WatchedStream(stream, on_read=on_read))

    def save_resume_state(self, state: Mapping[str, Any] | None) -> None:
        """Keep the state with the task; texts lose query strings and user info of URLs."""
        kept = None if state is None else {name: _clean(value) for name, value in state.items()}
        if not self._core.tasks.save_resume_state(self._flight.claim.ref, kept):
            self._lost()
        self._resume_state = kept

    def confirm(self) -> None:
        """Look at the source once more, then extend the lease."""
        self._flight.cancel.raise_if_cancelled()
        self._check_source()
        claim = self._flight.claim
        asked_ns = self._core.clock.monotonic_ns()
        if claim.task.id not in self._core.tasks.extend((claim.ref,), lease_ns=self._core.lease_ns):
            self._lost()
        self._flight.extended_ns = asked_ns
        self.bytes_read_at_confirm = self._flight.bytes_read

    def _lost(self) -> None:
        self._flight.interrupt(CancelReason.LEASE_LOST)
        raise LeaseLost(f"task {self._flight.claim.task.id} is another worker's now")


def _clean(value: object) -> object:
    if isinstance(value, str):
        return without_url_secrets(value)
    if isinstance(value, Mapping):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
