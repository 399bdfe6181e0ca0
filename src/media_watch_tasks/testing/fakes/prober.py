"""FakeProber: answers what a test gave it."""

from __future__ import annotations

from collections.abc import Mapping

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.metadata import MediaMetadata

__all__ = ["FakeProber"]


class FakeProber(MediaProber):
    """Answers with scripted metadata, by the name that it is asked with.

    Args:
        answers: name -> metadata, or an exception to raise. Other names get their size and `method="fake"`.
    """

    def __init__(self, answers: Mapping[str, MediaMetadata | Exception] | None = None) -> None:
        self._answers = dict(answers or {})
        self.probed: list[str] = []
        """The names asked for, in order."""
        self.closed = 0
        """How many times `close` was called."""

    def probe(self, source: ByteSource, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        """The scripted answer. Reads the first byte, so that a source that is gone is noticed."""
        self.probed.append(name)
        if cancel is not None:
            cancel.raise_if_cancelled()
        source.read_at(0, 1)
        answer = self._answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer or MediaMetadata(size=source.size, method="fake")

    def close(self) -> None:
        """Count the call."""
        self.closed += 1
