"""A manager over files in memory that delivers to a server with troubles."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores
from media_watch_tasks.abc import Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.tasks import Task
from media_watch_tasks.options import RetryOptions, TaskManagerOptions
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeScanner, FakeTree


class Rig:
    """What a test of a delivery moves: the files, the clock, and the manager."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.clock = FakeClock()
        self.tree = FakeTree()
        self.stack = stack
        self.database = folder / "watch.db"
        self.manager: TaskManager

    def watch(self, uploader: Uploader, **options: Any) -> TaskManager:
        """A manager with an empty baseline."""
        stores = self.stack.enter_context(SqliteStores(self.database, clock=self.clock))
        self.manager = self.stack.enter_context(
            TaskManager(
                media_scanner=FakeScanner(self.tree),
                media_resolver=FakeResolver(self.tree),
                media_state_store=stores.media_state,
                task_store=stores.tasks,
                uploader=uploader,
                options=TaskManagerOptions(
                    **{"settle_for": timedelta(0), "workers": 1, "retry": RetryOptions(jitter=0), **options}
                ),
                clock=self.clock,
                rng=random.Random(7),
            )
        )
        self.manager.initialize_baseline()
        return self.manager

    def run(self) -> list[Task]:
        """Scan, let files settle, process; all tasks."""
        self.manager.scan_and_enqueue_new()
        return self.process(timedelta(minutes=1))

    def process(self, later: timedelta) -> list[Task]:
        """Let time pass, and process what is due by then."""
        self.clock.advance(later)
        self.manager.process()
        return list(self.manager.tasks())

    def media(self, path: str, data: bytes) -> ResolvedMedia:
        """A file as an uploader gets it."""
        return FakeResolver(self.tree).resolve_for_upload(self.tree.put(path, data), cancel=CancelToken())

    def context(self, media: ResolvedMedia, **settings: Any) -> FakeContext:
        return FakeContext.for_media(media, **settings)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack)


@pytest.fixture
def payload() -> bytes:
    """Several pieces of a request body, and more than a connection on loopback holds."""
    return random.Random(3).randbytes(16 << 20)
