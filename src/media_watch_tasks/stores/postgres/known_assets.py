"""What is known of single assets, apart from scans."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.directory_rows import IN_ORDER, SOURCE, hold_directories, place, refresh_digests
from media_watch_tasks.stores.postgres.listings_ahead import ListingsAhead
from media_watch_tasks.stores.postgres.schema_media import PATH_PREFIX
from media_watch_tasks.stores.postgres.shared_database import SharesDatabase
from media_watch_tasks.stores.relational.asset_rows import asset_state

__all__ = ["ASSET_COLUMNS", "ASSET_METADATA", "AT_PLACE", "BEHIND_PLACE", "PRESENT", "KnownAssets"]

_PORTION = 1_000
_AT_ONCE = 10_000
"""So many assets are written in one transaction."""

ASSET_COLUMNS = """
    a.size, a.mtime_ns, a.file_id, a.unchanged_since_ns, a.first_seen_ns, a.missing_since_ns, a.baseline,
    m.size AS described_size, m.mtime_ns AS described_mtime_ns, m.json
"""
ASSET_METADATA = "LEFT JOIN metadata AS m ON m.directory = a.directory AND m.name = a.name"
# Present assets in the order of a scan. LATERAL and its LIMIT keep to the keys: each portion costs what it yields,
# whatever the planner thinks of the tables.
PRESENT = f"""
SELECT d.path, a.* FROM directory AS d CROSS JOIN LATERAL (
    SELECT a.name, {ASSET_COLUMNS} FROM asset AS a {ASSET_METADATA}
    WHERE a.directory = d.id AND a.missing_since_ns IS NULL {{narrow}} ORDER BY a.name LIMIT $3
) AS a
WHERE d.source = {SOURCE} AND {{place}}
ORDER BY {IN_ORDER}, a.name LIMIT $3
"""  # noqa: S608 - made of constants
AT_PLACE = "sha256(d.path) = sha256($2)"
BEHIND_PLACE = f"substring(d.path FOR {PATH_PREFIX}) >= substring($2::bytea FOR {PATH_PREFIX}) AND d.path > $2"
_FROM_START = PRESENT.format(place="d.path >= $2", narrow="")
_REST_OF_DIRECTORY = PRESENT.format(place=AT_PLACE, narrow="AND a.name > $4")
_NEXT_DIRECTORIES = PRESENT.format(place=BEHIND_PLACE, narrow="")
_LOOK_UP = f"""
SELECT w.number, d.path, a.name, {ASSET_COLUMNS}
FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) AS w (number, path, name)
JOIN directory AS d ON d.source = {SOURCE} AND sha256(d.path) = sha256(w.path)
JOIN asset AS a ON a.directory = d.id AND a.name = w.name
{ASSET_METADATA}
"""  # noqa: S608 - made of constants
_SEE_AGAIN = """
UPDATE asset AS a SET
    size = w.size, mtime_ns = w.mtime_ns, unchanged_since_ns = $6, missing_since_ns = NULL, baseline = false,
    sequence = (SELECT take_changes($7)) + w.number - 1
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS w (directory, name, number, size, mtime_ns)
WHERE a.directory = w.directory AND a.name = w.name
    AND ((a.size, a.mtime_ns) <> (w.size, w.mtime_ns) OR a.missing_since_ns IS NOT NULL)
RETURNING a.directory
"""
_MARK_MISSING = """
UPDATE asset AS a SET missing_since_ns = $4, sequence = (SELECT take_changes($5)) + w.number - 1
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS w (directory, name, number)
WHERE a.directory = w.directory AND a.name = w.name AND a.missing_since_ns IS NULL
RETURNING a.directory
"""
_UNMARK = """
DELETE FROM absent_asset AS x USING unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS w (source, directory, name)
WHERE x.source = w.source AND x.directory = w.directory AND x.name = w.name
"""
# Metadata of the version that stands there is not given up for that of another one.
_WRITE_METADATA = """
INSERT INTO metadata AS m (directory, name, size, mtime_ns, json)
SELECT a.directory, a.name, $3, $4, $5 FROM asset AS a WHERE a.directory = $1 AND a.name = $2
ON CONFLICT (directory, name) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, json = excluded.json
WHERE (m.size, m.mtime_ns) = (excluded.size, excluded.mtime_ns) AND m.json <> excluded.json
    OR (m.size, m.mtime_ns) <> (
        SELECT a.size, a.mtime_ns FROM asset AS a WHERE a.directory = m.directory AND a.name = m.name
    )
RETURNING directory
"""
_DESCRIBED = "UPDATE asset SET sequence = take_changes(1) WHERE directory = $1 AND name = $2"
_COUNT = f"""
SELECT count(*), count(a.missing_since_ns)
FROM directory AS d JOIN asset AS a ON a.directory = d.id WHERE d.source = {SOURCE}
"""  # noqa: S608 - made of constants
# A source without baseline: what is forgotten is not gone, it has to be found again.
_FORGET_BASELINE = (
    "UPDATE source SET baseline = 'none', checkpoint = NULL, last_complete_ns = NULL WHERE source_id = $1"
)
_FORGET = f"""
WITH chosen AS (
    SELECT a.directory, a.name, d.source, d.path FROM directory AS d JOIN asset AS a ON a.directory = d.id
    WHERE d.source = {SOURCE} LIMIT $2
), undescribed AS (
    DELETE FROM metadata AS m USING chosen AS c WHERE m.directory = c.directory AND m.name = c.name
), forgotten AS (
    DELETE FROM asset AS a USING chosen AS c WHERE a.directory = c.directory AND a.name = c.name
    RETURNING c.source, c.path, c.name
), gone AS (
    INSERT INTO asset_removed (source, path, name, sequence)
    SELECT source, path, name, (SELECT take_changes($2)) + row_number() OVER () - 1 FROM forgotten
    ON CONFLICT (source, sha256(path), name) DO UPDATE SET sequence = excluded.sequence
)
SELECT count(*) FROM forgotten
"""  # noqa: S608 - made of constants
_FORGET_DIRECTORIES = (
    f"DELETE FROM absent_asset WHERE source = {SOURCE}",  # noqa: S608 - made of constants
    f"DELETE FROM directory_listing WHERE directory IN (SELECT id FROM directory WHERE source = {SOURCE})",  # noqa: S608 - as above
    f"DELETE FROM directory WHERE source = {SOURCE}",  # noqa: S608 - as above
)


class _Held(NamedTuple):
    """An asset whose directory is known, and held. They sort by their keys."""

    source: int
    directory: int
    name: bytes
    asset_id: bytes


class KnownAssets(SharesDatabase):
    """Looking up, seeing again, missing, describing and forgetting assets."""

    ahead: ListingsAhead

    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        """See `MediaStateStore`."""
        found: list[AssetState | None] = [None] * len(asset_ids)
        for start in range(0, len(asset_ids), _PORTION):
            places = [place(asset_id) for asset_id in asset_ids[start : start + _PORTION]]
            wanted = (
                list(range(start, start + len(places))),
                [path for path, _ in places],
                [name for _, name in places],
            )
            for number, *row in self.database.execute(_LOOK_UP, (source_id, *wanted)):
                found[number] = asset_state(source_id, row)
        return tuple(found)

    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        """See `MediaStateStore`. The order is that of a scan: by components of the directory, then by name."""
        source = source_id
        rows = self.database.execute(_FROM_START, (source, b"", _PORTION))
        while rows:
            for row in rows:
                yield asset_state(source_id, row)
            path, name = rows[-1][:2]
            rows = self.database.execute(_REST_OF_DIRECTORY, (source, path, _PORTION, name))
            if len(rows) < _PORTION:
                rows += self.database.execute(_NEXT_DIRECTORIES, (source, path, _PORTION - len(rows)))

    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        """See `MediaStateStore`. Assets that are not known are passed over: the next scan says that they are new."""
        now = self.clock.now_ns()

        def see_again(known: Sequence[_Held]) -> int:
            versions = [found[each.asset_id] for each in known]
            sizes, times = [size for size, _ in versions], [mtime_ns for _, mtime_ns in versions]
            return self._write(source_id, known, _SEE_AGAIN, (sizes, times, now, len(known)))

        self._write_each(source_id, found, see_again)

    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        """See `MediaStateStore`."""
        now = self.clock.now_ns()
        return self._write_each(
            source_id,
            dict.fromkeys(asset_ids),
            lambda known: self._write(source_id, known, _MARK_MISSING, (now, len(known))),
        )

    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        """See `MediaStateStore`. Nothing is kept of an asset that is not known, nor in place of a current version's."""
        values = (*fingerprint, metadata.to_json())

        def describe(known: Sequence[_Held]) -> int:
            for each in known:
                if self.database.execute(_WRITE_METADATA, (each.directory, each.name, *values)):
                    self.database.execute(_DESCRIBED, (each.directory, each.name))
            return 0

        self._write_each(source_id, [asset_id], describe)

    def forget_seen(self, source_id: str) -> None:
        """See `MediaStateStore`. In portions: one that is cut off has forgotten a part, and its baseline."""
        source, run, execute = source_id, self.database.run, self.database.execute
        run(lambda: execute(_FORGET_BASELINE, (source,)))
        while run(lambda: execute(_FORGET, (source, _AT_ONCE)))[0][0] == _AT_ONCE:
            pass
        for statement in _FORGET_DIRECTORIES:
            run(lambda statement=statement: execute(statement, (source,)))  # type: ignore[misc]
        self.ahead.drop()

    def count_assets(self, source_id: str) -> tuple[int, int]:
        """See `MediaStateStore`."""
        known, missing = self.database.execute(_COUNT, (source_id,))[0]
        return known - missing, missing

    def unmark(self, source: int, directory: int, names: Sequence[bytes]) -> None:
        """These assets are no candidates for absence any more; inside a transaction."""
        if names:
            length = len(names)
            self.database.later(_UNMARK, ([source] * length, [directory] * length, list(names)))

    def refresh(self, source_id: str, known: Mapping[bytes, int], written: Collection[int] | None = None) -> None:
        """Of directories (path: row) that are held: write the digests (of all, or of `written`), read them anew."""
        refresh_digests(self.database, known.values() if written is None else written)
        self.ahead.drop(source_id, known.keys())

    def _write_each(
        self, source_id: str, asset_ids: Iterable[bytes], write: Callable[[Sequence[_Held]], int]
    ) -> int:  # fmt: skip
        """Call `write` for those whose directories are known, in portions, each in a transaction; the sum."""
        remaining = iter(asset_ids)
        total = 0
        while portion := list(islice(remaining, _AT_ONCE)):
            total += self.database.run(lambda portion=portion: write(self._hold(source_id, portion)))  # type: ignore[misc]
        return total

    def _hold(self, source_id: str, asset_ids: Iterable[bytes]) -> list[_Held]:
        places = [(asset_id, *place(asset_id)) for asset_id in asset_ids]
        rows = hold_directories(self.database, source_id, (path for _, path, _ in places))
        return sorted(_Held(*rows[path], name, asset_id) for asset_id, path, name in places if path in rows)

    def _write(self, source_id: str, known: Sequence[_Held], statement: str, values: Row) -> int:
        """Run a statement for assets whose directories are held; the number of rows it wrote."""
        if not known:
            return 0
        directories, names = [each.directory for each in known], [each.name for each in known]
        numbers = list(range(1, len(known) + 1))
        written = self.database.execute(statement, (directories, names, numbers, *values))
        self.database.later(_UNMARK, ([each.source for each in known], directories, names))
        touched = {directory for (directory,) in written}
        self.refresh(source_id, {place(each.asset_id)[0]: each.directory for each in known}, touched)
        return len(written)
