"""Backups of a database in use: complete, verified, and never in place of something better."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import peewee
import pytest
from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.model.sources import PageRecord, SourceState
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.media_state_store_base import SOURCE, asset


def apsw_database(path: str, *, synchronous: str) -> APSWDatabase:
    return APSWDatabase(path, timeout=0, thread_safe=False)


@pytest.fixture(params=["sqlite3", "apsw"])
def factory(request: pytest.FixtureRequest) -> DatabaseFactory | None:
    return apsw_database if request.param == "apsw" else None


def fill(stores: SqliteStores, count: int, *, version: int = 1) -> None:
    lease = stores.media_state.acquire_scan(SOURCE, owner="x", lease_ns=1)
    assert lease is not None
    seen = tuple(asset(f"{number:06}", version=version) for number in range(count))
    assert stores.media_state.record_page(lease, PageRecord(directory=b"", seen=seen, complete=True))
    stores.media_state.release_scan(lease)


def only_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_backup_holds_everything_in_one_private_file(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    with SqliteStores(tmp_path / "watch.db", database_factory=factory) as stores:
        fill(stores, 500)
        stores.media_state.save_source(SourceState(source_id=SOURCE, scans=3))
        stores.backup(folder / "copy.db")
        assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
        fill(stores, 500, version=2)
    with SqliteStores(folder / "copy.db", database_factory=factory) as copy:
        assert copy.media_state.source(SOURCE).scans == 3
        assert copy.media_state.count_assets(SOURCE) == (500, 0)
        (state,) = copy.media_state.assets(SOURCE, [b"000007"])
        assert state is not None
        assert state.fingerprint == asset("x").fingerprint


def test_a_backup_is_taken_while_others_write(tmp_path: Path) -> None:
    begun, done = threading.Event(), threading.Event()
    with SqliteStores(tmp_path / "watch.db") as stores:
        fill(stores, 3_000)

        def write() -> None:
            version = 2
            while not done.is_set():
                stores.media_state.update_seen(SOURCE, {b"000001": asset("x", version=version).fingerprint})
                version += 1
                begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait()
        for number in range(3):
            stores.backup(tmp_path / f"copy-{number}.db")
        done.set()
        writer.join()
    for number in range(3):
        with SqliteStores(tmp_path / f"copy-{number}.db") as copy:
            assert copy.media_state.count_assets(SOURCE) == (3_000, 0)


def test_an_open_transaction_neither_blocks_a_backup_nor_gets_into_it(tmp_path: Path) -> None:
    with SqliteStores(tmp_path / "watch.db") as stores:
        fill(stores, 1)
        with stores.media_state.transaction():
            stores.media_state.mark_missing(SOURCE, [b"000000"])
            stores.backup(tmp_path / "copy.db")
    with SqliteStores(tmp_path / "copy.db") as copy:
        assert copy.media_state.count_assets(SOURCE) == (1, 0)


def test_a_new_backup_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    with SqliteStores(tmp_path / "watch.db") as stores:
        for count in (1, 2):
            fill(stores, count)
            stores.backup(tmp_path / "copy.db")
    with SqliteStores(tmp_path / "copy.db") as copy:
        assert copy.media_state.count_assets(SOURCE) == (2, 0)


def test_a_database_in_use_is_no_place_for_a_backup(tmp_path: Path) -> None:
    with SqliteStores(tmp_path / "watch.db") as stores, SqliteStores(tmp_path / "other.db") as other:
        fill(stores, 1)
        fill(other, 2)
        (tmp_path / "link.db").symlink_to(tmp_path / "watch.db")
        for name in ("watch.db", "other.db", "link.db"):
            with pytest.raises(ConfigurationError, match="is a database in use: choose another path"):
                stores.backup(tmp_path / name)
        assert (stores.media_state.count_assets(SOURCE), other.media_state.count_assets(SOURCE)) == ((1, 0), (2, 0))


def test_a_backup_that_fails_leaves_the_earlier_one(tmp_path: Path, factory: DatabaseFactory | None) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    path = tmp_path / "watch.db"
    with SqliteStores(path) as stores:
        fill(stores, 2_000)
        stores.backup(folder / "copy.db")
    earlier = only_file(folder).read_bytes()
    content = bytearray(path.read_bytes())
    # The last page belongs to the assets: opening the file does not touch it.
    content[-4096:-3000] = b"\xa5" * 1_096
    path.write_bytes(content)
    with SqliteStores(path, database_factory=factory) as stores, pytest.raises(StoreError, match=r"damaged|not sound"):
        stores.backup(folder / "copy.db")
    assert only_file(folder).read_bytes() == earlier


def test_a_copy_that_does_not_read_back_is_no_backup(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    def lying_disk(path: str, *, synchronous: str) -> peewee.SqliteDatabase:
        if path.endswith(".tmp"):
            content = bytearray(Path(path).read_bytes())
            content[-4096:-3000] = b"\xa5" * 1_096
            Path(path).write_bytes(content)
        return peewee.SqliteDatabase(path, timeout=0, thread_safe=False, check_same_thread=False)

    with SqliteStores(tmp_path / "watch.db", database_factory=lying_disk) as stores:
        fill(stores, 2_000)
        with pytest.raises(StoreError, match=r"the backup is not sound"):
            stores.backup(folder / "copy.db")
    assert os.listdir(folder) == []


_FULL_DISK = """
import os, resource, sys
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.stores import SqliteStores
with SqliteStores(sys.argv[1]) as stores:
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    try:
        stores.backup(sys.argv[2])
    except StoreError as error:
        print(error)
"""


def test_a_backup_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    with SqliteStores(tmp_path / "watch.db") as stores:
        fill(stores, 2_000)
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "watch.db"), str(folder / "copy.db")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "could not be read or written (I/O error): check the disk" in answer
    assert os.listdir(folder) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        SqliteStores(tmp_path / "watch.db") as stores,
        pytest.raises(StoreError, match=r"cannot be created .*check that its folder exists"),
    ):
        stores.backup(tmp_path / "nowhere" / "copy.db")
