"""Every claim of a process and its end, noted in a trace: `task:token`.

What a transaction has done that is not committed yet may never have been done: what happens in one that several stores
share is noted behind its commit.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from tests.crash.marks import Marks

from media_watch_tasks.model.settlements import SettleResult
from media_watch_tasks.model.tasks import Claim
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore

__all__ = ["watch_claims"]


class _Notes(threading.local):
    within: list[tuple[str, str]] | None = None
    """What the shared transaction of this thread has done so far."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    def note(self, phase: str, detail: str) -> None:
        if self.within is None:
            self._marks.write("=", phase, detail)
        else:
            self.within.append((phase, detail))

    def claimed(self, claims: Any) -> None:
        claim: Claim
        for claim in claims:
            self.note("claimed", f"{claim.task.id}:{claim.token}:{claim.task.key}")

    def behind_its_commit(self, run_together: Callable[[Callable[[], Any]], Any], work: Callable[[], Any]) -> Any:
        def attempt() -> Any:
            self.within = []
            return work()

        noted: list[tuple[str, str]] = []
        try:
            result = run_together(attempt)
            noted += self.within or ()
        finally:
            self.within = None
        for phase, detail in noted:
            self.note(phase, detail)
        return result


def watch_claims(marks: Marks, store: type[RelationalTaskStore]) -> None:
    """Note what the stores of this class claim and settle."""
    watched: Any = store
    claim_batch, settle, run_together = watched.claim_batch, watched.settle, watched.run_together
    notes = _Notes(marks)

    @functools.wraps(claim_batch)
    def watched_claim(self: RelationalTaskStore, request: Any) -> Any:
        claims = claim_batch(self, request)
        notes.claimed(claims)
        return claims

    @functools.wraps(settle)
    def watched_settle(self: RelationalTaskStore, settlements: Any, **named: Any) -> SettleResult:
        for each in settlements:
            marks.write("=", "settling", f"{each.ref.task_id}:{each.ref.token}:{type(each).__name__}")
        result: SettleResult = settle(self, settlements, **named)
        for each in settlements:
            if each.ref.task_id in result.settled:
                notes.note("settled", f"{each.ref.task_id}:{each.ref.token}:{type(each).__name__}")
        notes.claimed(result.claims)
        return result

    @functools.wraps(run_together)
    def watched_run(self: RelationalTaskStore, work: Callable[[], Any]) -> Any:
        if notes.within is not None:
            return run_together(self, work)
        return notes.behind_its_commit(functools.partial(run_together, self), work)

    watched.claim_batch, watched.settle, watched.run_together = watched_claim, watched_settle, watched_run
