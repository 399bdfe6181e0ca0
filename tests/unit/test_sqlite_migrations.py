"""The schema's versions: forward only, in one transaction, once, and never over a newer one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from media_watch_tasks.errors import SchemaTooNewError, StoreError
from media_watch_tasks.stores.sqlite import migrations
from media_watch_tasks.stores.sqlite.connection import APPLICATION_ID
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import SCHEMA_VERSION, migrate, schema_version
from media_watch_tasks.stores.sqlite.stores import SqliteStores

_SECOND = ("CREATE TABLE second (x)", "INSERT INTO second VALUES (1)")
_THIRD = ("ALTER TABLE second ADD COLUMN y", "INSERT INTO second VALUES (2, 3)")


def use_migrations(monkeypatch: pytest.MonkeyPatch, *further: tuple[str, ...]) -> None:
    """A release that knows further versions."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS[:1], *further))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", 1 + len(further))


def tables(database: Database) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_a_new_file_gets_the_latest_version_and_our_mark(tmp_path: Path) -> None:
    with Database(tmp_path / "watch.db") as database:
        migrate(database)
        assert schema_version(database) == SCHEMA_VERSION == len(migrations.MIGRATIONS)
        assert database.execute("PRAGMA application_id") == [(APPLICATION_ID,)]
        assert {"source", "directory", "asset", "metadata", "owed_directory", "sync_mark"} <= tables(database)


def test_an_up_to_date_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    SqliteStores(path).close()
    before = path.read_bytes()
    with Database(path) as database:
        version = database.data_version()
        migrate(database)
        assert database.data_version() == version
    assert path.read_bytes() == before


def test_every_missing_version_is_applied_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(tmp_path / "watch.db") as database:
        use_migrations(monkeypatch)
        migrate(database)
        assert schema_version(database) == 1
        assert "second" not in tables(database)
        database.execute("INSERT INTO source (source_id) VALUES ('kept')")
        use_migrations(monkeypatch, _SECOND, _THIRD)
        migrate(database)
        migrate(database)
        assert schema_version(database) == 3
        assert database.execute("SELECT x, y FROM second") == [(1, None), (2, 3)]
        assert database.execute("SELECT source_id FROM source") == [("kept",)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(tmp_path / "watch.db") as database:
        use_migrations(monkeypatch)
        migrate(database)
        before = tables(database)
        use_migrations(monkeypatch, _SECOND, (*_THIRD, "INSERT INTO nowhere VALUES (1)"))
        with pytest.raises(Exception, match="no such table: nowhere"):
            migrate(database)
        assert (schema_version(database), tables(database)) == (1, before)
        use_migrations(monkeypatch, _SECOND)
        migrate(database)
        assert schema_version(database) == 2


@pytest.mark.parametrize("found", [SCHEMA_VERSION + 1, 2**31 - 1])
def test_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path, found: int) -> None:
    path = tmp_path / "watch.db"
    SqliteStores(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {found}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNewError, match=rf"watch\.db has schema version {found}, .*upgrade media-watch-tasks"):
        SqliteStores(path)
    assert path.read_bytes() == before
    assert issubclass(SchemaTooNewError, StoreError)


def test_processes_that_open_a_new_file_at_once_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    script = (
        "import sys\nfrom media_watch_tasks.stores.sqlite.stores import SqliteStores\n"
        "sys.stdin.read()\n"
        "with SqliteStores(sys.argv[1]) as stores: stores.media_state.acquire_scan(sys.argv[2], owner='x', lease_ns=1)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(number)], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    # A version that is applied twice fails: its tables are there already.
    assert [process.wait() for process in processes] == [0] * 4
    with SqliteStores(path) as stores:
        assert [source.source_id for source in stores.media_state.sources()] == list("0123")
