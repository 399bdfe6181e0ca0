"""Removes from a destination what the cut-off upload of an ended task left there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from media_watch_tasks.abc.uploader import Resumable
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.tasks import Task, TaskSelection, TaskState

__all__ = ["abort_unfinished", "waiting_unfinished"]

_log = logging.getLogger(__name__)
_PORTION = 1_000
_WAITING = frozenset({TaskState.PENDING, TaskState.FAILED})


def abort_unfinished(core: ManagerCore, task: Task) -> None:
    """Ask the uploader to remove what the task's resume state names. Whatever goes wrong is logged, and that is all."""
    uploader = core.destinations.uploader(task.route)
    if not task.resume_state or not isinstance(uploader, Resumable):
        return
    try:
        uploader.abort(task.resume_state)
    except Exception as error:  # noqa: BLE001 - the task ends as it does, whatever its leftovers do
        _log.warning(
            "what a cut-off upload left could not be removed: %s",
            redact(str(error)),
            extra={"task_id": task.id, "destination_id": task.destination_id},
        )


def waiting_unfinished(core: ManagerCore, selection: TaskSelection) -> Sequence[Task]:
    """The waiting tasks of a selection that have a resume state; none where no uploader can abort."""
    if not any(isinstance(core.destinations.uploader(route), Resumable) for route in core.destinations.routes):
        return ()
    states = _WAITING if selection.states is None else _WAITING & selection.states
    waiting = attrs.evolve(selection, states=states)  # of the many that have ended none is looked at
    found: list[Task] = []
    after = 0
    while page := core.tasks.tasks(waiting, limit=_PORTION, after_id=after):
        found += [task for task in page if task.resume_state]
        after = page[-1].id
    return found
