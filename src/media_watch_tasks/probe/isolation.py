"""The two ways to run an analysis: in this process, or in a pool of worker processes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MissingDependencyError
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe.analysis import analyse
from media_watch_tasks.probe.containers import pyav
from media_watch_tasks.probe.pool import WorkerPool
from media_watch_tasks.probe.quarantine import Quarantine, content_mark
from media_watch_tasks.probe.range_reader import first_ranges
from media_watch_tasks.probe.settings import AnalysisSettings, wants_tail
from media_watch_tasks.probe.worker_process import WorkerDiedError, WorkerStartError

__all__ = ["InProcess", "InWorkers"]

_HEAD = 4096
_MOST_AT_ONCE = 64 * 1024 * 1024


class _Cancellable(ByteSource):
    """A byte source whose reads look at the token first."""

    def __init__(self, source: ByteSource, cancel: CancelToken) -> None:
        self._source = source
        self._cancel = cancel

    @property
    def size(self) -> int:
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self._cancel.raise_if_cancelled()
        return self._source.read_many(ranges)


class InProcess:
    """Parses in this process and in the caller's thread."""

    def __init__(self, settings: AnalysisSettings) -> None:
        """Load PyAV into this process.

        Raises:
            MissingDependencyError: it is not installed.
        """
        pyav()
        self._settings = settings

    def describe(self, source: ByteSource, name: str, cancel: CancelToken | None) -> MediaMetadata:
        """Describe the file. Raises what the source raises, and `OperationCancelled` at the next read."""
        watched = source if cancel is None else _Cancellable(source, cancel)
        return analyse(watched, name=name, settings=self._settings)

    def close(self) -> None:
        """Nothing is held."""


class _Server:
    """Reads for a worker, counts, and keeps the error of the source."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.bytes_read = 0
        self.round_trips = 0
        self.failure: Exception | None = None

    def read(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes] | None:
        """The ranges, None once the source has failed."""
        if sum(length for _, length in ranges) > _MOST_AT_ONCE or any(min(each) < 0 for each in ranges):
            return None
        self.round_trips += 1
        try:
            pieces = [bytes(each[:length]) for each, (_, length) in self._pairs(ranges)]
        except Exception as error:  # noqa: BLE001 - raised again by `describe` once the worker has stopped
            self.failure = error
            return None
        self.bytes_read += sum(map(len, pieces))
        return pieces

    def _pairs(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[bytes, tuple[int, int]]]:
        return list(zip(self._source.read_many(ranges), ranges, strict=True))


class InWorkers:
    """Parses in worker processes; reads for them wherever they cannot be given an open file."""

    def __init__(
        self, settings: AnalysisSettings, *, workers: int, timeout: float, memory: int, recycle_after: int
    ) -> None:
        """Start nothing yet. PyAV is never loaded into this process.

        Raises:
            MissingDependencyError: it is not installed.
        """
        if importlib.util.find_spec("av") is None:
            raise MissingDependencyError("AvProber", package="av", extra="probe")
        self._settings = settings
        self._timeout = timeout
        self.pool = WorkerPool(size=workers, memory=memory, settings=settings, recycle_after=recycle_after)
        self.quarantine = Quarantine()

    def describe(self, source: ByteSource, name: str, cancel: CancelToken | None) -> MediaMetadata:
        """Describe the file.

        Raises:
            Exception: what the source raised.
            OperationCancelled: the token was cancelled; the worker is ended.
        """
        size, server = source.size, _Server(source)
        if size == 0:
            return MediaMetadata(size=0, error="the file is empty", bytes_read=0, round_trips=0)
        descriptor = _descriptor(source)
        places: list[tuple[int, int]] = []
        pieces: Sequence[bytes] = ()
        if descriptor is None:
            # The first round trip is made before a worker is taken, so that no process waits for a slow place.
            places = first_ranges(size, self._settings.policy, tail=wants_tail(name))
            pieces = server.read(places) or ()
            _raise_if(server.failure)

        def mark() -> bytes:
            head = os.pread(descriptor, _HEAD, 0) if descriptor is not None else (pieces[0] if pieces else b"")
            return content_mark(size, head)

        if len(self.quarantine) and (reason := self.quarantine.reason(mark())):
            return MediaMetadata(size=size, error=f"not probed again: {reason}")
        job = {
            "name": name,
            "size": size,
            "timeout": self._timeout,
            "prefetched": [offset for offset, _ in places],
        }
        found = self._in_worker(job, pieces, server, descriptor=descriptor, cancel=cancel, mark=mark)
        _raise_if(server.failure)
        if descriptor is not None:
            # What a worker reads by itself the source does not see: a last byte lets it say that the file has changed.
            source.read_at(size - 1, 1)
        else:
            found = attrs.evolve(found, bytes_read=server.bytes_read, round_trips=server.round_trips)
        return found

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def _in_worker(
        self,
        job: dict[str, Any],
        pieces: Sequence[bytes],
        server: _Server,
        *,
        descriptor: int | None,
        cancel: CancelToken | None,
        mark: Callable[[], bytes],
    ) -> MediaMetadata:
        size = job["size"]
        try:
            with self.pool.lend() as worker:
                forget = cancel.on_cancel(lambda _: worker.kill()) if cancel is not None else None
                try:
                    answer = worker.describe(job, pieces, server.read, timeout=self._timeout, descriptor=descriptor)
                finally:
                    if forget is not None:
                        forget()
        except WorkerStartError as error:
            return MediaMetadata(error=str(error), transient=True)
        except WorkerDiedError as error:
            if cancel is not None:
                cancel.raise_if_cancelled()
            if self.pool.closed:
                return MediaMetadata(error="the prober was closed", transient=True)
            if server.failure is None:
                self.quarantine.add(mark(), str(error))
            return MediaMetadata(size=size, error=str(error))
        if cancel is not None:
            cancel.raise_if_cancelled()
        return _metadata(answer)


def _metadata(answer: object) -> MediaMetadata:
    """The value in a worker's answer, which may be anything if the worker was taken over."""
    if not isinstance(answer, dict):
        return MediaMetadata(error="the answer of the parser makes no sense")
    if "read_failed" in answer:
        return MediaMetadata(error=f"it cannot be read now: {answer['read_failed']}", transient=True)
    try:
        return MediaMetadata.from_dict(answer)
    except (TypeError, ValueError, AttributeError):
        return MediaMetadata(error="the answer of the parser makes no sense")


def _descriptor(source: ByteSource) -> int | None:
    fileno = getattr(source, "fileno", None)
    try:
        return int(fileno()) if callable(fileno) else None
    except OSError:  # a source that is a stream too, without a file of this system behind it
        return None


def _raise_if(failure: Exception | None) -> None:
    if failure is not None:
        raise failure
