"""What goes wrong at the S3 server, at which request of which operation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import attrs

__all__ = ["Refusal", "S3Fault", "S3Faults"]


@attrs.frozen
class S3Fault:
    """One thing that goes wrong. What is set of it happens; the rest of the request goes its way."""

    operation: str
    """The S3 API's name: `PutObject`, `UploadPart`, `CompleteMultipartUpload` and so on."""
    nth: int = attrs.field(default=1, kw_only=True)
    """The first request of that operation that it happens to, counted from 1."""
    times: int = attrs.field(default=1, kw_only=True)
    """How many in a row."""
    status: int | None = attrs.field(default=None, kw_only=True)
    """Answer with this status, once the body was read, and do nothing."""
    code: str = attrs.field(default="InternalError", kw_only=True)
    """The S3 error code of that answer."""
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    """More headers of that answer, such as Retry-After."""
    early: bool = attrs.field(default=False, kw_only=True)
    """Give that answer before the body was read, and close the connection."""
    reset_at: int | None = attrs.field(default=None, kw_only=True)
    """Reset the connection after so many bytes of the body."""
    lose_answer: bool = attrs.field(default=False, kw_only=True)
    """Do the work, and close the connection without an answer."""
    corrupt: bool = attrs.field(default=False, kw_only=True)
    """Store other bytes than came, after they were checked."""
    calls: Callable[[], object] | None = attrs.field(default=None, kw_only=True)
    """Called in the server's thread, half-way through the body or before a request without one is carried out."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the server
    """An answer of S3 that is an error."""

    def __init__(self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


class S3Faults:
    """The faults that are still to come, and those that happened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed: dict[str, int] = {}
        self._faults: list[tuple[S3Fault, int]] = []
        self._fired: dict[int, int] = {}

    def add(self, faults: tuple[S3Fault, ...]) -> None:
        """Count from the next request on."""
        with self._lock:
            for fault in faults:
                self._faults.append((fault, self._passed.get(fault.operation, 0)))

    def due(self, operation: str) -> S3Fault | None:
        """The fault of this request, which has then happened."""
        with self._lock:
            passed = self._passed[operation] = self._passed.get(operation, 0) + 1
            for index, (fault, before) in enumerate(self._faults):
                number = passed - before
                if fault.operation == operation and fault.nth <= number < fault.nth + fault.times:
                    self._fired[index] = self._fired.get(index, 0) + 1
                    return fault
            return None

    @property
    def unfired(self) -> list[S3Fault]:
        """Those that have not happened as often as they should."""
        with self._lock:
            return [fault for index, (fault, _) in enumerate(self._faults) if self._fired.get(index, 0) < fault.times]
