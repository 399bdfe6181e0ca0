"""New tasks are announced by NOTIFY, in the commit that brings them, and heard on a connection of its own.

A NOTIFY makes commits wait for each other for a moment, and one is as good as many: a process announces at most once
in a 20th of a second, and whoever has heard looks a second time when that is over. Those who sleep look once a second
all the same, so that an announcement which is lost costs no more than that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database

__all__ = ["watch_announcements"]

_LOOK_AGAIN = 0.1
"""Seconds: longer than a process keeps silent about further tasks."""
_TELL_EVERY = 0.05
_LISTEN_FOR = 0.2
_COME_BACK_AFTER = 0.5


def watch_announcements(database: Database, ended: threading.Event, tell: Callable[[], None]) -> None:
    """Call `tell` for new tasks until the event is set. A connection that is lost is made again."""
    while not ended.is_set():
        try:
            connection = database.connect()
        except MediaWatchError:
            ended.wait(_COME_BACK_AFTER)
            continue
        try:
            connection.command(f"LISTEN {database.channel}")
            _hear(connection, ended, tell)
        except Exception:  # noqa: BLE001 - whatever it is: a new connection is made
            ended.wait(_COME_BACK_AFTER)
        finally:
            connection.close()


def _hear(connection: Connection, ended: threading.Event, tell: Callable[[], None]) -> None:
    # Something may have come before there were ears.
    again = True
    while not ended.is_set():
        heard = connection.heard(_LOOK_AGAIN if again else _LISTEN_FOR)
        if heard or again:
            tell()
            ended.wait(_TELL_EVERY)
        again = heard
