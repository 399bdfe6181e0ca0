"""What is known of single assets, apart from scans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain

from media_watch_tasks.model.identity import Fingerprint, order_key, split
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.stores.relational.asset_rows import asset_state
from media_watch_tasks.stores.relational.text_codec import to_sql
from media_watch_tasks.stores.sqlite.change_sequence import take_sequences
from media_watch_tasks.stores.sqlite.page_digest import refresh_digest
from media_watch_tasks.stores.sqlite.shared_database import SharesDatabase

__all__ = ["ASSET_COLUMNS", "ASSET_METADATA", "KnownAssets"]

_BATCH_SIZES = (1, 4, 16, 64, 256)
_NOTHING = (-1, None, None)
_PORTION = 1_000

_SOURCE = "(SELECT id FROM source WHERE source_id = ?)"
ASSET_COLUMNS = """
    a.size, a.mtime_ns, a.file_id, a.unchanged_since_ns, a.first_seen_ns, a.missing_since_ns, a.baseline,
    m.size, m.mtime_ns, m.json
"""
ASSET_METADATA = "LEFT JOIN metadata AS m ON m.directory = a.directory AND m.name = a.name"
_PRESENT = f"""
SELECT d.path, a.name, {ASSET_COLUMNS}
FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id {ASSET_METADATA}
WHERE d.source = {_SOURCE} AND a.missing_since_ns IS NULL {{behind}}
ORDER BY d.path, a.name LIMIT ?
"""  # noqa: S608 - made of constants
_FROM_START = _PRESENT.format(behind="")
_REST_OF_DIRECTORY = _PRESENT.format(behind="AND d.path = ? AND a.name > ?")
_NEXT_DIRECTORIES = _PRESENT.format(behind="AND d.path > ?")
_SEE_AGAIN = """
UPDATE asset SET size = ?, mtime_ns = ?, unchanged_since_ns = ?, missing_since_ns = NULL, baseline = 0, sequence = ?
WHERE directory = ? AND name = ? AND ((size, mtime_ns) <> (?, ?) OR missing_since_ns IS NOT NULL)
RETURNING 1
"""
_MARK_MISSING = """
UPDATE asset SET missing_since_ns = ?, sequence = ?
WHERE directory = ? AND name = ? AND missing_since_ns IS NULL RETURNING 1
"""
_ANY_MARK = "SELECT 1 FROM absent_asset WHERE source = ? AND directory = ? LIMIT 1"
_UNMARK = "DELETE FROM absent_asset WHERE source = ? AND directory = ? AND name = ?"
_DIRECTORY = f"SELECT source, id FROM directory WHERE source = {_SOURCE} AND path = ?"  # noqa: S608 - made of constants
# Metadata of the version that stands there is not given up for that of another one.
_WRITE_METADATA = f"""
INSERT INTO metadata (directory, name, size, mtime_ns, json)
SELECT a.directory, a.name, ?, ?, ?
FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE d.source = {_SOURCE} AND d.path = ? AND a.name = ?
ON CONFLICT (directory, name) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, json = excluded.json
WHERE (metadata.size, metadata.mtime_ns) = (excluded.size, excluded.mtime_ns) AND metadata.json <> excluded.json
    OR (metadata.size, metadata.mtime_ns) <> (
        SELECT a.size, a.mtime_ns FROM asset AS a
        WHERE a.directory = metadata.directory AND a.name = metadata.name
    )
RETURNING directory
"""  # noqa: S608 - made of constants
_DESCRIBED = "UPDATE asset SET sequence = ? WHERE directory = ? AND name = ?"
_COUNT = f"""
SELECT count(*), count(a.missing_since_ns)
FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE d.source = {_SOURCE}
"""  # noqa: S608 - made of constants
_FORGET = tuple(
    f"DELETE FROM {table} WHERE directory IN (SELECT id FROM directory WHERE source = {_SOURCE})"  # noqa: S608 - as above
    for table in ("metadata", "absent_asset", "directory_listing", "asset")
)
# A source without baseline: what is forgotten is not gone, it has to be found again.
_FORGET_BASELINE = "UPDATE source SET baseline = 'none', checkpoint = NULL, last_complete_ns = NULL WHERE source_id = ?"
_KNOWN_AND_GONE = f"""
INSERT INTO asset_removed (source, path, name, sequence)
SELECT d.source, d.path, a.name, ? + row_number() OVER ()
FROM directory AS d CROSS JOIN asset AS a ON a.directory = d.id
WHERE d.source = {_SOURCE}
ON CONFLICT (source, path, name) DO UPDATE SET sequence = excluded.sequence
"""  # noqa: S608 - made of constants
_FORGET_DIRECTORIES = f"DELETE FROM directory WHERE source = {_SOURCE}"  # noqa: S608 - made of constants


class KnownAssets(SharesDatabase):
    """Looking up, seeing again, missing, describing and forgetting assets."""

    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        """See `MediaStateStore`."""
        found: list[AssetState | None] = [None] * len(asset_ids)
        for batch in _batches(asset_ids):
            rows = self.database.execute(_look_up(len(batch)), (*chain.from_iterable(batch), to_sql(source_id)))
            for number, *row in rows:
                found[number] = asset_state(source_id, row)
        return tuple(found)

    def iterate_assets(self, source_id: str) -> Iterator[AssetState]:
        """See `MediaStateStore`. The order is that of a scan: by components of the directory, then by name."""
        source = to_sql(source_id)
        rows = self.database.execute(_FROM_START, (source, _PORTION))
        while rows:
            for row in rows:
                yield asset_state(source_id, row)
            path, name = rows[-1][:2]
            rows = self.database.execute(_REST_OF_DIRECTORY, (source, path, name, _PORTION))
            if len(rows) < _PORTION:
                rows += self.database.execute(_NEXT_DIRECTORIES, (source, path, _PORTION - len(rows)))

    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        """See `MediaStateStore`. Assets that are not known are passed over: the next scan says that they are new."""
        now = self.clock.now_ns()

        def see_again(directory: int, asset_id: bytes, sequence: int) -> bool:
            fingerprint = found[asset_id]
            values = (*fingerprint, now, sequence, directory, split(asset_id)[1], *fingerprint)
            return bool(self.database.execute(_SEE_AGAIN, values))

        self._write_each(source_id, found, see_again)

    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        """See `MediaStateStore`."""
        now = self.clock.now_ns()

        def mark(directory: int, asset_id: bytes, sequence: int) -> bool:
            return bool(self.database.execute(_MARK_MISSING, (now, sequence, directory, split(asset_id)[1])))

        return self._write_each(source_id, asset_ids, mark)

    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        """See `MediaStateStore`. Nothing is kept of an asset that is not known, nor in place of a current version's."""
        path, name = _place(asset_id)
        values = (*fingerprint, to_sql(metadata.to_json()), to_sql(source_id), path, name)
        with self.transaction():
            for (directory,) in self.database.execute(_WRITE_METADATA, values):
                (sequence,) = take_sequences(self.database, 1)
                self.database.execute(_DESCRIBED, (sequence, directory, name))

    def forget_seen(self, source_id: str) -> None:
        """See `MediaStateStore`."""
        source = (to_sql(source_id),)
        with self.transaction():
            known = sum(self.count_assets(source_id))
            first = take_sequences(self.database, known).start
            self.database.execute(_KNOWN_AND_GONE, (first - 1, *source))
            for statement in (*_FORGET, _FORGET_DIRECTORIES, _FORGET_BASELINE):
                self.database.execute(statement, source)

    def count_assets(self, source_id: str) -> tuple[int, int]:
        """See `MediaStateStore`."""
        known, missing = self.database.execute(_COUNT, (to_sql(source_id),))[0]
        return known - missing, missing

    def unmark(self, source: int, directory: int, names: Sequence[bytes]) -> None:
        """These assets are no candidates for absence any more; inside a transaction."""
        if names and self.database.execute(_ANY_MARK, (source, directory)):
            self.database.executemany(_UNMARK, [(source, directory, name) for name in names])

    def _write_each(self, source_id: str, asset_ids: Iterable[bytes], write: Callable[[int, bytes, int], bool]) -> int:
        """Call `write(directory, asset_id, sequence)` for assets of known directories; how often it wrote."""
        by_directory: dict[bytes, list[bytes]] = {}
        for asset_id in asset_ids:
            by_directory.setdefault(_place(asset_id)[0], []).append(asset_id)
        if not by_directory:
            return 0
        total = 0
        with self.transaction():
            for path, inside in by_directory.items():
                for source, directory in self.database.execute(_DIRECTORY, (to_sql(source_id), path)):
                    sequences = take_sequences(self.database, len(inside))
                    written = sum(map(write, [directory] * len(inside), inside, sequences))
                    self.unmark(source, directory, [split(asset_id)[1] for asset_id in inside])
                    if written:
                        refresh_digest(self.database, directory)
                    total += written
        return total


def _place(asset_id: bytes) -> tuple[bytes, bytes]:
    directory, name = split(asset_id)
    return order_key(directory), name


def _batches(asset_ids: Sequence[bytes]) -> Iterator[list[tuple[int, bytes | None, bytes | None]]]:
    """(number, directory, name) of the assets, in batches of few different lengths: each length is a statement."""
    for start in range(0, len(asset_ids), _BATCH_SIZES[-1]):
        batch = [
            (start + index, *_place(each)) for index, each in enumerate(asset_ids[start : start + _BATCH_SIZES[-1]])
        ]
        length = next(size for size in _BATCH_SIZES if size >= len(batch))
        yield [*batch, *[_NOTHING] * (length - len(batch))]


@cache
def _look_up(length: int) -> str:
    return f"""
    WITH wanted (number, path, name) AS (VALUES {",".join(["(?, ?, ?)"] * length)})
    SELECT w.number, d.path, a.name, {ASSET_COLUMNS}
    FROM wanted AS w
    CROSS JOIN directory AS d ON d.path = w.path
    CROSS JOIN asset AS a ON a.directory = d.id AND a.name = w.name
    {ASSET_METADATA}
    WHERE d.source = {_SOURCE}
    """  # noqa: S608 - made of constants
