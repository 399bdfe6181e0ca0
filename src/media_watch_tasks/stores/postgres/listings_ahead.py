"""What is known of directories, read for a run of them at once: a scan asks for one after the other.

A scan of a million files asks for ten thousand directories, and each question of its own would cost a trip to the
server. A run that was asked for in the order of a scan is followed by one of twice the length.

What was read is used for a second at most, and dropped where this store writes. Another process may have written since:
the answer is that of a moment up to a second ago, as if that write had come a little later. A listing that differs is
compared row by row with what stands in the database then; one that is equal to what was read says `unchanged`, and what
the other process has learned meanwhile (that the file was another one or gone, in that second, before it was listed
again as it had been) is compared by the next scan.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

import attrs

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.directory_rows import IN_ORDER, SOURCE
from media_watch_tasks.stores.postgres.schema_media import PATH_PREFIX

__all__ = ["ListingsAhead"]

_LONGEST = 1_024
_USED_NS = NANOSECONDS
_COLUMNS = f"""
SELECT d.path, d.id, d.listed, d.digest,
    EXISTS (SELECT 1 FROM absent_asset AS x WHERE x.source = d.source AND x.directory = d.id),
    l.mtime_ns, l.ctime_ns, l.file_id, l.since_ns, l.trusted, l.children
FROM directory AS d LEFT JOIN directory_listing AS l ON l.directory = d.id
WHERE d.source = {SOURCE}
"""  # noqa: S608 - made of constants
_ONE = f"{_COLUMNS} AND sha256(d.path) = sha256($2)"
_RUN = f"""
{_COLUMNS} AND substring(d.path FOR {PATH_PREFIX}) >= substring($2::bytea FOR {PATH_PREFIX}) AND d.path >= $2
ORDER BY {IN_ORDER} LIMIT $3
"""


@attrs.define
class _Run:
    source_id: str
    first: bytes
    last: bytes | None
    """None: there is no known directory behind."""
    rows: dict[bytes, Row]
    read_ns: int
    length: int
    dropped: set[bytes] = attrs.field(factory=set)


class ListingsAhead:
    """The rows of directories that come next. Thread-safe."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._drops = 0

    def get(self, source_id: str, path: bytes) -> Row | None:
        """(id, listed, digest, whether an asset is marked absent, the columns of the listing) of a directory, if known.

        Inside a transaction it is what that transaction sees.
        """
        if self._database.in_transaction:
            return self._one(source_id, path)
        now = self._clock.monotonic_ns()
        with self._lock:
            run, drops = self._run, self._drops
        length = 1
        if run is not None and run.source_id == source_id and path >= run.first:
            if run.last is None or path <= run.last:
                if path in run.dropped:
                    return self._one(source_id, path)
                if now - run.read_ns <= _USED_NS:
                    return run.rows.get(path)
            length = min(run.length * 2, _LONGEST)
        return self._read(source_id, path, length=length, read_ns=now, drops=drops)

    def drop(self, source_id: str | None = None, paths: Collection[bytes] | None = None) -> None:
        """These directories are written by this store; all of them without names."""
        with self._lock:
            self._drops += 1
            if source_id is None or paths is None:
                self._run = None
            elif self._run is not None and self._run.source_id == source_id:
                self._run.dropped.update(paths)

    def _one(self, source_id: str, path: bytes) -> Row | None:
        rows = self._database.execute(_ONE, (source_id, path))
        return rows[0][1:] if rows else None

    def _read(self, source_id: str, path: bytes, *, length: int, read_ns: int, drops: int) -> Row | None:
        rows = self._database.execute(_RUN, (source_id, path, length))
        found = {each: tuple(row) for each, *row in rows}
        last = rows[-1][0] if len(rows) == length else None
        run = _Run(source_id, path, last, found, read_ns, length)
        with self._lock:
            # What was written meanwhile may be missing in what was read.
            if self._drops == drops:
                self._run = run
        return found.get(path)
