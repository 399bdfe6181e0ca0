"""One worker process as the prober sees it: started, given files one by one, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from media_watch_tasks.probe.settings import AnalysisSettings, settings_to
from media_watch_tasks.probe.wire import Channel, Frame, WireError, dump, pack_pieces, parse

__all__ = ["Serve", "WorkerDiedError", "WorkerProcess", "WorkerStartError"]

Serve = Callable[[Sequence[tuple[int, int]]], Sequence[bytes] | None]
"""Reads ranges for the worker; None where the source failed."""

_START_LIMIT = 60.0
_END_LIMIT = 2.0
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZ")


class WorkerStartError(Exception):
    """No worker process could be started: the machine's fault, not the file's."""


class WorkerDiedError(Exception):
    """The process ended or was ended while it worked on a file; the text says how."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        """Take what happened and whether it had used up its time."""
        super().__init__(message)
        self.timed_out = timed_out


class WorkerProcess:
    """A child that shares nothing with this process but a socket. One thread at a time; `kill` from any."""

    def __init__(self, *, memory: int, settings: AnalysisSettings) -> None:
        """Start it. It is not waited for.

        Raises:
            WorkerStartError: the system refuses a new process.
        """
        ours, theirs = socket.socketpair()
        arguments = [str(memory), "pillow" if settings.pillow else "", dump(settings_to(settings)).decode()]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                [sys.executable, "-P", "-m", "media_watch_tasks.probe.worker", *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=_environment(),
                process_group=0,
            )
        except OSError as error:
            ours.close()
            self._errors.close()
            raise WorkerStartError(f"no process can be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._channel = Channel(ours)
        self._ready = False
        self.jobs = 0
        """Files given to it so far."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def describe(
        self, job: dict[str, Any], prefetched: Sequence[bytes], serve: Serve, *, timeout: float, descriptor: int | None
    ) -> Any:  # noqa: ANN401 - JSON, checked by the caller
        """Give it a file and return the JSON of its answer. Time in which `serve` reads does not count.

        Raises:
            WorkerStartError: it did not come up.
            WorkerDiedError: it died, or took longer than `timeout` seconds and was killed.
        """
        self._wait_until_ready()
        self.jobs += 1
        left = timeout
        try:
            self._channel.send(Frame.JOB, dump(job), descriptor=descriptor)
            if prefetched:
                self._channel.send(Frame.PIECES, pack_pieces(prefetched))
            while True:
                start = time.monotonic()
                kind, payload = self._expect({Frame.ANSWER, Frame.READ}, timeout=max(left, 0.001))
                left -= time.monotonic() - start
                if kind is Frame.ANSWER:
                    return parse(payload)
                pieces = serve(_ranges(parse(payload)))
                if pieces is None:
                    self._channel.send(Frame.FAILED, b"")
                else:
                    self._channel.send(Frame.PIECES, pack_pieces(pieces))
        except WireError as error:
            how = f"it took longer than {timeout:g} s" if error.timed_out else self._how_it_died(str(error))
            self.kill()
            raise WorkerDiedError(how, timed_out=error.timed_out) from error

    def kill(self) -> None:
        """End it at once. May be called again, and while another thread waits for an answer."""
        self._process.kill()

    def close(self) -> None:
        """Close the socket, which ends an idle worker, and wait for the end."""
        self._channel.close()
        try:
            self._process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._expect({Frame.READY}, timeout=_START_LIMIT)
        except WireError as error:
            self.kill()
            self._process.wait()
            self._errors.seek(max(self._errors.seek(0, os.SEEK_END) - 1_000, 0))
            last = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            raise WorkerStartError(f"a probe worker does not start: {last[-1] if last else error}") from error
        self._ready = True

    def _expect(self, kinds: set[Frame], *, timeout: float) -> tuple[Frame, bytes]:
        kind, payload = self._channel.receive(timeout=timeout)
        if kind not in kinds:
            raise WireError(f"an unexpected {kind.name} frame")
        return kind, payload

    def _how_it_died(self, message: str) -> str:
        try:
            code = self._process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            return message
        return f"its parser was ended by signal {-code}" if code < 0 else f"its parser ended with status {code}"


def _ranges(value: object) -> list[tuple[int, int]]:
    """The ranges that a worker asks for, checked: it may have been taken over."""
    if not isinstance(value, list) or not 0 < len(value) <= 2_000:  # noqa: PLR2004 - chapters are the longest list
        raise WireError("a strange read request")
    ranges: list[tuple[int, int]] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2 or not all(type(number) is int for number in item):  # noqa: PLR2004 - a pair
            raise WireError("a strange read request")
        ranges.append((item[0], item[1]))
    return ranges


def _environment() -> dict[str, str]:
    """As little as an interpreter needs; the module path, so that it finds what this process found."""
    paths = [path for path in sys.path if path and os.path.isabs(path)]
    paths.append(str(Path(__file__).resolve().parents[2]))
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return environment | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        # One malloc arena: each further one reserves 64 MiB of the address space that is limited.
        "MALLOC_ARENA_MAX": "1",
    }
