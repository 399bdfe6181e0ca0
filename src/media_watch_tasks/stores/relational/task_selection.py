"""Task selections as SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from media_watch_tasks.model.tasks import TaskSelection, TaskState
from media_watch_tasks.stores.relational.task_codec import json_of_ids, state_number, tag_to_sql
from media_watch_tasks.stores.relational.task_names import Names

__all__ = ["RUNNING_IDS", "WAITING_IDS", "Condition", "Values", "conditions"]

Values = tuple[int | str | bytes | None, ...]
Condition = tuple[str, Values]
"""An SQL term over `task AS t`, and its parameters."""

# One SELECT for each partial index, so that tasks that have ended are not read.
WAITING_IDS = """
SELECT id FROM task WHERE phase = 0 AND crashes < 2
UNION ALL SELECT id FROM task WHERE phase = 0 AND crashes >= 2
UNION ALL SELECT id FROM task WHERE phase = 1
UNION ALL SELECT id FROM task WHERE phase = 2
UNION ALL SELECT id FROM task WHERE phase = 3
"""
RUNNING_IDS = "SELECT id FROM task WHERE phase = 4"

_PORTION = 10_000
"""BLOBs are parameters, of which SQLite takes 32,766."""
_WAITING = frozenset({TaskState.PENDING, TaskState.FAILED})
_LIVE = _WAITING | {TaskState.UPLOADING}


def conditions(
    selection: TaskSelection, names: Names, one_of: Callable[[str, Sequence[bytes]], Condition]
) -> Iterator[Condition]:
    """Terms that hold for the tasks of the selection, each task in one of them: more than one for thousands of keys.

    `one_of(column, blobs)` makes the term that says that a column is one of these BLOBs.
    """
    base: list[Condition] = []
    routes = selection.routes
    if routes is not None:
        base.append(_one_of("t.route", names.ids_of(routes)))
    elif selection.asset_ids is not None or (selection.states is not None and not selection.states & _LIVE):
        # An index begins with the route.
        base.append(_one_of("t.route", list(names.routes)))
    if selection.ids is not None:
        base.append(_one_of("t.id", selection.ids))
    if selection.states is not None:
        base += _in_states(selection.states)
    if selection.tag is not None:
        base.append(("t.id IN (SELECT task_id FROM task_tag WHERE tag = ?)", (tag_to_sql(selection.tag),)))
    for assets in _portions("t.asset_id", selection.asset_ids, one_of):
        for keys in _portions("t.key", selection.keys, one_of):
            terms = [*base, *assets, *keys]
            yield (
                " AND ".join(term for term, _ in terms) or "TRUE",
                tuple(value for _, values in terms for value in values),
            )


def _one_of(column: str, numbers: Collection[int]) -> Condition:
    return f"{column} IN (SELECT value FROM json_each(?))", (json_of_ids(numbers),)  # noqa: S608 - a column


def _in_states(states: frozenset[TaskState]) -> Iterator[Condition]:
    if not states & _LIVE:
        yield "t.phase = 5", ()
    elif states <= _WAITING:
        yield f"t.id IN ({WAITING_IDS})", ()
    elif states <= _LIVE:
        yield f"t.id IN ({WAITING_IDS} UNION ALL {RUNNING_IDS})", ()
    yield _one_of("t.state", [state_number(state) for state in states])


def _portions(
    column: str, blobs: Collection[bytes] | None, one_of: Callable[[str, Sequence[bytes]], Condition]
) -> Iterator[Sequence[Condition]]:
    if blobs is None:
        yield ()
        return
    ordered = sorted(blobs)
    for start in range(0, max(len(ordered), 1), _PORTION):
        yield (one_of(column, ordered[start : start + _PORTION]),)
