"""New tasks in a file that other processes write too: SQLite calls nobody, so a cheap number is looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.database import Database

__all__ = ["watch_announcements"]

_LOOK_EVERY = 0.05
"""Seconds. A look takes some microseconds: a process that waits for a day looks for less than a minute of it."""
_HIGHEST = "SELECT max(id) FROM task"


def watch_announcements(database: Database, ended: threading.Event, tell: Callable[[], None]) -> None:
    """Call `tell` for new tasks until the event is set."""
    version: int | None = None
    highest: object = ()
    while not ended.wait(_LOOK_EVERY):
        try:
            found = database.data_version()
            if found == version:
                continue
            # Something was committed; ids grow, and most commits bring no task.
            latest = database.execute(_HIGHEST)[0][0]
        except StoreError:
            continue  # it is busy: the next look is soon
        version = found
        if latest != highest:
            highest = latest
            tell()
