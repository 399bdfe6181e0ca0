"""Where the SQL of the stores differs between SQLite and PostgreSQL. This page states each difference.

Statements that both databases run are written for SQLite and translated here, once each:

* `?`, `?3` are `$1`, `$3`: a statement numbers all of its parameters or none.
* `IN (SELECT value FROM json_each(?))`, numbers in a JSON array: `= ANY (translate(?, '[]', '{}')::bigint[])`.

What no translation bridges has SQL of its own in this folder:

* **Who writes.** SQLite has one writer at a time, from BEGIN IMMEDIATE on. Here any number of transactions write at
  once: see `gate`. What is taken from the queue is locked by FOR UPDATE SKIP LOCKED.
* **Ids** come from identity columns instead of max(id) + 1: they grow, with gaps, and not in the order of commits.
* **Text** holds neither NUL nor lone surrogates: see `arrays`. SQLite keeps a text with lone surrogates as a BLOB.
* **Synced commits.** SQLite: another connection with synchronous=FULL. Here: synchronous_commit, set for the
  transaction.
* **Time** of leases: SQLite has the boot clock of its machine, here it is the server's clock: see `server_clock`.
* **The dead.** SQLite: a lock file for each worker. Here: an advisory lock, held by a connection.
* Truth is a value of its own: `attempts + (begun = 0)` has to be `attempts + 1 - begun`, `NOT ended` to be `ended = 0`.
* `max(a, b)` is greatest(a, b); `INSERT OR REPLACE` is INSERT … ON CONFLICT; `IS` compares with NULL alone, and
  `IS NOT ?` is IS DISTINCT FROM. NULL in a column of a UNION needs a type.

The tables of the media state add three differences, reasoned in `schema_media` and `change_numbers`:

* **Long keys.** An entry of an index holds 2,700 bytes: paths are unique by SHA-256, and ordered by a prefix.
* **The change feed.** No counter can number changes in the order in which they commit: the transaction's id leads.
* **Digests.** Triggers of SQLite name columns; here one sees all rows of a statement, and compares them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count

__all__ = ["translate"]

_MARK = re.compile(r"\?(\d*)")
_NUMBERS = re.compile(r"IN \(SELECT value FROM json_each\((\$\d+)\)\)")


@lru_cache(4_096)
def translate(sql: str) -> tuple[str, tuple[int, ...] | None]:
    """The statement as PostgreSQL takes it, and which parameters it uses, in order; None: all of them as they are.

    A statement that has `$1` already is left as it is.
    """
    marks = _MARK.findall(sql)
    if not marks:
        return sql, None
    used: tuple[int, ...] | None = None
    if any(marks):
        # The server refuses parameters that are used nowhere.
        used = tuple(sorted({int(mark) - 1 for mark in marks}))
        place = {str(number + 1): f"${at}" for at, number in enumerate(used, 1)}
        sql = _MARK.sub(lambda found: place[found[1]], sql)
    else:
        places = count(1)
        sql = _MARK.sub(lambda _: f"${next(places)}", sql)
    return _NUMBERS.sub(r"= ANY (translate(\1, '[]', '{}')::bigint[])", sql), used
