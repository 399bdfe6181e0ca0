"""RateLimit: no more uploads in a period than a destination takes."""

from __future__ import annotations

import threading
from datetime import timedelta

from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError, Snooze
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = ["RateLimit"]


class RateLimit(Wrapper):
    """At most so many uploads begin in any stretch of time of that length, over all threads of this process.

    An upload whose turn comes soon waits for it; one whose turn is further off is put back until then, and spends no
    attempt.

    Args:
        inner: the uploader.
        uploads: how many.
        per: the length of the stretch.
        longest_wait: how long an upload waits for its turn in a worker thread.
        clock: the system's by default.

    Raises:
        ConfigurationError: a number or length that is not above zero.
    """

    def __init__(
        self,
        inner: Uploader,
        *,
        uploads: int,
        per: timedelta,
        longest_wait: timedelta = timedelta(seconds=1),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(inner)
        if uploads < 1 or per <= timedelta(0):
            raise ConfigurationError("a rate limit needs a number of uploads and a period above zero")
        self._per_ns = to_ns(per)
        self._longest_ns = to_ns(longest_wait)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._begun = [-self._per_ns] * uploads
        """When the latest uploads began, monotonic: a ring, the oldest at `_oldest`."""
        self._oldest = 0

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Wait for the turn, then upload with the uploader inside.

        Raises:
            Snooze: the turn is further off than `longest_wait`.
        """
        with self._lock:
            now = self._clock.monotonic_ns()
            turn = max(now, self._begun[self._oldest] + self._per_ns)
            if turn - now > self._longest_ns:
                raise Snooze(timedelta(microseconds=-(-(turn - now) // 1_000)), "the destination's rate limit")
            self._begun[self._oldest] = turn
            self._oldest = (self._oldest + 1) % len(self._begun)
        if turn > now:
            self._clock.wait(context.cancel.event, (turn - now) / NANOSECONDS)
            context.cancel.raise_if_cancelled()
        return self.inner.upload(media, context)
