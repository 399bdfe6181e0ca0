"""Claims: taking back, promoting what has become due, choosing, and handing out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.tasks import Claim, ClaimRef, ClaimRequest, Task, TaskState, WaitReason
from media_watch_tasks.stores.phases import crash_delay_ns
from media_watch_tasks.stores.relational.claim_plan import TAKE_CHOSEN, ClaimPlan, plan_for
from media_watch_tasks.stores.relational.labels import asked_labels
from media_watch_tasks.stores.relational.task_codec import (
    DEAD,
    NO_TAGS,
    json_of_ids,
    tags_from_sql,
    wait_number,
)
from media_watch_tasks.stores.relational.task_core import Again, End, Held, TaskCore
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.task_names import Names
from media_watch_tasks.stores.relational.text_codec import from_sql
from media_watch_tasks.stores.relational.worker_records import WorkerRecords

__all__ = ["TaskClaim"]

_BEGIN = """
UPDATE task SET attempts = attempts + 1 - begun, begins = begins + 1 - begun, begun = 1
WHERE id = ? AND token = ? AND phase = 4
RETURNING id
"""
_new = tuple.__new__
"""Makes a named tuple of its values in order: by keyword a claim would take as long here as in SQLite."""
_BACKOFF = wait_number(WaitReason.BACKOFF)
_PORTION = 1_000
"""So many tasks of a lane are promoted at a time at most: no claim pays for the backlog of a night."""


class _Looked(NamedTuple):
    """When the queue was brought up to date, and for what."""

    plan: ClaimPlan
    now_ns: int
    boot_ns: int
    boot_id: str


class TaskClaim:
    """`claim_batch`, `begin`, `take_back`. Every method needs a transaction."""

    take_chosen = TAKE_CHOSEN
    """UPDATE that claims tasks by their ids."""
    locks_every_ns = NANOSECONDS // 20
    """How often the locks of the other workers are tried."""
    look_every_ns = NANOSECONDS // 100
    """How often the queue is brought up to date while there are tasks to claim."""

    def __init__(
        self, core: TaskCore, workers: WorkerRecords, *, dead_after: int, crash_backoff_ns: Sequence[int]
    ) -> None:
        self._core = core
        self._workers = workers
        self._dead_after = dead_after
        self._crash_backoff_ns = tuple(crash_backoff_ns)
        self._locks_tried_ns: int | None = None
        self.last_token = 0
        """No token that this object has given out is higher."""
        self._looked: _Looked | None = None

    def claim(self, request: ClaimRequest) -> tuple[Claim, ...]:
        """See `TaskStore.claim_batch`."""
        worker = self._workers.number_of(request.worker_id)
        if request.limit < 1:
            return ()
        self._void_dead_workers()
        now = self._core.clock.now_ns()
        names = self._core.names.latest_known()
        asked = frozenset[str]() if request.share is None else asked_labels(request.share)
        if not asked <= names.selectors:
            names = self._core.sort_by(asked)
        plan = self.plan(names, request, now)
        rows = self._take(plan, names, request, worker, now) if self._is_up_to_date(plan, now) else []
        if not rows:
            plan, names = self._bring_up_to_date(request, worker)
            rows = self._take(plan, names, request, worker, now)
        if not rows:
            return ()
        rows.sort()  # what a claim is ordered by stands in front, and no two tasks have the same id
        self.last_token = max([row[3] for row in rows])
        return _claims_from_rows(rows, names, now, begun=request.begin)

    def begin(self, refs: Sequence[ClaimRef]) -> frozenset[int]:
        """See `TaskStore.begin`."""
        execute = self._core.database.execute
        return frozenset(row[0] for ref in refs for row in execute(_BEGIN, (ref.task_id, ref.token)))

    def take_back(self, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None) -> int:
        """See `TaskStore.take_back`."""
        self._locks_tried_ns = None
        self._dead_after, self._crash_backoff_ns = dead_after, tuple(backoff_ns)
        own = None if asking is None else self._workers.known_number(asking)
        voided = self._void_dead_workers()
        names = self._core.names.current()
        lapsed = self._core.lapsed(names, asking=own)
        self._take_back(names, lapsed)
        return voided + len(lapsed)

    def least_token(self, now_ns: int) -> int:  # noqa: ARG002 - for databases that can forget a claim
        """The token of the next claim, unless its task had a higher one."""
        return self.last_token + 1

    # ---- before the choice

    def plan(self, names: Names, request: ClaimRequest, now_ns: int) -> ClaimPlan:
        """The plan for requests like this one."""
        return plan_for(names, request, now_ns)

    def _is_up_to_date(self, plan: ClaimPlan, now_ns: int) -> bool:
        """True if the queue was brought up to date for this plan a moment ago: no clock has moved on by more."""
        clock, looked = self._core.clock, self._looked
        return (
            looked is not None
            and looked.plan is plan
            and 0 <= now_ns - looked.now_ns < self.look_every_ns
            and 0 <= clock.boot_ns() - looked.boot_ns < self.look_every_ns
            and clock.boot_id() == looked.boot_id
        )

    def _bring_up_to_date(self, request: ClaimRequest, worker: int) -> tuple[ClaimPlan, Names]:
        """Take back, free, promote and pull in what the clocks say; the plan, and what it was made of."""
        core = self._core
        clock = core.clock
        names = core.names.latest_known()
        if clock.boot_id() not in names.boots:
            # Adding it makes a new version: of what stands in the database, never of what was known at some time.
            names = core.names.current()
        while True:
            now, boot_ns = clock.now_ns(), clock.boot_ns()
            boot = core.names.boot(names)
            plan = self.plan(names, request, now)
            latest = now + request.longest_delay_ns
            version, lapsed, behind, due, beyond = core.database.execute(
                plan.look, (now, latest, boot, boot_ns, worker)
            )[0]
            if version == names.version and not names.pauses.past(now):
                break
            names = core.names.at(version)
            core.end_past_pauses(names)
        if lapsed or behind or due or beyond:
            core.database.require_alone()
        self._looked = _Looked(plan, now, boot_ns, clock.boot_id())
        if lapsed:
            tasks = core.lapsed(names, asking=worker)
            self._take_back(names, tasks)
        elif behind:
            core.free_behind(names)
        # What was freed here has been looked at by nobody.
        if due or lapsed or behind:
            for lane in plan.lanes:
                core.database.execute(plan.promote, (lane, now, _PORTION))
        if beyond or lapsed or behind:
            core.database.execute(plan.pull_in, (latest,))
        return plan, names

    # ---- the choice

    def _take(self, plan: ClaimPlan, names: Names, request: ClaimRequest, worker: int, now_ns: int) -> list[Row]:
        """Claim the best tasks; none where the small tables have changed since the plan was made."""
        execute, clock = self._core.database.execute, self._core.clock
        limit = 1 if request.alone else request.limit
        # Numbers for what the plan does not ask: a None costs the driver a look-up of its adapters.
        pick = (limit, worker, -1 if request.floor is None else request.floor)
        lease_end = clock.boot_ns() + request.lease_ns
        boot = names.boots[clock.boot_id()]
        begun = 1 if request.begin else 0
        taking = (0, self.least_token(now_ns), boot, lease_end, begun, now_ns, names.version)
        if plan.take is not None:
            return execute(plan.take, (*pick, *taking))
        chosen = self._choose(plan, pick)
        if not chosen:
            return []
        rows = execute(self.take_chosen, (json_of_ids(chosen), *pick[1:], *taking))
        return rows or self._none_left(plan, names, request, worker, now_ns)

    def _none_left(self, plan: ClaimPlan, names: Names, request: ClaimRequest, worker: int, now_ns: int) -> list[Row]:  # noqa: ARG002 - for databases with many writers
        """What to claim instead, when none of the chosen tasks could be taken."""
        return []

    def _choose(self, plan: ClaimPlan, pick: tuple[int, int, int]) -> list[int]:
        execute = self._core.database.execute
        best = [row for statement in plan.picks for row in execute(self.counted(statement), (*pick, None))]
        for probe in plan.probes:
            if execute(probe.busy):
                continue
            one = (1, *pick[1:], probe.pause.task_id)
            # The task that the pause was set for may be the very reason: another one is the better probe.
            found = [row for statement in probe.another for row in execute(self.counted(statement), one)]
            found = found or [row for statement in probe.any_task for row in execute(self.counted(statement), one)]
            best += sorted(found, key=_order)[:1]
        return [row[2] for row in sorted(best, key=_order)[: pick[0]]]

    @staticmethod
    def counted(pick: str) -> str:
        """The pick with all of its parameters, whichever it uses: SQLite wants to be given no more."""
        return f"SELECT * FROM ({pick}) WHERE ?4 IS ?4"  # noqa: S608 - of the plan

    # ---- taking back

    def _void_dead_workers(self) -> int:
        """Take back what workers hold whose processes have died, as far as their lock files say so; how many."""
        now = self._core.clock.monotonic_ns()
        if self._locks_tried_ns is not None and now - self._locks_tried_ns < self.locks_every_ns:
            return 0
        self._locks_tried_ns = now
        dead = self._workers.bury_dead()
        if not dead:
            return 0
        tasks = self._core.held_by(dead)
        self._take_back(self._core.names.current(), tasks)
        return len(tasks)

    def _take_back(self, names: Names, tasks: Sequence[Held]) -> None:
        now = self._core.clock.now_ns()
        ended: list[End] = []
        again: list[Again] = []
        for task in tasks:
            if not task.begun:
                again.append(Again(task, task.due_ns, None, task.attempts, task.crashes, task.begins))
                continue
            crashes = task.crashes + 1
            if crashes >= self._dead_after and task.cancel_reason is None:
                ended.append(End(task, DEAD, "crashed", task.attempts - 1, crashes, task.begins))
            else:
                due = now + crash_delay_ns(crashes, self._crash_backoff_ns)
                again.append(Again(task, due, _BACKOFF, task.attempts - 1, crashes, task.begins))
        self._core.end(ended)
        self._core.back(names, again)
        if any(task.behind is not None for task in tasks):
            self._core.free_behind(names)


def _order(row: Row) -> tuple[int, int, int]:
    priority, due_ns, task_id = row
    return -priority, due_ns, task_id


def _claims_from_rows(rows: Sequence[Row], names: Names, now_ns: int, *, begun: bool) -> tuple[Claim, ...]:
    lanes, uploading, most_begun = names.lanes, TaskState.UPLOADING, int(begun)
    claims: list[Claim] = []
    for (
        descending,
        due_ns,
        task_id,
        token,
        lane,
        asset_id,
        size,
        mtime_ns,
        key,
        tags,
        enqueued_ns,
        live_since_ns,
        attempts,
        crashes,
        begins,
        error,
        resume_state,
    ) in rows:
        route, constraints = lanes[lane]
        values = (
            task_id,
            route,
            asset_id,
            _new(Fingerprint, (size, mtime_ns)),
            key,
            uploading,
            due_ns,
            enqueued_ns,
            live_since_ns,
            now_ns,
            None,  # it waits for nothing
            -descending,
            NO_TAGS if tags is None else tags_from_sql(tags),
            constraints,
            attempts,
            crashes,
            begins > most_begun,  # what a claim says is whether work had begun before it
            None,  # no reason, for it has not ended
            None if error is None else from_sql(error),
            None if resume_state is None else json.loads(resume_state),
            None,  # no progress
            None,  # no receipt
            None,  # not delivered
            False,
        )
        claims.append(_new(Claim, (_new(Task, values), token)))
    return tuple(claims)
