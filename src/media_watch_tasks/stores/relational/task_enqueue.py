"""Enqueueing: a short way for assets that were never seen, and the full look for all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.tasks import EnqueueOutcome, EnqueueResult, NewTask, WaitReason
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational.task_codec import NO_TAGS, tag_to_sql, tags_from_sql, tags_to_sql, wait_number
from media_watch_tasks.stores.relational.task_core import SUPERSEDED, Held, TaskCore
from media_watch_tasks.stores.relational.task_names import Names

__all__ = ["TaskEnqueue"]

_STATE = "SELECT names_version, max(purged_id, coalesce((SELECT max(id) FROM task), 0)) FROM task_store"
_COLUMNS = (
    "route, asset_id, lane, phase, wait, priority, due_ns, size, mtime_ns, key, tags, enqueued_ns, live_since_ns, "
    "updated_ns, slot, begins, id, counted, state"
)
_VALUES = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?12"
_ADD_NEW = f"INSERT INTO task ({_COLUMNS}) VALUES ({_VALUES}, 0, 0, ?13, 1, 0)"  # noqa: S608 - as above
# One look at the index says that no version of the asset is known: then there is nothing to compare with.
# Else the phase is NULL, and the row, which the column refuses then, ignored: a SELECT … WHERE would have its result
# put down first, because it reads the table that it adds to.
_ADD_ONE_NEW = f"""
INSERT OR IGNORE INTO task ({_COLUMNS})
VALUES (
    ?1, ?2, ?3,
    CASE WHEN (SELECT names_version FROM task_store) = ?13
        AND NOT EXISTS (SELECT 1 FROM task WHERE route = ?1 AND asset_id = ?2) THEN ?4 END,
    ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?12, 0, 0,
    (SELECT max(purged_id, coalesce((SELECT max(id) FROM task), 0)) + 1 FROM task_store), 1, 0
)
"""  # noqa: S608 - as above
_ADD = f"INSERT INTO task ({_COLUMNS}) VALUES ({_VALUES}, ?13, ?14, ?15, 1, 0)"  # noqa: S608 - as above
_BETWEEN = "SELECT asset_id FROM task WHERE route = ? AND asset_id BETWEEN ? AND ? LIMIT ?"
_IS_KNOWN = "SELECT 1 FROM task WHERE route = ? AND asset_id = ? LIMIT 1"
_VERSIONS = "SELECT id, slot, phase, key, begins FROM task WHERE route = ? AND asset_id = ? ORDER BY id"
_TAG = "INSERT INTO task_tag (tag, task_id) VALUES (?, ?)"
_SETTLING = wait_number(WaitReason.SETTLING)
# Plain numbers: an enumeration costs the driver a look-up of its adapters.
_READY, _WAITING, _HELD = int(Phase.READY), int(Phase.WAITING), int(Phase.HELD)

_STRANGERS = 64
"""So many tasks between the first and the last asset of a batch, beside twice its own, are read over."""

_Values = tuple[int | str | bytes | None, ...]


class _Version(NamedTuple):
    id: int
    slot: int | None
    phase: int
    key: bytes
    begins: int


class TaskEnqueue:
    """`enqueue_if_absent`, and the task that a superseded one leaves behind. Every method needs a transaction."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def enqueue(self, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        """See `TaskStore.enqueue_if_absent`."""
        if len(tasks) == 1:
            return [self._enqueue_one(tasks[0])]
        if not tasks:
            return []
        results: list[EnqueueResult] = []
        for distinct in _without_repeats(tasks):
            results += self._enqueue_distinct(distinct)
        return results

    def add_found(self, names: Names, task: Held, *, found: Fingerprint, due_ns: int) -> None:
        """Enqueue the version that a worker has found in the place of its task, which has ended by now."""
        route = names.lanes[task.lane][0]
        key = task_key(route, task.asset_id, found)
        versions = self._versions(task.route, task.asset_id)
        waiting = next((version for version in versions if version.slot in {0, 1}), None)
        if (waiting is not None and waiting.key == key) or _is_delivered(versions, key):
            return
        if waiting is not None:
            self._core.end_waiting([waiting.id], SUPERSEDED)
        phase, wait = self._core.place(names, tags=task.tags, due_ns=due_ns, wait=_SETTLING)
        values = (
            *(task.route, task.asset_id, task.lane, phase, wait, task.priority, due_ns, found.size, found.mtime_ns),
            *(key, task.tags, self._core.clock.now_ns(), 0, _begun_before(versions, key)),
            self._state(1)[1][0],
        )
        self._add(values, tags_from_sql(task.tags))

    # ---- the short way

    def _enqueue_one(self, new: NewTask) -> EnqueueResult:
        names = self._core.names.latest_known()
        if names.lane_key(new.route, new.constraints, new.asset_id, new.tags) in names.lane_of:
            ((*values, _),) = self._rows(names, (new,), 0)
            task_id = self._core.database.insert(_ADD_ONE_NEW, (*values, names.version))
            if task_id is not None:
                if new.tags:
                    self._tag(((task_id, new),))
                return EnqueueResult(EnqueueOutcome.ENQUEUED, task_id)
        return self._enqueue_distinct((new,))[0]

    def _enqueue_distinct(self, tasks: Sequence[NewTask]) -> list[EnqueueResult]:
        database = self._core.database
        version, ids = self._state(len(tasks))
        names = self._core.names.at(version)
        rows = self._rows(names, tasks, ids[0])
        known = self._known(rows)
        database.executemany(_ADD_NEW, [row for row in rows if row[:2] not in known])
        self._tag([(row[-1], new) for row, new in zip(rows, tasks, strict=True) if new.tags and row[:2] not in known])
        return [
            self._enqueue_known(new, row[:-1], task_id)
            if row[:2] in known
            else EnqueueResult(EnqueueOutcome.ENQUEUED, task_id)
            for task_id, new, row in zip(ids, tasks, rows, strict=True)
        ]

    def _state(self, count: int) -> tuple[int, Sequence[int]]:
        """(the version of the small tables, the ids of as many tasks that are to be added)."""
        version, last = self._core.database.execute(_STATE)[0]
        return version, range(last + 1, last + 1 + count)

    def _known(self, rows: Sequence[_Values]) -> set[_Values]:
        """(route, asset id) of those rows of which some version is known."""
        routes = {row[0] for row in rows}
        if len(routes) == 1:
            (route_id,) = routes
            return {(route_id, asset_id) for asset_id in self._known_of(route_id, [row[1] for row in rows])}
        return {row[:2] for row in rows if self._core.database.execute(_IS_KNOWN, row[:2])}

    def _known_of(self, route_id: Any, assets: Sequence[Any]) -> set[Any]:  # noqa: ANN401 - columns of a row
        """The assets of which some version is known."""
        execute = self._core.database.execute
        # Mostly the files of one folder: what stands between the first and the last of them is little else.
        most = 2 * len(assets) + _STRANGERS
        found = execute(_BETWEEN, (route_id, min(assets), max(assets), most))
        if len(found) < most:
            return {row[0] for row in found}.intersection(assets) if found else set()
        return {asset_id for asset_id in assets if execute(_IS_KNOWN, (route_id, asset_id))}

    def _rows(self, names: Names, tasks: Sequence[NewTask], task_id: int) -> list[_Values]:
        """What is written of them, with ids from this one on."""
        now = self._core.clock.now_ns()
        held = names.pauses.held_tags(now) if names.pauses else NO_TAGS
        known_lane, selectors = names.lane_of.get, names.selectors
        rows: list[_Values] = []
        for new in tasks:
            route, asset_id, fingerprint, due_ns, priority, new_tags, constraints, _ = new
            lane_key = names.lane_key(route, constraints, asset_id, new_tags) if selectors else (route, constraints)
            lane = known_lane(lane_key)
            if lane is None:
                lane = self._core.names.lane(names, lane_key)
            phase, wait = (_WAITING, _SETTLING) if due_ns > now else (_READY, None)
            tags = None
            if new_tags:
                tags = tags_to_sql(new_tags)
                phase = phase if held.isdisjoint(new_tags) else _HELD
            size, mtime_ns = fingerprint
            key = task_key(route, asset_id, fingerprint)
            route_id, lane_id = lane
            rows.append(
                (route_id, asset_id, lane_id, phase, wait, priority, due_ns, size, mtime_ns, key, tags, now, task_id)
            )
            task_id += 1
        return rows

    # ---- the full look

    def _enqueue_known(self, new: NewTask, values: _Values, task_id: int) -> EnqueueResult:
        versions = self._versions(values[0], new.asset_id)
        current = next((version for version in versions if version.slot == 0), None)
        behind = next((version for version in versions if version.slot == 1), None)
        running = current if current is not None and current.phase == Phase.RUNNING else None
        there = [running] if new.force else [current, behind]
        for version in there:
            if version is not None and version.key == new.key:
                return EnqueueResult(EnqueueOutcome.LIVE, version.id)
        if not new.force and _is_delivered(versions, new.key):
            return EnqueueResult(EnqueueOutcome.DELIVERED)
        waiting = behind if running is not None else current
        if waiting is not None:
            self._core.end_waiting([waiting.id], SUPERSEDED)
        begins = 0 if new.force else _begun_before(versions, new.key)
        if running is not None:
            values = (*values[:3], Phase.BEHIND, *values[4:])
        self._add((*values, int(running is not None), begins, task_id), new.tags)
        if running is not None:
            return EnqueueResult(EnqueueOutcome.BEHIND, task_id)
        return EnqueueResult(EnqueueOutcome.ENQUEUED if waiting is None else EnqueueOutcome.SUPERSEDED, task_id)

    def _versions(self, route_id: int | str | bytes | None, asset_id: bytes) -> list[_Version]:
        return [_Version(*row) for row in self._core.database.execute(_VERSIONS, (route_id, asset_id))]

    def _add(self, values: _Values, tags: frozenset[str]) -> None:
        """Write a task; the last of the values is its id."""
        self._core.database.execute(_ADD, values)
        if tags:
            self._core.database.executemany(_TAG, [(tag_to_sql(tag), values[-1]) for tag in sorted(tags)])

    def _tag(self, added: Sequence[tuple[int | str | bytes | None, NewTask]]) -> None:
        rows = [(tag_to_sql(tag), task_id) for task_id, new in added for tag in new.tags]
        if rows:
            self._core.database.executemany(_TAG, rows)


def _is_delivered(versions: Sequence[_Version], key: bytes) -> bool:
    """True if the key is the latest delivered version, and no work on another one can have overwritten it since."""
    latest = next((version for version in versions if version.slot == 2), None)  # noqa: PLR2004 - the latest delivery
    if latest is None or latest.key != key:
        return False
    return not any(
        version.id > latest.id and (version.begins or version.phase == Phase.RUNNING) for version in versions
    )


def _begun_before(versions: Sequence[_Version], key: bytes) -> int:
    return int(any(version.begins and version.key == key for version in versions))


def _without_repeats(tasks: Sequence[NewTask]) -> Iterator[Sequence[NewTask]]:
    """The tasks in order, in portions that name no asset twice."""
    if len({new.asset_id for new in tasks}) == len(tasks):
        yield tasks
        return
    seen: set[tuple[Route, bytes]] = set()
    start = 0
    for place, new in enumerate(tasks):
        asset = (new.route, new.asset_id)
        if asset in seen:
            yield tasks[start:place]
            seen, start = set(), place
        seen.add(asset)
    yield tasks[start:]
