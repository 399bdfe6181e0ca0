"""AvProber: describes media files with FFmpeg (through PyAV) and header readers, in processes of its own."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Literal, Self

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.abc.prober import MediaProber
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    MediaWatchError,
    MissingDependencyError,
    OperationCancelled,
    SourceOfflineError,
)
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.probe.isolation import InProcess, InWorkers
from media_watch_tasks.probe.range_reader import ReadPolicy
from media_watch_tasks.probe.settings import AnalysisSettings
from media_watch_tasks.probe.sources import BytesSource
from media_watch_tasks.scanning.local_byte_source import LocalByteSource

__all__ = ["AvProber", "Probeable"]

_log = logging.getLogger(__name__)
_MIB = 1024 * 1024
_RAISED = (SourceOfflineError, AuthenticationRequiredError, AssetNotFound, AssetChanged, OperationCancelled)

_Path = str | bytes | os.PathLike[str]
Probeable = _Path | ByteSource | Callable[[], ByteSource]
"""A path, an open byte source, or a callable that opens one (it is closed after the probe)."""


class AvProber(MediaProber):
    """Describes media files from a few kilobytes of each. Thread-safe; a context manager.

    A file that is damaged or hostile costs an error value, never this process: parsing happens in child processes
    with a memory limit, a time limit and no way to open files or sockets. They start when first needed, and end with
    `close`.
    """

    def __init__(
        self,
        *,
        isolation: Literal["process", "none"] = "process",
        workers: int | None = None,
        timeout: float = 30.0,
        memory_limit: int = 768 * _MIB,
        byte_budget: int = 64 * _MIB,
        whole_file: int = 0,
        overlay: bool = True,
        pillow: bool | None = None,
        recycle_after: int = 2_000,
    ) -> None:
        """Set it up; nothing is started yet.

        Args:
            isolation: `process` parses in child processes; `none` in this one, for those who trust their files: the
                limits of time and memory do not hold there, and a parser that crashes takes the process with it.
            workers: the most child processes at a time; default: twice the number of processors, at least 4.
            timeout: seconds that a child may work on one file, reading by the parent not counted.
            memory_limit: bytes that parsing one file may take.
            byte_budget: bytes that are read of one file at most; past it the answer is `Confidence.PARTIAL`.
            whole_file: a file of at most so many bytes is read to its end where its duration is unknown or an
                estimate; 0: never.
            overlay: describe mp4 and mov files by their index alone where it says everything.
            pillow: ask Pillow about stills that no header reader here knows; None: where it is installed.
            recycle_after: files after which a child is replaced.

        Raises:
            MissingDependencyError: PyAV is not installed, or Pillow is not although it was asked for.
            ConfigurationError: a value that cannot be.
        """
        if isolation not in {"process", "none"}:
            raise ConfigurationError(f'isolation must be "process" or "none", not {isolation!r}')
        workers = workers if workers is not None else max(4, 2 * (os.cpu_count() or 1))
        if min(workers, recycle_after) < 1 or timeout <= 0 or min(memory_limit, byte_budget) < _MIB or whole_file < 0:
            raise ConfigurationError("workers, recycle_after and timeout must be positive, the limits at least 1 MiB")
        if pillow is None:
            pillow = importlib.util.find_spec("PIL") is not None
        elif pillow and importlib.util.find_spec("PIL") is None:
            raise MissingDependencyError("AvProber(pillow=True)", package="pillow", extra="photo")
        settings = AnalysisSettings(
            policy=ReadPolicy(budget=byte_budget), overlay=overlay, whole_file=whole_file, pillow=pillow
        )
        self._way: InProcess | InWorkers
        if isolation == "none":
            self._way = InProcess(settings)
        else:
            self._way = InWorkers(
                settings, workers=workers, timeout=timeout, memory=memory_limit, recycle_after=recycle_after
            )

    def probe(self, source: ByteSource | _Path, *, name: str = "", cancel: CancelToken | None = None) -> MediaMetadata:
        """Describe a file, given as a path or a byte source (which stays open). See `MediaProber.probe`."""
        if cancel is not None:
            cancel.raise_if_cancelled()
        if isinstance(source, ByteSource):
            return self._describe(source, name, cancel)
        try:
            opened = LocalByteSource(source)
        except MediaWatchError as error:
            return self._failed(error)
        with opened:
            return self._describe(opened, name or os.fsdecode(os.path.basename(os.fspath(source))), cancel)

    def probe_bytes(self, data: bytes, *, size: int | None = None, name: str = "") -> MediaMetadata:
        """Describe bytes. With `size`, the true size, they are the head of a larger file: the answer says so."""
        if size is not None and size < len(data):
            raise ConfigurationError(f"a file of {size} bytes cannot have a head of {len(data)} bytes")
        return self._describe(BytesSource(data, size=size), name, None)

    def probe_many(
        self, sources: Iterable[Probeable], *, workers: int = 4, cancel: CancelToken | None = None
    ) -> Generator[MediaMetadata, None, None]:
        """Describe many, `workers` at a time, and yield their descriptions in the order of the sources.

        `sources` is taken from as answers are consumed, four times `workers` ahead; closing the generator ends the
        rest. A file that is gone or has changed gives an error value here, so that the others go on.

        Raises:
            SourceOfflineError, AuthenticationRequiredError, OperationCancelled: as `probe`.
        """
        if workers < 1:
            raise ConfigurationError(f"workers must be at least 1, not {workers}")
        waiting = iter(sources)
        with ThreadPoolExecutor(workers, thread_name_prefix="probe") as threads:
            running: list[Future[MediaMetadata]] = []
            try:
                running = [threads.submit(self._one_of_many, each, cancel) for each in islice(waiting, 4 * workers)]
                while running:
                    yield running.pop(0).result()
                    running.extend(threads.submit(self._one_of_many, each, cancel) for each in islice(waiting, 1))
            finally:
                for future in running:
                    future.cancel()

    def close(self) -> None:
        """End the worker processes. May be called again."""
        self._way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _one_of_many(self, source: Probeable, cancel: CancelToken | None) -> MediaMetadata:
        try:
            if callable(source):
                with source() as opened:
                    return self.probe(opened, cancel=cancel)
            return self.probe(source, cancel=cancel)
        except (AssetNotFound, AssetChanged) as error:
            return MediaMetadata(error=redact(str(error)))

    def _describe(self, source: ByteSource, name: str, cancel: CancelToken | None) -> MediaMetadata:
        try:
            return self._way.describe(source, name, cancel)
        except Exception as error:  # noqa: BLE001 - whatever a byte source raises costs this file's description only
            return self._failed(error)

    def _failed(self, error: Exception) -> MediaMetadata:
        if isinstance(error, _RAISED):
            raise error
        _log.warning("the source of a probe failed", extra={"error": redact(str(error))})
        return MediaMetadata(error=redact(f"it cannot be read now: {error}"), transient=True)
