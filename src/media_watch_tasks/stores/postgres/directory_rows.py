"""The rows of directories: found, held by who writes assets, and their digests.

Every writer of assets first holds the rows of their directories (`FOR NO KEY UPDATE`), several in the order of their
ids: writers of one directory take turns, so that the digest that one of them computes holds the rows of all, and two
writers of several directories never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from media_watch_tasks.model.identity import order_key, split
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.schema_media import PATH_PREFIX
from media_watch_tasks.stores.relational.page_digest import LARGEST_DIGEST, listing_digest

__all__ = ["BELOW", "IN_ORDER", "SOURCE", "hold_directories", "place", "range_below", "refresh_digests"]

SOURCE = "(SELECT id FROM source WHERE source_id = $1)"
"""The row of the source, whose name is the first parameter."""
IN_ORDER = f"substring(d.path FOR {PATH_PREFIX}), d.path"
"""The order of a scan; the index has the first part of it."""
BELOW = (
    f"substring(d.path FOR {PATH_PREFIX}) BETWEEN substring({{low}}::bytea FOR {PATH_PREFIX}) "
    f"AND substring({{high}}::bytea FOR {PATH_PREFIX}) AND d.path >= {{low}} AND d.path < {{high}}"
)
"""The directory `low` and all below it, with the parameters that `range_below` gives."""

_HOLD = f"""
SELECT d.source, d.id, d.path FROM directory AS d
WHERE d.source = {SOURCE} AND sha256(d.path) = ANY (SELECT sha256(path) FROM unnest($2::bytea[]) AS wanted (path))
ORDER BY d.id FOR NO KEY UPDATE
"""  # noqa: S608 - made of constants
_READ = """
SELECT wanted.directory, a.name, a.size, a.mtime_ns
FROM unnest($1::bigint[]) AS wanted (directory) CROSS JOIN LATERAL (
    SELECT name, size, mtime_ns FROM asset
    WHERE asset.directory = wanted.directory AND missing_since_ns IS NULL ORDER BY name LIMIT $2
) AS a
ORDER BY wanted.directory, a.name
"""
_WRITE = """
UPDATE directory AS d SET digest = w.digest FROM unnest($1::bigint[], $2::bytea[]) AS w (id, digest)
WHERE d.id = w.id AND d.digest IS DISTINCT FROM w.digest
"""
_DIRECTORIES = 16
"""So many digests are made at once: their rows are held in memory."""


def place(asset_id: bytes) -> tuple[bytes, bytes]:
    """(path of the directory as the column has it, name)."""
    directory, name = split(asset_id)
    return order_key(directory), name


def range_below(directory: bytes) -> tuple[bytes, bytes]:
    """`low` and `high` of `BELOW`: the path, and the path and the byte after NUL."""
    path = order_key(directory)
    return path, path + b"\1"


def hold_directories(database: Database, source: str, paths: Iterable[bytes]) -> dict[bytes, tuple[int, int]]:
    """(row of the source, row of the directory) of those paths that are known, held until the transaction ends."""
    rows = database.execute(_HOLD, (source, sorted(set(paths))))
    return {path: (source_row, directory) for source_row, directory, path in rows}


def refresh_digests(database: Database, directories: Iterable[int]) -> None:
    """Write the digests of what is known of directories; they are held, and everything else is written."""
    ordered = sorted(set(directories))
    for start in range(0, len(ordered), _DIRECTORIES):
        portion = ordered[start : start + _DIRECTORIES]
        digests: list[bytes | None] = [None] * len(portion)
        found = dict(_listings(database, portion))
        for index, directory in enumerate(portion):
            listing = found.get(directory, ())
            if len(listing) <= LARGEST_DIGEST:
                digests[index] = listing_digest(tuple(listing))
        database.later(_WRITE, (portion, digests))


def _listings(database: Database, directories: Sequence[int]) -> Iterator[tuple[int, list[tuple[bytes, int, int]]]]:
    rows = database.execute(_READ, (directories, LARGEST_DIGEST + 1))
    for directory, group in groupby(rows, itemgetter(0)):
        yield directory, [(name, size, mtime_ns) for _, name, size, mtime_ns in group]
