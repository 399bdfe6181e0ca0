"""Where the SQL of the stores differs between SQLite and PostgreSQL. This page states each difference.

Statements that both databases run are written for SQLite and translated here, once each:

| SQLite | PostgreSQL | |
|---|---|---|
| `?`, `?3` | `$1`, `$3` | parameters; a statement numbers all of them or none |
| `IN (SELECT value FROM json_each(?))` | `= ANY (translate(?, '[]', '{}')::bigint[])` | a JSON array of numbers |

What no translation bridges has SQL of its own in this folder:

* **Who writes.** SQLite has one writer at a time, from BEGIN IMMEDIATE on. Here any number of transactions write at
  once: see `gate`. What is taken from the queue is locked by FOR UPDATE SKIP LOCKED.
* **Ids** come from identity columns instead of max(id) + 1: they grow, with gaps, and not in the order of commits.
* **Text** holds neither NUL nor lone surrogates: see `text_codec`. SQLite keeps such a text as a BLOB.
* **Synced commits.** SQLite: another connection with synchronous=FULL. Here: synchronous_commit, set for the
  transaction.
* **Time** of leases: SQLite has the boot clock of its machine, here it is the server's clock: see `server_clock`.
* **The dead.** SQLite: a lock file for each worker. Here: an advisory lock, held by a connection.
* Truth is a value of its own: `attempts + (begun = 0)` has to be `attempts + 1 - begun`, `NOT ended` to be `ended = 0`.
* `max(a, b)` is greatest(a, b); `INSERT OR REPLACE` is INSERT … ON CONFLICT; `IS` compares with NULL alone, and
  `IS NOT ?` is IS DISTINCT FROM. NULL in a column of a UNION needs a type.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import count

__all__ = ["translate"]

_NUMBERED = re.compile(r"\?(\d+)")
_LIST = re.compile(r"IN \(SELECT value FROM json_each\((\$\d+)\)\)")


@cache
def translate(sql: str) -> str:
    """The statement as PostgreSQL takes it. One that has `$1` already is left as it is."""
    if "?" not in sql:
        return sql
    numbers = count(1)
    sql = _NUMBERED.sub(r"$\1", sql) if _NUMBERED.search(sql) else re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
    return _LIST.sub(r"= ANY (translate(\1, '[]', '{}')::bigint[])", sql)
