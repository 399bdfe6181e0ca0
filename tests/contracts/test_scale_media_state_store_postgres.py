"""The PostgreSQL store keeps to the contract of a MediaStateStore."""

from __future__ import annotations

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.postgres.media_state_store import PostgresMediaStateStore
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.contracts.change_feed import ChangeFeedContract
from media_watch_tasks.testing.contracts.media_state_store import MediaStateStoreContract


class TestPostgresMediaStateStore(MediaStateStoreContract, ChangeFeedContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> None:
        self.server = postgres

    def make_store(self, clock: Clock) -> PostgresMediaStateStore:
        return PostgresStores(self.server.dsn, schema=self.server.new_schema(), clock=clock).media_state

    def close_store(self, store: MediaStateStore) -> None:
        assert isinstance(store, PostgresMediaStateStore)
        store.database.close()
