"""The permits in a PostgreSQL database keep to the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.postgres.permits import PostgresPermits
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.contracts.permits import PermitsContract


class TestPostgresPermits(PermitsContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> Iterator[None]:
        self.server, self.schema = postgres, postgres.new_schema()
        self.opened: list[PostgresStores] = []
        yield
        for stores in self.opened:
            stores.close()

    def make_permits(self, clock: Clock) -> PostgresPermits:
        self.clock_of_all = clock
        self.opened.append(PostgresStores(self.server.dsn, schema=self.schema, clock=clock))
        return self.opened[-1].permits

    def another(self, permits: Permits) -> PostgresPermits:
        return self.make_permits(self.clock_of_all)
