"""New tasks are announced by NOTIFY, in the commit that brings them, and heard on a connection of its own.

A NOTIFY makes commits wait for each other for a moment, and one is as good as many: a process announces at most once
in a 20th of a second, and whoever has heard looks a second time when that is over. Those who sleep look once a second
all the same, so that an announcement which is lost costs no more than that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from media_watch_tasks.model.redaction import redact
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database

__all__ = ["watch_announcements"]

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

_LOOK_AGAIN = 0.1
"""Seconds: longer than a process keeps silent about further tasks."""
_TELL_EVERY = 0.05
_LISTEN_FOR = 0.2
_COME_BACK_AFTER = 0.5


def watch_announcements(database: Database, ended: threading.Event, tell: Callable[[], None]) -> None:
    """Call `tell` for new tasks until the event is set. A connection that is lost is made again; the log says so once.

    Until it is back, those who sleep hear nothing, and look once a second.
    """
    deaf = False
    while not ended.is_set():
        try:
            with closing(database.connect()) as connection:
                connection.command(f"LISTEN {database.channel}")
                for _ in _hear(connection, ended, tell):
                    deaf = False
        except Exception as error:  # noqa: BLE001 - whatever it is: a new connection is made
            if not deaf:
                logger.warning("new tasks are not announced for now: %s", redact(str(error) or type(error).__name__))
            deaf = True
            ended.wait(_COME_BACK_AFTER)


def _hear(connection: Connection, ended: threading.Event, tell: Callable[[], None]) -> Iterator[None]:
    """Listens and tells; gives a sign after each time that it went well."""
    # Something may have come before there were ears.
    again = True
    while not ended.is_set():
        heard = connection.heard(_LOOK_AGAIN if again else _LISTEN_FOR)
        if heard or again:
            tell()
            ended.wait(_TELL_EVERY)
        again = heard
        yield
