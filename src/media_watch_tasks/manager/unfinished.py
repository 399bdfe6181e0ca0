"""Removes from a destination what the cut-off uploads of ended tasks left there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from media_watch_tasks.abc.uploader import RemovesUnfinished
from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.tasks import Task

__all__ = ["remove_unfinished"]

_log = logging.getLogger(__name__)
_PORTION = 100


def remove_unfinished(core: ManagerCore) -> None:
    """Ask the uploaders to abort what tasks without a delivery left, whoever ended them: a worker, a scan, a person.

    It is owed by the database until it is done. What cannot be done now is left for the next time, and so is the rest
    of that destination; what can never be done is logged and forgotten.
    """
    for route in core.destinations.routes:
        uploader = core.destinations.uploader(route)
        if not isinstance(uploader, RemovesUnfinished):
            continue
        while tasks := core.tasks.unfinished((route,), limit=_PORTION):
            if not _all_removed(core, uploader, tasks):
                break


def _all_removed(core: ManagerCore, uploader: RemovesUnfinished, tasks: Sequence[Task]) -> bool:
    for task in tasks:
        if core.closing.cancelled:
            return False
        try:
            uploader.abort(task.resume_state or {})
        except Exception as error:  # noqa: BLE001 - the task has ended as it has, whatever its leftovers do
            final = isinstance(error, PermanentError | ConfigurationError)
            _log.warning(
                "what a cut-off upload left could not be removed%s: %s",
                "" if final else ", will be tried again",
                redact(str(error)),
                extra={"task_id": task.id, "destination_id": task.destination_id},
            )
            if not final:
                return False
        core.tasks.finish_unfinished(task.id)
    return True
