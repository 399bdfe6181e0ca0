"""The SQLite store keeps to the contract of a MediaStateStore, on either driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types

from media_watch_tasks.abc.stores import MediaStateStore
from media_watch_tasks.clock import Clock
from media_watch_tasks.stores.sqlite.media_state_store import SqliteMediaStateStore
from media_watch_tasks.stores.sqlite.stores import SqliteStores
from media_watch_tasks.testing.contracts.change_feed import ChangeFeedContract
from media_watch_tasks.testing.contracts.media_state_store import MediaStateStoreContract


def apsw_database(path: str, *, synchronous: str) -> APSWDatabase:
    return APSWDatabase(path, timeout=0, thread_safe=False)


class TestSqliteMediaStateStore(MediaStateStoreContract, ChangeFeedContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_stores(self, clock: Clock) -> SqliteStores:
        return SqliteStores(self.folder / "watch.db", clock=clock)

    def make_store(self, clock: Clock) -> SqliteMediaStateStore:
        return self.make_stores(clock).media_state

    def close_store(self, store: MediaStateStore) -> None:
        assert isinstance(store, SqliteMediaStateStore)
        store.database.close()


class TestSqliteMediaStateStoreOnApsw(TestSqliteMediaStateStore):
    def make_stores(self, clock: Clock) -> SqliteStores:
        return SqliteStores(self.folder / "watch.db", clock=clock, database_factory=apsw_database)
