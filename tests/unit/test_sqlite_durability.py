"""What is on the disk after a commit: syncs counted, and power cuts played by a VFS that keeps synced bytes alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types

from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import migrate


class _TrackedFile(apsw.VFSFile):
    def __init__(self, disk: SyncedDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._disk.synced(self._path)


class SyncedDisk(apsw.VFS):
    """The disk as a power cut leaves it: of each file what stood there at its last sync."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.syncs: list[str] = []
        super().__init__("synced-disk", "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _TrackedFile:  # noqa: N802 - as above
        return _TrackedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - as above
        super().xDelete(filename, syncdir)
        (self.folder / os.path.basename(filename)).unlink(missing_ok=True)

    def synced(self, path: str) -> None:
        self.syncs.append(os.path.basename(path))
        shutil.copyfile(path, self.folder / os.path.basename(path))

    def logs_synced(self) -> int:
        return sum(name.endswith("-wal") for name in self.syncs)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SyncedDisk]:
    folder = tmp_path / "after the power cut"
    folder.mkdir()
    disk = SyncedDisk(folder)
    yield disk
    disk.unregister()


@pytest.fixture
def database(tmp_path: Path, disk: SyncedDisk) -> Iterator[Database]:
    def factory(path: str, *, synchronous: str) -> APSWDatabase:
        return APSWDatabase(path, timeout=0, thread_safe=False, vfs="synced-disk")

    with Database(tmp_path / "watch.db", database_factory=factory) as database:
        migrate(database)
        database.execute("CREATE TABLE t (x)")
        database.sync()
        disk.syncs.clear()
        yield database


def insert(database: Database, value: int, *, durable: bool = False) -> None:
    with database.transaction(durable=durable):
        database.execute("INSERT INTO t VALUES (?)", (value,))


def survivors(disk: SyncedDisk) -> list[int]:
    """The rows that a power cut at this moment leaves."""
    copy = disk.folder.with_name("power cut")
    shutil.copytree(disk.folder, copy)
    with Database(copy / "watch.db") as after:
        assert after.execute("PRAGMA integrity_check") == [("ok",)]
        found = [x for (x,) in after.execute("SELECT x FROM t WHERE typeof(x) = 'integer' ORDER BY x")]
    shutil.rmtree(copy)
    return found


def test_an_ordinary_commit_syncs_nothing(database: Database, disk: SyncedDisk) -> None:
    insert(database, 1)
    assert disk.syncs == []
    assert survivors(disk) == [], "the power cut that these tests play takes what was not synced"


def test_a_durable_commit_survives_with_all_before_it(database: Database, disk: SyncedDisk) -> None:
    insert(database, 1)
    insert(database, 2, durable=True)
    insert(database, 3)
    assert disk.logs_synced() == 1
    assert survivors(disk) == [1, 2]


def test_a_durable_block_inside_an_ordinary_one_survives_with_it(database: Database, disk: SyncedDisk) -> None:
    with database.transaction():
        insert(database, 1)
        insert(database, 2, durable=True)
        insert(database, 3)
        assert disk.syncs == []
    assert disk.logs_synced() == 1
    assert survivors(disk) == [1, 2, 3]


def test_a_durable_block_that_writes_nothing_makes_earlier_commits_survive(
    database: Database, disk: SyncedDisk
) -> None:
    insert(database, 1)
    with database.transaction(durable=True):
        assert database.execute("SELECT x FROM t") == [(1,)]
    assert survivors(disk) == [1]


def test_a_durable_block_that_writes_what_stands_there_makes_earlier_commits_survive(
    database: Database, disk: SyncedDisk
) -> None:
    # SQLite leaves out a page that an UPDATE does not alter, and then has nothing to sync.
    insert(database, 1)
    with database.transaction(durable=True):
        database.execute("UPDATE t SET x = 1")
    assert survivors(disk) == [1]


def test_a_durable_commit_covers_other_connections(database: Database, disk: SyncedDisk, tmp_path: Path) -> None:
    with Database(tmp_path / "watch.db") as other:
        insert(other, 1)
        insert(other, 2)
        database.sync()
    assert survivors(disk) == [1, 2]


def test_a_failed_durable_block_syncs_nothing(database: Database, disk: SyncedDisk) -> None:
    with pytest.raises(LookupError), database.transaction(durable=True):  # noqa: PT012 - the block is what is tested
        database.execute("INSERT INTO t VALUES (1)")
        raise LookupError
    assert disk.syncs == []
    assert survivors(disk) == []


def test_every_durable_commit_survives_checkpoints(database: Database, disk: SyncedDisk) -> None:
    for number in range(0, 60, 2):
        with database.transaction():
            # Large enough for the log to be carried over into the database several times meanwhile.
            database.execute("INSERT INTO t VALUES (?), (zeroblob(400000))", (number,))
        insert(database, number + 1, durable=True)
        if number % 10 == 0:
            assert survivors(disk) == list(range(number + 2))
    assert "watch.db" in disk.syncs, "no checkpoint happened"
