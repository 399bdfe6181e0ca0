"""The SQLite store keeps the contract of a TaskStore."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import migrate
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.testing.task_store_contract import TaskStoreContract


class TestSqliteTaskStore(TaskStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "watch.db"

    def make_store(self, clock: Clock) -> TaskStore:
        database = Database(self.path)
        migrate(database)
        return SqliteTaskStore(database, clock)

    def close_store(self, store: TaskStore) -> None:
        assert isinstance(store, SqliteTaskStore)
        store.close()
        store.database.close()
