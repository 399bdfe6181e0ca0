"""A manager over a source in memory, on each kind of stores, with a destination that does as it is told."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores
from media_watch_tasks.abc import FindsExisting, MediaStateStore, TaskStore, UploadContext, Uploader
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import Event
from media_watch_tasks.model.tasks import Task, TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.memory import MemoryMediaStateStore, MemoryTaskStore
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree

Step = Callable[[ResolvedMedia, UploadContext], UploadReceipt | None] | Exception


class Destination(Uploader, FindsExisting):
    """Keeps what it is sent by asset path; `script` says what the next uploads do instead."""

    def __init__(self, name: str = "shelf") -> None:
        self.name = name
        self.held: dict[bytes, bytes] = {}
        self.by_key: dict[str, bytes] = {}
        self.sent: list[bytes] = []
        self.asked: list[str] = []
        self.attempts: list[int] = []
        self.script: list[Step] = []
        self.closed = 0
        self._lock = threading.Lock()

    @property
    def destination_id(self) -> str:
        return self.name

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        with self._lock:
            self.attempts.append(context.attempt)
            step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            receipt = step(media, context)
            if receipt is not None:
                return receipt
        return self.take(media, context)

    def take(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        with media.open() as body:
            data = context.watch(body).read()
        context.confirm()
        with self._lock:
            self.held[media.asset.asset_id] = data
            self.by_key[context.key] = data
            self.sent.append(media.asset.asset_id)
        return UploadReceipt(media.asset.display, size=len(data))

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        self.asked.append(context.key)
        data = self.by_key.get(context.key)
        return None if data is None else UploadReceipt(media.asset.display, size=len(data))

    def close(self) -> None:
        self.closed += 1


class Rig:
    """Everything a test of the manager moves."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.kind = kind
        self.stack = stack
        self.clock = FakeClock()
        self.tree = FakeTree()
        self.scanner = FakeScanner(self.tree)
        self.resolver = FakeResolver(self.tree)
        self.destination = Destination()
        self.events: list[Event] = []
        self.media_state: MediaStateStore
        self.tasks: TaskStore
        self.open_stores(folder, self.clock)

    def open_stores(self, folder: Path, clock: FakeClock) -> None:
        """The stores of this kind."""
        if self.kind == "sqlite":
            stores = self.stack.enter_context(SqliteStores(folder / "watch.db", clock=clock))
            self.media_state, self.tasks = stores.media_state, stores.tasks
        else:
            self.media_state, self.tasks = MemoryMediaStateStore(clock), MemoryTaskStore(clock)

    def manager(
        self, *, uploader: Uploader | None = None, parts: dict[str, Any] | None = None, **options: Any
    ) -> TaskManager:
        """A manager on these stores, closed at the end of the test; `options` are those of TaskManagerOptions."""
        chosen: dict[str, Any] = {
            "media_scanner": self.scanner,
            "media_resolver": self.resolver,
            "media_state_store": self.media_state,
            "task_store": self.tasks,
            "uploader": uploader or self.destination,
            "clock": self.clock,
            "rng": random.Random(7),
            **(parts or {}),
        }
        made = TaskManager(options=TaskManagerOptions(**options), **chosen)
        made.subscribe(self.events.append)
        return self.stack.enter_context(made)

    def watching(self, **options: Any) -> TaskManager:
        """A manager whose source has an (empty) baseline."""
        manager = self.manager(**options)
        manager.initialize_baseline()
        return manager

    def settle(self, seconds: float = 60) -> None:
        """Let files stand still."""
        self.clock.advance(timedelta(seconds=seconds))

    def deliver(self, manager: TaskManager) -> None:
        """Scan, let the files settle, process."""
        manager.scan_and_enqueue_new()
        self.settle()
        manager.process()

    def only_task(self, manager: TaskManager, **selection: Any) -> Task:
        (task,) = manager.tasks(**selection)
        return task

    def live(self, manager: TaskManager) -> int:
        counts = manager.counts()
        return sum(counts[state] for state in TaskState if state.is_live)

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(params=["memory", "sqlite"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(request.param, tmp_path, stack)
