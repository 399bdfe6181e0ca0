"""HueyScheduler against the contract of schedulers, on Redis, on SQLite and in memory, with a consumer that runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from huey import MemoryHuey, RedisHuey, SqliteHuey
from tests.scale.consumers import HurryingClock, QuickConsumer

from media_watch_tasks.schedulers import HueyScheduler
from media_watch_tasks.testing.contracts.scheduler import SchedulerContract


class HueyContract(SchedulerContract):
    """The scheduler of `make_scheduler`, beside a consumer."""

    def make_huey(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def scheduler(self) -> Iterator[HueyScheduler]:
        huey = self.make_huey()
        scheduler = HueyScheduler(
            huey, timedelta(minutes=1), lease=timedelta(days=365), clock=HurryingClock(), name="contract"
        )
        consumer = QuickConsumer(huey)
        consumer.start()
        yield scheduler
        assert scheduler.stop(timeout=timedelta(seconds=self.hang_guard))
        consumer.stop(graceful=True)
        huey.storage.close()


class TestHueySchedulerInMemory(HueyContract):
    def make_huey(self) -> MemoryHuey:
        return MemoryHuey(secrets.token_hex(4), immediate=False)


class TestHueySchedulerOnSqlite(HueyContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_huey(self) -> SqliteHuey:
        return SqliteHuey("contract", filename=str(self.folder / "huey.db"))


class TestHueySchedulerOnRedis(HueyContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_port: int) -> None:
        self.port = redis_port

    def make_huey(self) -> RedisHuey:
        return RedisHuey(secrets.token_hex(4), host="127.0.0.1", port=self.port)
