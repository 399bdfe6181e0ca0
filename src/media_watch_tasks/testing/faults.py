"""Scripted faults: what goes wrong, where and when; a fault that did not happen fails the test.

    with FaultPlan([Fault("upload", nth=2, raises=TransientError("the line dropped"))]) as plan:
        plan.attach(uploader, "upload")
        manager.process()

At the end of the block everything attached is put back, and `UnfiredFaultsError` names the faults that never fired.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, cast

import attrs

from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.model.assets import ResolvedMedia

__all__ = ["Fault", "FaultPlan", "UnfiredFaultsError"]


class UnfiredFaultsError(AssertionError):
    """Faults were scripted that never happened: the test did not test what it says."""


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    A fault does, in this order, what is set of: `delay`, `calls`, `raises`, `cut`. It must do something.
    """

    at: str
    """The name of the point: a method's name (`attach`), the name given to `media` or `stream`, or any (`hit`)."""
    nth: int = attrs.field(default=1, kw_only=True)
    """The first pass through the point that it fires at, counted from 1. Streams: the n-th stream opened."""
    times: int = attrs.field(default=1, kw_only=True)
    """At how many passes in a row it fires."""
    at_byte: int | None = attrs.field(default=None, kw_only=True)
    """Streams only: fire once this many bytes were read; exactly these come first. None: at the opening."""
    when: Literal["before", "after"] = attrs.field(default="before", kw_only=True)
    """`after`: the work is done, and its answer gets lost."""
    delay: float = attrs.field(default=0.0, kw_only=True)
    """Seconds of the plan's clock."""
    calls: Callable[[], object] | None = attrs.field(default=None, kw_only=True)
    """Called in the thread that passes the point: cancel a token, change a file, kill a process."""
    raises: Exception | type[Exception] | None = attrs.field(default=None, kw_only=True)
    """The exception that is raised there."""
    cut: bool = attrs.field(default=False, kw_only=True)
    """Streams only: end as if the file were no longer than that."""

    def __attrs_post_init__(self) -> None:
        if self.raises is None and self.calls is None and not self.cut and not self.delay:
            raise ValueError(f"the fault at {self.at!r} does nothing: give raises, calls, cut or delay")
        if self.nth < 1 or self.times < 1:
            raise ValueError(f"the fault at {self.at!r}: nth and times count from 1")
        if self.cut and self.at_byte is None:
            raise ValueError(f"the fault at {self.at!r}: cut needs at_byte")


class FaultPlan:
    """The faults of one test, and the points that they happen at. Thread-safe.

    Args:
        faults: any number; several may stand at one point.
        clock: waits for `delay`; the system's by default.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, clock: Clock | None = None) -> None:
        self.faults: Sequence[Fault] = tuple(faults)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._passes: dict[str, int] = {}
        self._fired = [0] * len(self.faults)
        self._attached: list[tuple[object, str]] = []

    def hit(self, point: str) -> None:
        """Pass a point by hand: whatever is due there happens now."""
        passed = self._pass(point)
        self._fire(point, passed, "before")
        self._fire(point, passed, "after")

    def attach(self, target: object, *methods: str, prefix: str = "") -> None:
        """Make these methods of the object points of this plan; the point's name is `prefix` + the method's name.

        The object stays what it is (`isinstance` still sees its capabilities); `detach`, or the end of the block,
        puts the methods back. A method that returns an iterator fires at its call, not at the steps.
        """
        for method in methods:
            original = getattr(target, method)
            if not hasattr(target, "__dict__"):
                raise TypeError(f"{type(target).__name__} has slots: attach to an object with a __dict__")
            vars(target)[method] = self._guarded(prefix + method, original)
            self._attached.append((target, method))

    def detach(self) -> None:
        """Put every attached method back."""
        while self._attached:
            target, method = self._attached.pop()
            vars(target).pop(method, None)

    def media(self, media: ResolvedMedia, *, at: str = "read") -> ResolvedMedia:
        """The media with every stream that it opens watched under this point's name."""

        def open_stream(offset: int, length: int | None) -> BinaryIO:
            return self.stream(lambda: media.open_stream(offset, length), at=at)

        return attrs.evolve(media, open_stream=open_stream)

    def stream(self, opened: BinaryIO | Callable[[], BinaryIO], *, at: str = "read") -> BinaryIO:
        """A stream (or what a function opens) that fails, ends or waits where the plan says."""
        passed = self._pass(at)
        self._fire(at, passed, "before")
        stream = opened() if callable(opened) else opened
        return cast("BinaryIO", _FaultyStream(stream, self, at, passed))

    @property
    def unfired(self) -> Sequence[Fault]:
        """The faults that have not fired as often as they should."""
        return [fault for fault, fired in zip(self.faults, self._fired, strict=True) if fired < fault.times]

    def assert_all_fired(self) -> None:
        """Raise `UnfiredFaultsError` with the faults that did not fire, and how often each point was passed."""
        if not self.unfired:
            return
        lines = [
            f"  {fault} fired {fired} of {fault.times} times"
            for fault, fired in zip(self.faults, self._fired, strict=True)
            if fired < fault.times
        ]
        passed = ", ".join(f"{point} x{count}" for point, count in sorted(self._passes.items())) or "none"
        raise UnfiredFaultsError("\n".join(["scripted faults did not happen:", *lines, f"points passed: {passed}"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.detach()
        # A test that fails already shows its own failure.
        if error is None:
            self.assert_all_fired()

    def _guarded(self, point: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - stands in for any method
            passed = self._pass(point)
            self._fire(point, passed, "before")
            result = original(*arguments, **named)
            self._fire(point, passed, "after")
            return result

        return call

    def _pass(self, point: str) -> int:
        with self._lock:
            self._passes[point] = self._passes.get(point, 0) + 1
            return self._passes[point]

    def _fire(self, point: str, passed: int, when: str) -> None:
        for index, fault in enumerate(self.faults):
            if fault.at == point and fault.when == when and fault.at_byte is None and _is_due(fault, passed):
                self._happen(index)

    def _happen(self, index: int) -> None:
        fault = self.faults[index]
        with self._lock:
            self._fired[index] += 1
        if fault.delay:
            self._clock.sleep(fault.delay)
        if fault.calls is not None:
            fault.calls()
        if fault.raises is not None:
            raise fault.raises

    def _of_stream(self, point: str, passed: int) -> list[int]:
        due = [
            index
            for index, fault in enumerate(self.faults)
            if fault.at == point and fault.at_byte is not None and _is_due(fault, passed)
        ]
        return sorted(due, key=lambda index: self.faults[index].at_byte or 0)


def _is_due(fault: Fault, passed: int) -> bool:
    return fault.nth <= passed < fault.nth + fault.times


class _FaultyStream(io.RawIOBase):
    """Reads up to the byte of the next fault, lets it happen, and goes on."""

    def __init__(self, stream: BinaryIO, plan: FaultPlan, point: str, passed: int) -> None:
        super().__init__()
        self._stream = stream
        self._plan = plan
        self._pending = plan._of_stream(point, passed)  # noqa: SLF001 - two halves of one thing
        self._position = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        wanted = size
        if self._ended or wanted == 0:
            return b""
        while self._pending:
            fault = self._plan.faults[self._pending[0]]
            left = (fault.at_byte or 0) - self._position
            if left > 0:
                wanted = min(wanted, left)
                break
            self._plan._happen(self._pending.pop(0))  # noqa: SLF001 - two halves of one thing
            if fault.cut:
                self._ended = True
                return b""
        data = self._stream.read(wanted)
        self._position += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a writable buffer, whatever its type
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        parts = []
        while part := self.read(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        super().close()
        self._stream.close()
