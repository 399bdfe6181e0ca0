"""How fast an upload moves: for people who wait for it."""

from __future__ import annotations

from collections import deque

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.uploads import Stage

__all__ = ["Pace"]

_WINDOW_NS = 10 * NANOSECONDS
_STEP_NS = NANOSECONDS // 2


class Pace:
    """Bytes a second over the last ten seconds of a stage. Memory: at most 22 points."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._points: deque[tuple[int, int]] = deque()

    def rate(self, stage: Stage, done: int, now_ns: int) -> float | None:
        """Note how far it is; bytes a second, None in the first half second of a stage.

        Args:
            stage: another one than before begins anew, as does a transfer that begins anew.
            done: bytes.
            now_ns: monotonic.
        """
        points = self._points
        if stage is not self._stage or (points and done < points[-1][1]):
            self._stage = stage
            points.clear()
        if not points or now_ns - points[-1][0] >= _STEP_NS:
            points.append((now_ns, done))
            # The first point is the one before the window, so that a pause counts.
            while len(points) > 1 and now_ns - points[1][0] >= _WINDOW_NS:
                points.popleft()
        began_ns, before = points[0]
        elapsed = now_ns - began_ns
        return (done - before) * NANOSECONDS / elapsed if elapsed >= _STEP_NS else None
