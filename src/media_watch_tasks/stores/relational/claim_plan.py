"""The SQL of a claim: made once for each kind of request and state of the small tables, then used again and again."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from media_watch_tasks.model.settlements import Pause
from media_watch_tasks.model.tasks import ClaimRequest
from media_watch_tasks.stores.relational.labels import takes_labels
from media_watch_tasks.stores.relational.task_names import Names

__all__ = ["TAKE_CHOSEN", "TAKE_CHOSEN_LOCKED", "ClaimPlan", "Probe", "plan_for"]

_ORDER = "ORDER BY priority DESC, due_ns, id"
_COLUMNS = "SELECT priority, due_ns, id"
_TERMS = 400
"""SQLite joins at most 500 selects into one."""

# Numbered parameters, the same in every statement that picks: 1 limit, 2 worker, 3 floor, 4 the suspect of a pause.
_NOT_IN_THIS_RUN = " AND NOT (token > ?3 AND coalesce(worker, 0) = ?2)"
_NOT_THE_SUSPECT = " AND id <> coalesce(?4, 0)"

# Further ones: 5 the least token, 6 boot, 7 end of the lease, 8 whether the attempt is counted (0 or 1), 9 now,
# 10 the version of the small tables that the choice rests on. A token is higher than all that the task ever had: that
# alone makes an old one void, so no counter has to be written with each claim.
_TAKE = """
UPDATE task SET phase = 4, state = 2, wait = NULL, token = CASE WHEN token < ?5 THEN ?5 ELSE token + 1 END,
    worker = ?2, boot = ?6, lease_end = ?7, begun = ?8, attempts = attempts + ?8, begins = begins + ?8,
    progress = NULL, updated_ns = ?9
WHERE id {ids} AND (SELECT names_version FROM task_store) = ?10
RETURNING -priority, due_ns, id, token, lane, asset_id, size, mtime_ns, key, tags, enqueued_ns, live_since_ns, attempts,
    crashes, begins, error, resume_state
"""
_LOCK = " FOR UPDATE SKIP LOCKED"
"""Where there are many writers: a row that another one is about to take is passed over."""
TAKE_CHOSEN = _TAKE.format(ids="IN (SELECT value FROM json_each(?1))")
"""UPDATE that claims the tasks of a JSON array of ids, which takes the place of the limit."""
_TAKE_LOCKED = _TAKE.replace("id {ids}", "id = ANY (ARRAY({ids}))")
"""The same where there are many writers: the choice locks what it takes, and is made once."""
TAKE_CHOSEN_LOCKED = _TAKE_LOCKED.format(
    ids=f"SELECT id FROM task WHERE id IN (SELECT value FROM json_each(?1)) AND phase IN (0, 1){_LOCK}"  # noqa: S608
)

# Parameters: 1 now, 2 the latest due time there can be, 3 boot, 4 now by the boot clock, 5 the asking worker.
_LOOK = """
SELECT names_version,
    EXISTS (SELECT 1 FROM task WHERE phase = 4 AND (boot, lease_end) <= (?3, ?4) AND worker <> ?5),
    EXISTS (SELECT 1 FROM task AS b WHERE b.phase = 3 AND NOT EXISTS (
        SELECT 1 FROM task AS c WHERE c.route = b.route AND c.asset_id = b.asset_id AND c.slot = 0
    )),
    EXISTS (SELECT 1 FROM task WHERE phase = 1 AND lane IN ({lanes}) AND due_ns <= ?1),
    EXISTS (SELECT 1 FROM task WHERE phase = 1 AND lane IN ({lanes}) AND due_ns > ?2)
FROM task_store
"""
_PROMOTE = """
UPDATE task SET phase = 0, wait = NULL
WHERE id IN (SELECT id FROM task WHERE phase = 1 AND lane = ?1 AND due_ns <= ?2 ORDER BY due_ns LIMIT ?3)
"""
_PULL_IN = "UPDATE task SET due_ns = ?1 WHERE phase = 1 AND lane IN ({lanes}) AND due_ns > ?1"


@attrs.frozen
class Probe:
    """A destination that is tried with one task at a time."""

    pause: Pause
    busy: str
    """SELECT: a row if a task of the destination runs."""
    another: tuple[str, ...]
    """Picks that leave the suspect of the pause out."""
    any_task: tuple[str, ...]


@attrs.frozen
class ClaimPlan:
    """What to run for one kind of request. A pick is a SELECT of (priority, due_ns, id) of the best tasks, in order."""

    lanes: tuple[int, ...]
    """The lanes that may be claimed from, those of probes included."""
    look: str
    """SELECT: the version, and whether there is something to take back, free, promote, or pull in."""
    promote: str
    pull_in: str
    take: str | None
    """UPDATE that claims at once, where one pick is all there is to it."""
    picks: tuple[str, ...]
    probes: tuple[Probe, ...]
    made_ns: int
    until_ns: int | None
    """Wall times between which the pauses are as they were when the plan was made."""

    def holds_at(self, now_ns: int) -> bool:
        """False when a pause has ended since, or the clock was set back."""
        return self.made_ns <= now_ns and (self.until_ns is None or now_ns < self.until_ns)


def plan_for(names: Names, request: ClaimRequest, now_ns: int, *, locking: bool = False) -> ClaimPlan:
    """The plan for requests like this one. `locking`: the database has many writers."""
    kind = (
        *(request.routes, request.unmet, request.force, request.alone),
        *(request.share, request.floor is None, request.limit == 1),
    )
    plan = names.plans.get(kind)
    if not isinstance(plan, ClaimPlan) or not plan.holds_at(now_ns):
        plan = names.plans[kind] = _make(names, request, now_ns, locking=locking)
    return plan


def _make(names: Names, request: ClaimRequest, now_ns: int, *, locking: bool) -> ClaimPlan:
    free: list[int] = []
    half_open: dict[str, list[int]] = {}
    pauses: dict[str, Pause] = {}
    for lane, (route, constraints) in sorted(names.lanes.items()):
        if route not in request.routes or constraints & request.unmet or names.pauses.stops(route, now_ns):
            continue
        if request.share is not None and not takes_labels(request.share, names.labels[lane]):
            continue
        pause = names.pauses.half_open(route.destination_id, now_ns)
        if pause is None:
            free.append(lane)
        else:
            half_open.setdefault(route.destination_id, []).append(lane)
            pauses[route.destination_id] = pause
    lanes = (*free, *(lane for of_destination in half_open.values() for lane in of_destination))
    picks = _picks(free, request)
    simple = len(picks) == 1 and not half_open
    is_among = "=" if request.alone or request.limit == 1 else "IN"  # a single one needs no table of ids
    return ClaimPlan(
        lanes=lanes,
        look=_LOOK.format(lanes=_listed(lanes)),
        promote=_PROMOTE,
        pull_in=_PULL_IN.format(lanes=_listed(lanes)),
        take=_take(picks[0], is_among, locking=locking) if simple else None,
        picks=picks,
        probes=tuple(
            Probe(
                pause=pauses[destination],
                busy=_busy(names, destination),
                another=_picks(of_destination, request, narrow=_NOT_THE_SUSPECT),
                any_task=_picks(of_destination, request),
            )
            for destination, of_destination in sorted(half_open.items())
        ),
        made_ns=now_ns,
        until_ns=names.pauses.next_change_ns(now_ns),
    )


def _take(pick: str, is_among: str, *, locking: bool) -> str | None:
    """The claim by one statement; None where rows of several lanes would be locked, more than are taken."""
    if not locking:
        return _TAKE.format(ids=f"{is_among} (SELECT id FROM ({pick}) AS best)")  # noqa: S608 - of the plan
    return None if " UNION " in pick else _TAKE_LOCKED.format(ids=pick.replace(_COLUMNS, "SELECT id", 1) + _LOCK)


def _busy(names: Names, destination_id: str) -> str:
    lanes = [lane for lane, (route, _) in list(names.lanes.items()) if route.destination_id == destination_id]
    return f"SELECT 1 FROM task WHERE phase = 4 AND lane IN ({_listed(lanes)}) LIMIT 1"  # noqa: S608 - numbers


def _picks(lanes: Collection[int], request: ClaimRequest, *, narrow: str = "") -> tuple[str, ...]:
    places = ["phase = 0 AND crashes >= 2" if request.alone else "phase = 0 AND crashes < 2"]
    if request.force:
        places.append("phase = 1 AND wait = 1 AND crashes " + (">= 2" if request.alone else "< 2"))
    if request.floor is not None:
        narrow += _NOT_IN_THIS_RUN
    selects = [
        f"{_COLUMNS} FROM task WHERE {place} AND lane = {lane}{narrow} {_ORDER} LIMIT ?1"
        for place in places
        for lane in lanes
    ]
    if len(selects) > 1:
        selects = [f"SELECT * FROM ({select}) AS lane_{place}" for place, select in enumerate(selects)]  # noqa: S608 - as above
    return tuple(
        " UNION ALL ".join(selects[start : start + _TERMS]) + (f" {_ORDER} LIMIT ?1" if len(selects) > 1 else "")
        for start in range(0, len(selects), _TERMS)
    )


def _listed(lanes: Collection[int]) -> str:
    return ", ".join(map(str, lanes)) or "NULL"
