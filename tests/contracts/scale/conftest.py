"""The rig of the manager's tests on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.contracts.manager.conftest import Rig
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.clock import FakeClock


class PostgresRig(Rig):
    """A rig whose stores are in a schema of their own."""

    def __init__(self, server: PostgresServer, folder: Path, stack: ExitStack) -> None:
        self.server = server
        super().__init__("postgres", folder, stack)

    def open_stores(self, folder: Path, clock: FakeClock) -> None:
        """A new schema."""
        stores = self.stack.enter_context(
            PostgresStores(self.server.dsn, schema=self.server.new_schema(), clock=clock)
        )  # fmt: skip
        self.media_state, self.tasks = stores.media_state, stores.tasks


@pytest.fixture
def rig(postgres: PostgresServer, tmp_path: Path) -> Iterator[PostgresRig]:
    with ExitStack() as stack:
        yield PostgresRig(postgres, tmp_path, stack)
