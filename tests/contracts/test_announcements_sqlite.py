"""The task store on SQLite announces what other processes enqueue."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.announcements import AnnouncementsContract


class TestSqliteAnnouncements(AnnouncementsContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "watch.db"
        self.opened: dict[TaskStore, SqliteStores] = {}

    def make_store(self) -> TaskStore:
        stores = SqliteStores(self.path)
        self.opened[stores.tasks] = stores
        return stores.tasks

    def another(self, store: TaskStore) -> TaskStore:
        return self.make_store()

    def close_store(self, store: TaskStore) -> None:
        self.opened[store].close()
