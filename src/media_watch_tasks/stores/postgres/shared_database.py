"""What the stores in one PostgreSQL schema have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from media_watch_tasks.abc.stores import KeepsTime, SharedTransaction
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.postgres.database import Database

__all__ = ["SharesDatabase"]

_T = TypeVar("_T")


class SharesDatabase(SharedTransaction, KeepsTime):
    """A store that works on a `Database` which other stores may use too."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    def shares_with(self, other: object) -> bool:
        """True for a store on the same `Database` object."""
        return isinstance(other, SharesDatabase) and other.database is self.database

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """See `Database.transaction`. The first write to the queue in it waits until nobody else works on that."""
        return self.database.transaction(durable=durable)

    def run_together(self, work: Callable[[], _T]) -> _T:
        """See `SharedTransaction` and `Database.run_beside`."""
        return self.database.run_beside(work)
