"""The task store on PostgreSQL, as two processes have it: what it announces, and who does after-upload actions."""

from __future__ import annotations

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.contracts.acting import ActingContract
from media_watch_tasks.testing.contracts.announcements import AnnouncementsContract
from media_watch_tasks.testing.contracts.shared_queue import SharedQueueSuite


class OnPostgres(SharedQueueSuite):
    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> None:
        self.dsn, self.schema = postgres.dsn, postgres.new_schema()
        self.opened: dict[TaskStore, PostgresStores] = {}

    def make_store(self) -> TaskStore:
        stores = PostgresStores(self.dsn, schema=self.schema)
        self.opened[stores.tasks] = stores
        return stores.tasks

    def another(self, store: TaskStore) -> TaskStore:
        return self.make_store()

    def close_store(self, store: TaskStore) -> None:
        self.opened[store].close()


class TestPostgresAnnouncements(OnPostgres, AnnouncementsContract):
    pass


class TestPostgresActing(OnPostgres, ActingContract):
    pass
