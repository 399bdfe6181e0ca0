"""The permits beside an SQLite database keep to the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_watch_tasks.abc.permits import Permits
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.sqlite.permits import SqlitePermits
from media_watch_tasks.testing.contracts.permits import PermitsContract


class TestSqlitePermits(PermitsContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "watch.db")

    def make_permits(self, clock: Clock) -> SqlitePermits:
        self.clock_of_all = clock
        return SqlitePermits(self.path, clock)

    def another(self, permits: Permits) -> SqlitePermits:
        return SqlitePermits(self.path, self.clock_of_all)
