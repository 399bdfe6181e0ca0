"""The fixed steps of the archive analyzer, for whoever wants them: head, longer head, head and tail, whole file.

Each step shows the parser a view of the file that is cut off; the next one is taken while the answer is not complete.
A prober with a range reader reads less and is right more often; what the ladder has is a fixed, known set of reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.metadata import Confidence, MediaMetadata

__all__ = ["LadderPolicy", "LadderProber", "Step", "ViewSource"]

_KIB, _MIB = 1024, 1024 * 1024


@attrs.frozen
class Step:
    """What one step shows of the file, in bytes."""

    head: int = 0
    tail: int = 0
    whole: bool = False

    def ranges(self, size: int) -> tuple[tuple[int, int], ...]:
        """The (offset, length) ranges of the view, in order and without overlap."""
        if self.whole or self.head + self.tail >= size:
            return ((0, size),)
        ends = ((0, self.head), (size - self.tail, self.tail))
        return tuple(each for each in ends if each[1])


@attrs.frozen
class LadderPolicy:
    """The steps, in order."""

    steps: Sequence[Step] = (
        Step(head=512 * _KIB),
        Step(head=5 * _MIB),
        Step(head=5 * _MIB, tail=_MIB),
        Step(whole=True),
    )
    whole_limit: int = 256 * _MIB
    """Bytes: the whole file is read only up to this size."""

    def __attrs_post_init__(self) -> None:
        if not self.steps:
            raise ConfigurationError("a ladder needs at least one step")

    def views(self, size: int) -> Iterator[tuple[tuple[int, int], ...]]:
        """The ranges of each step; a step that shows no more than the one before is left out."""
        last: tuple[tuple[int, int], ...] = ()
        for step in self.steps:
            ranges = step.ranges(size)
            whole = ranges == ((0, size),)
            if ranges != last and not (whole and size > self.whole_limit):
                yield ranges
            last = ranges
            if whole:
                return


class ViewSource(ByteSource):
    """A cut-off view: the ranges that were read, under the true size of the file."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[tuple[int, bytes]] = []

    @property
    def size(self) -> int:
        """The true size of the file."""
        return self._size

    def holds(self, offset: int, length: int) -> bool:
        """True if the range is part of the view."""
        return any(start <= offset and offset + length <= start + len(data) for start, data in self._parts)

    def add(self, offset: int, data: bytes) -> None:
        """Widen the view."""
        self._parts.insert(0, (offset, data))

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` up to the end of the part that holds it; empty outside of the view."""
        for start, data in self._parts:
            if start <= offset < start + len(data):
                return data[offset - start : offset - start + length]
        return b""


class LadderProber(MediaProber):
    """Shows another prober one view after the other until its answer is complete. As thread-safe as that prober."""

    def __init__(self, prober: MediaProber, policy: LadderPolicy | None = None) -> None:
        self._prober = prober
        self._policy = policy or LadderPolicy()

    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        """Describe the file. `confidence` is `PARTIAL` while a part of it that the parser wanted is unseen."""
        view = ViewSource(source.size)
        found = MediaMetadata(size=source.size, error="the file is empty")
        bytes_read = round_trips = 0
        for ranges in self._policy.views(source.size):
            if cancel is not None:
                cancel.raise_if_cancelled()
            wanted = [each for each in ranges if not view.holds(*each)]
            if wanted:
                round_trips += 1
                for (offset, _), data in zip(wanted, source.read_many(wanted), strict=True):
                    bytes_read += len(data)
                    view.add(offset, data)
            found = self._prober.probe(view, name=name, cancel=cancel)
            if _complete(found):
                break
        return attrs.evolve(
            found, bytes_read=bytes_read, round_trips=round_trips, method=f"ladder/{found.method or 'none'}"
        )

    def close(self) -> None:
        """Close the wrapped prober."""
        self._prober.close()


def _complete(found: MediaMetadata) -> bool:
    """True where tracks are known, timed ones with a duration, and nothing rests on bytes that were not seen."""
    if found.error is not None or found.confidence is Confidence.PARTIAL:
        return False
    pictures = all(track.codec and track.width and track.height for track in found.video)
    sounds = all(track.codec and track.channels and track.sample_rate for track in found.audio)
    timed = found.duration is not None or found.method == "header"
    return bool(found.video or found.audio) and pictures and sounds and timed
