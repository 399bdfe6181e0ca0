"""Numbers for changes, in an order that a follower can trust although transactions commit side by side.

A number is made of the transaction's id and the place of the change in it. A follower reads numbers below
`changes_below()` alone: those of transactions older than every one that is still open. What commits later has the
number of a transaction that was open, or had not begun, and so a higher one. A counter would not do: whoever took the
lower number may commit after the higher one was read.

The ids of transactions belong to the server. A database that was restored to a younger server holds numbers from its
future, and nothing below them would ever be read: `rebase_changes` lifts the numbers that follow.
"""

from __future__ import annotations

from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.schema_media import CHANGE_BITS

__all__ = ["LATEST_CHANGE", "rebase_changes"]

LATEST_CHANGE = """
SELECT coalesce(greatest((SELECT max(sequence) FROM asset{where}), (SELECT max(sequence) FROM asset_removed{where})), 0)
"""
"""The highest number that is written; `where` narrows it, and begins with a space."""
_AHEAD = f"""
SELECT (latest >> {CHANGE_BITS}) - transactions - pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1
FROM ({LATEST_CHANGE.format(where="")}) AS written (latest), change_offset
"""  # noqa: S608 - made of constants
_LIFT = "UPDATE change_offset SET transactions = transactions + $1"


def rebase_changes(database: Database) -> None:
    """Make the numbers of coming changes follow those that the database holds."""
    if database.execute(_AHEAD)[0][0] <= 0:
        return
    with database.transaction():
        database.execute("LOCK TABLE change_offset IN EXCLUSIVE MODE")
        ((ahead,),) = database.execute(_AHEAD)
        if ahead > 0:
            database.execute(_LIFT, (ahead,))
