"""Databases of every released schema open with this release, and everything in them is there.

`released_schemas/version_N.sql` is a dump of a small database that the first release with schema version N wrote. It
never changes once that release is out. A new version is written by `python tests/unit/test_sqlite_released_schemas.py`.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.identity import Route
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import DirectoryStamp
from media_watch_tasks.model.settlements import Delivered, Failed
from media_watch_tasks.model.sources import BaselineState, KnownListing, PageRecord, SourceState
from media_watch_tasks.model.tasks import ClaimRequest, NewTask, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.sqlite.migrations import SCHEMA_VERSION
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.contracts.media_state_store_base import OTHER, SOURCE, asset

FOLDER = Path(__file__).with_name("released_schemas")
HOUR_NS = 3_600_000_000_000
ROUTE = Route(SOURCE, "archive")
METADATA = MediaMetadata(container="mov", duration=12.5)
STATE = SourceState(
    source_id=SOURCE,
    baseline=BaselineState.COMPLETE,
    destinations=frozenset({"archive"}),
    identity=RootIdentity(strong="uuid:1", weak="dev:2", file_ids_stable=True),
    filter_spec="filter",
    owed=frozenset({b"owed/\xff"}),
    checkpoint="checkpoint",
    scans=7,
    last_complete_ns=HOUR_NS,
    last_full_ns=HOUR_NS,
    scans_since_full=3,
    stamps_lie=True,
    quarantine="half of it is gone",
    quarantine_scan=7,
)
LISTING = KnownListing(stamp=DirectoryStamp(1, 2, 2**64 - 1), directories=(b"e",), since_ns=HOUR_NS, trusted=False)


def fill(stores: SqliteStores) -> None:
    """One of everything: what `check` finds again."""
    media, tasks = stores.media_state, stores.tasks
    for source in (SOURCE, OTHER):
        lease = media.acquire_scan(source, owner="scanner", lease_ns=HOUR_NS)
        assert lease is not None
        seen = [asset(f"d/{name}", source=source, file_id=2**64 - 1) for name in "abc"]
        media.record_page(lease, PageRecord(directory=b"d", seen=tuple(seen), complete=True), baseline=source == OTHER)
        root = PageRecord(
            directory=b"", seen=(asset(b"\xff", source=source),), listing=LISTING, scan_number=7, absent=(b"d/b",)
        )
        media.record_page(lease, root)
        media.release_scan(lease)
    media.save_source(STATE)
    media.mark_missing(SOURCE, [b"d/c"])
    media.save_metadata(SOURCE, b"d/a", asset("d/a").fingerprint, METADATA)
    media.move_asset(OTHER, b"d/c", asset("e/c", source=OTHER))
    media.save_bookmark("reader", {"sequence": 3})
    tasks.enqueue_if_absent(
        [
            NewTask(route=ROUTE, asset_id=each.asset_id, fingerprint=each.fingerprint, due_ns=0, tags=frozenset({"t"}))
            for each in (asset("d/a"), asset("d/b"), asset(b"\xff"))
        ]
    )
    worker = tasks.register_worker("worker")
    request = ClaimRequest(worker_id=worker, routes=(ROUTE,), limit=2, lease_ns=HOUR_NS, longest_delay_ns=HOUR_NS)
    first, second = tasks.claim_batch(request)
    tasks.settle([Delivered(ref=first.ref, receipt=UploadReceipt("there"))])
    tasks.settle([Failed(ref=second.ref, retry_ns=HOUR_NS, error="no route to host")])
    tasks.unregister_worker(worker)


def check(stores: SqliteStores) -> None:
    """Everything that `fill` wrote."""
    media, tasks = stores.media_state, stores.tasks
    assert media.source(SOURCE) == STATE
    assert [state.source_id for state in media.sources()] == [SOURCE, OTHER]
    assert (media.count_assets(SOURCE), media.count_assets(OTHER)) == ((3, 1), (4, 0))
    assert [state.asset for state in media.iterate_assets(SOURCE)] == [
        asset(b"\xff"),
        asset("d/a", file_id=2**64 - 1),
        asset("d/b", file_id=2**64 - 1),
    ]
    assert media.known_listing(SOURCE, b"") == LISTING
    assert [state.asset_id for state in media.absent_assets(OTHER, 7)] == [b"d/b"]
    (described,) = media.assets(SOURCE, [b"d/a"])
    assert described is not None
    assert described.current_metadata == METADATA
    assert [state.baseline for state in media.iterate_assets(OTHER)] == [False, True, True, True]
    assert [(change.asset_id, change.state is None) for change in media.changes_since(0, source_id=OTHER)] == [
        (b"d/a", False),
        (b"d/b", False),
        (b"\xff", False),
        (b"d/c", True),
        (b"e/c", False),
    ]
    assert media.bookmark("reader") == {"sequence": 3}
    counts = {state: count for state, count in tasks.counts().items() if count}
    assert counts == {TaskState.SUCCESS: 1, TaskState.FAILED: 1, TaskState.PENDING: 1}
    (delivered,) = tasks.delivered(ROUTE, [b"d/a"])
    assert delivered is not None
    assert delivered.receipt == UploadReceipt("there")
    assert delivered.tags == {"t"}


def dump(path: Path) -> Iterator[str]:
    """The SQL that makes the database again, header fields included."""
    connection = sqlite3.connect(path)
    for field in ("application_id", "user_version"):
        ((value,),) = connection.execute(f"PRAGMA {field}")
        yield f"PRAGMA {field} = {value};"
    yield from connection.iterdump()
    connection.close()


def anonymise(path: Path) -> None:
    """Leave out what names the machine."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE task_worker SET host = 'host', worker_id = 'worker'")
    connection.commit()
    connection.close()


def schema(path: Path) -> set[tuple[str, str, str]]:
    """(type, name, SQL) of everything in the database, whatever its layout as text."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in found}


def open_dump(version: int, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript((FOLDER / f"version_{version}.sql").read_text(encoding="utf-8"))
    connection.close()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_database_of_a_released_schema_keeps_everything(tmp_path: Path, version: int) -> None:
    path = tmp_path / "watch.db"
    open_dump(version, path)
    for _ in range(2):
        with SqliteStores(path, clock=FakeClock()) as stores:
            check(stores)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_an_upgraded_database_has_the_schema_of_a_new_one(tmp_path: Path, version: int) -> None:
    open_dump(version, tmp_path / "old.db")
    for name in ("old.db", "new.db"):
        SqliteStores(tmp_path / name).close()
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db"), (
        "a released schema changes by a further migration alone; if this one was never released, write its dump again"
    )


def test_what_is_written_is_what_is_checked(tmp_path: Path) -> None:
    with SqliteStores(tmp_path / "watch.db", clock=FakeClock()) as stores:
        fill(stores)
        check(stores)


def main() -> int:
    """Write the dump of the schema that this release has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watch.db"
        with SqliteStores(path, clock=FakeClock()) as stores:
            fill(stores)
        anonymise(path)
        text = "\n".join(dump(path)) + "\n"
    (FOLDER / f"version_{SCHEMA_VERSION}.sql").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
