"""Commits of batches: repeated for seconds where that can help, taken apart where one document is in the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import tenacity

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import MediaWatchError, PermanentError
from media_watch_tasks.firestore.batches import PlannedWrite
from media_watch_tasks.firestore.doubts import Doubts
from media_watch_tasks.firestore.ramp import WriteRamp
from media_watch_tasks.firestore.statuses import Verdict, classified, verdict_on

__all__ = ["Calls", "Gate", "WriteResult", "Writer"]

_FIRST_WAIT, _LONGEST_WAIT, _SLOWER = 0.1, 8.0, 8
Gate = Callable[[Sequence[PlannedWrite]], list["WriteResult"]]
"""Asked before each attempt: results for the writes that must not be sent any more."""


@attrs.frozen
class WriteResult:
    """What became of one write."""

    write: PlannedWrite
    error: Exception | None = None
    """None: it is applied, and durable."""


@attrs.frozen(kw_only=True)
class Calls:
    """How calls are made and repeated."""

    clock: Clock
    status_of: Callable[[BaseException], str]
    errors: tuple[type[BaseException], ...]
    attempts: int = 6
    draw: Callable[[], float] = random.random

    def run(self, call: Callable[[], Any], *, doing: str, cancel: CancelToken | None = None) -> Any:  # noqa: ANN401 - what the call returns
        """The call's answer; repeated while that can help, then the exception that says what is to be done."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_help),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            sleep=lambda seconds: self._sleep(seconds, cancel),
            reraise=True,
        )
        try:
            return retrying(call)
        except self.errors as error:
            raise classified(self.status_of(error), str(error), doing=doing, clock=self.clock) from error

    def verdict(self, error: BaseException) -> Verdict:
        """What is to be done about an exception of the client."""
        return verdict_on(self.status_of(error), str(error))

    def _may_help(self, error: BaseException) -> bool:
        return isinstance(error, self.errors) and self.verdict(error) in {Verdict.AGAIN, Verdict.SLOWER}

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        patience = _SLOWER if error is not None and self.verdict(error) is Verdict.SLOWER else 1
        wait: float = min(_FIRST_WAIT * patience * 2 ** (state.attempt_number - 1), _LONGEST_WAIT)
        return wait * (0.5 + self.draw())

    def _sleep(self, seconds: float, cancel: CancelToken | None) -> None:
        token = cancel or CancelToken()
        self.clock.wait(token.event, seconds)
        token.raise_if_cancelled()


class Writer:
    """Commits batches to one database. Thread-safe."""

    def __init__(
        self,
        commit: Callable[[Sequence[Any]], object],
        calls: Calls,
        *,
        ramp: WriteRamp | None = None,
        grace: float = 30.0,
    ) -> None:
        """Take how to commit and to repeat, the ramp, and the seconds for which a call that failed is in doubt."""
        self._commit = commit
        self._calls = calls
        self._ramp = ramp
        self._doubts = Doubts(calls.clock, grace=grace)

    def write(
        self,
        batch: Sequence[PlannedWrite],
        *,
        cancel: CancelToken | None = None,
        gate: Gate | None = None,
        guard: Any = None,  # noqa: ANN401 - a Write message
    ) -> Iterator[WriteResult]:
        """Write the batch; one result for each write, in any order. `guard` is one more write of every commit.

        Where a document is refused the batch is taken apart, so that it is refused alone: its result holds
        `PermanentError`. Any other error means all that is not yet applied: it may have been applied nevertheless.
        """
        pending = [list(batch)]
        while pending:
            part = pending.pop()
            try:
                left_out = self._send(part, cancel, gate, guard)
            except PermanentError as error:
                if len(part) > 1:
                    middle = len(part) // 2
                    pending += [part[middle:], part[:middle]]
                    continue
                yield WriteResult(part[0], PermanentError(f"{part[0].path} is refused: {error}"))
            except MediaWatchError as error:
                yield from (WriteResult(write, error) for write in part)
            else:
                yield from left_out
                refused = {id(result.write) for result in left_out}
                yield from (WriteResult(write) for write in part if id(write) not in refused)

    def _send(
        self,
        part: list[PlannedWrite],
        cancel: CancelToken | None,
        gate: Gate | None,
        guard: Any,  # noqa: ANN401 - as above
    ) -> list[WriteResult]:
        """Commit the part without what the gate has taken out, which is returned."""
        left_out: list[WriteResult] = []
        guards = () if guard is None else (guard,)

        def attempt() -> None:
            if cancel is not None:
                cancel.raise_if_cancelled()
            kept = part
            if gate is not None:
                left_out.clear()
                left_out.extend(gate(part))
                stopped = {id(result.write) for result in left_out}
                kept = [write for write in part if id(write) not in stopped]
            if not kept:
                return
            self._doubts.wait(kept, cancel=cancel)
            if self._ramp is not None:
                self._ramp.acquire(len(kept), cancel=cancel)
            try:
                self._commit([*(write.message for write in kept), *guards])
            except self._calls.errors as error:
                verdict = self._calls.verdict(error)
                if verdict is Verdict.AGAIN:
                    self._doubts.note(kept)
                if verdict is Verdict.SLOWER and self._ramp is not None:
                    self._ramp.step_back()
                raise

        self._calls.run(attempt, doing=f"a batch of {len(part)} documents was not written", cancel=cancel)
        return left_out
