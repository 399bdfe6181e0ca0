"""The PostgreSQL store keeps the contract of a TaskStore."""

from __future__ import annotations

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.abc.stores import TaskStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.migrations import migrate
from media_watch_tasks.stores.postgres.task_store import PostgresTaskStore
from media_watch_tasks.testing.task_store_contract import TaskStoreContract


class TestPostgresTaskStore(TaskStoreContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: PostgresServer) -> None:
        self.postgres = postgres

    def make_store(self, clock: Clock) -> TaskStore:
        database = Database(self.postgres.dsn, schema=self.postgres.new_schema())
        migrate(database)
        return PostgresTaskStore(database, clock)

    def close_store(self, store: TaskStore) -> None:
        assert isinstance(store, PostgresTaskStore)
        store.close()
        store.database.close()
