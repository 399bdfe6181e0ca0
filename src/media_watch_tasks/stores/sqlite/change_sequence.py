"""Numbers for changes: each one higher than every number that was committed before.

A number is taken inside the transaction that writes the change. SQLite has one writer at a time, so numbers become
visible in their order: whoever has read up to one has missed none below it. A number that is not used leaves a gap.
"""

from __future__ import annotations

from media_watch_tasks.stores.sqlite.database import Database

__all__ = ["take_sequences"]

_TAKE = "UPDATE change_sequence SET last = last + ? RETURNING last"


def take_sequences(database: Database, count: int) -> range:
    """The next `count` numbers; inside a transaction."""
    ((last,),) = database.execute(_TAKE, (count,))
    return range(last - count + 1, last + 1)
