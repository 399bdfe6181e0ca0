"""The task store on SQLite, as two processes have it: what it announces, and who does after-upload actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.acting import ActingContract
from media_watch_tasks.testing.contracts.announcements import AnnouncementsContract
from media_watch_tasks.testing.contracts.shared_queue import SharedQueueSuite


class OnSqlite(SharedQueueSuite):
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


class TestSqliteAnnouncements(OnSqlite, AnnouncementsContract):
    pass


class TestSqliteActing(OnSqlite, ActingContract):
    pass
