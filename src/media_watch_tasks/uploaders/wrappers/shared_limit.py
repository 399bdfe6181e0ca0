"""SharedLimit: so many uploads at once, or in a period, over all processes and machines that share the stores."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError, Snooze
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = ["SharedLimit"]

_LOOK_EVERY = 0.1


class SharedLimit(Wrapper):
    """At most `at_once` uploads at a time, and at most `uploads` that begin in any stretch of `per`.

    All wrappers with the same name count together, in whatever process they are. An upload whose turn comes soon waits
    for it; one whose turn is further off, or that finds no place free, is put back, and spends no attempt. Wrappers may
    stand around each other: one for all, one for videos.

    Args:
        inner: the uploader.
        permits: `stores.permits` of the stores that the processes share.
        name: what is counted together; by default the destination.
        at_once: uploads at a time; a process that dies frees its places.
        uploads: uploads that begin in a stretch of time.
        per: the length of the stretch.
        kinds: only media of these kinds are counted and held up; all by default.
        longest_wait: how long an upload waits for its turn or a place in a worker thread.
        retry_after: when an upload that found no place is tried again.
        clock: the system's by default.

    Raises:
        ConfigurationError: nothing is limited, or a number or length is not above zero.
    """

    def __init__(
        self,
        inner: Uploader,
        permits: Permits,
        *,
        name: str | None = None,
        at_once: int | None = None,
        uploads: int | None = None,
        per: timedelta | None = None,
        kinds: Collection[MediaKind] | None = None,
        longest_wait: timedelta = timedelta(seconds=1),
        retry_after: timedelta = timedelta(seconds=5),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(inner)
        if (uploads is None) != (per is None) or (at_once is None and uploads is None):
            raise ConfigurationError("a shared limit needs at_once, or uploads and per, or all three")
        if any(number is not None and number < 1 for number in (at_once, uploads)):
            raise ConfigurationError("at_once and uploads must be whole numbers above zero")
        if (per is not None and per <= timedelta(0)) or retry_after <= timedelta(0):
            raise ConfigurationError("per and retry_after must be above zero")
        self._permits = permits
        self._name = inner.destination_id if name is None else name
        self._at_once = at_once
        self._turns = None if uploads is None or per is None else (uploads, to_ns(per))
        self._kinds = None if kinds is None else frozenset(kinds)
        self._longest_ns = to_ns(longest_wait)
        self._retry_after = retry_after
        self._clock = clock or SystemClock()

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Wait for a place and a turn, then upload with the uploader inside.

        Raises:
            Snooze: no place is free, or the turn is further off than `longest_wait`.
            StoreError: the permits cannot be asked for; the upload has not begun.
        """
        if self._kinds is not None and kind_of(media.asset.name) not in self._kinds:
            return self.inner.upload(media, context)
        with self._place(context):
            self._wait_for_turn(context)
            return self.inner.upload(media, context)

    @contextmanager
    def _place(self, context: UploadContext) -> Iterator[None]:
        if self._at_once is None:
            yield
            return
        began = self._clock.monotonic_ns()
        while (place := self._permits.take_place(self._name, places=self._at_once)) is None:
            if self._clock.monotonic_ns() - began >= self._longest_ns:
                raise Snooze(self._retry_after, f"{self._at_once} uploads of {self._name} are under way")
            self._clock.wait(context.cancel.event, _LOOK_EVERY)
            context.cancel.raise_if_cancelled()
        try:
            yield
        finally:
            self._permits.give_back(self._name, place)

    def _wait_for_turn(self, context: UploadContext) -> None:
        if self._turns is None:
            return
        turns, per_ns = self._turns
        reserved, wait_ns = self._permits.take_turn(
            self._name, turns=turns, per_ns=per_ns, longest_ns=self._longest_ns
        )  # fmt: skip
        if not reserved:
            raise Snooze(timedelta(microseconds=-(-wait_ns // 1_000)), f"the rate limit of {self._name}")
        if wait_ns:
            self._clock.wait(context.cancel.event, wait_ns / NANOSECONDS)
            context.cancel.raise_if_cancelled()
