"""Two managers, each with stores of its own on one database: what one of them decides, the other one keeps to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import SqliteStores, TaskManager
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree, FakeUploader


class Pair:
    """The managers of two hosts that see the same place."""

    def __init__(self, open_stores: Any, stack: ExitStack, clock: FakeClock) -> None:
        self.clock = clock
        self.tree = FakeTree()
        self.uploaders = [FakeUploader("shelf"), FakeUploader("shelf")]
        self.stores = [stack.enter_context(open_stores()) for _ in range(2)]
        self.one, self.two = (
            stack.enter_context(
                TaskManager(
                    media_scanner=FakeScanner(self.tree),
                    media_resolver=FakeResolver(self.tree),
                    media_state_store=stores.media_state,
                    task_store=stores.tasks,
                    uploader=uploader,
                    options=TaskManagerOptions(settle_for=timedelta(0)),
                    clock=clock,
                )
            )
            for stores, uploader in zip(self.stores, self.uploaders, strict=True)
        )
        self.one.initialize_baseline()

    def arrive(self, *names: str) -> None:
        for name in names:
            self.tree.put(name, name.encode())
        self.two.scan_and_enqueue_new()
        self.clock.advance(timedelta(seconds=1))

    @property
    def sent(self) -> list[int]:
        return [len(uploader.calls) for uploader in self.uploaders]


@pytest.fixture(params=["postgres", "sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    clock = FakeClock()

    def sqlite() -> SqliteStores:
        return SqliteStores(tmp_path / "watch.db", clock=clock)

    def postgres() -> PostgresStores:
        return PostgresStores(server.dsn, schema=schema, clock=clock)

    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        schema = server.new_schema()
    with ExitStack() as stack:
        yield Pair(postgres if request.param == "postgres" else sqlite, stack, clock)


def test_a_pause_of_one_holds_the_other_until_its_time(pair: Pair) -> None:
    pair.arrive("a.mov", "b.mov")
    pair.one.pause(destination="shelf", until=pair.clock.now() + timedelta(hours=3))
    assert pair.two.process().taken == 0
    pair.clock.advance(timedelta(hours=2, minutes=59))
    assert pair.two.process().taken == 0
    pair.clock.advance(timedelta(minutes=1))
    assert pair.two.process().succeeded == 2
    assert pair.sent == [0, 2]


def test_a_pause_that_one_ends_is_over_for_the_other(pair: Pair) -> None:
    pair.arrive("a.mov")
    pair.one.pause()
    assert pair.two.process().taken == 0
    assert pair.two.resume()
    assert pair.one.process().succeeded == 1


def test_what_one_has_delivered_the_other_does_not_send(pair: Pair) -> None:
    pair.arrive("a.mov", "b.mov")
    assert pair.one.process(limit=1).succeeded == 1
    assert pair.two.process().succeeded == 1
    assert pair.one.process().taken == pair.two.process().taken == 0
    assert pair.sent == [1, 1]
    assert pair.one.counts() == pair.two.counts()


def test_one_scans_while_the_other_holds_the_source(pair: Pair) -> None:
    state = pair.stores[0].media_state
    lease = state.acquire_scan(pair.one.source_id, owner="one", lease_ns=60 * 10**9)
    assert lease is not None
    assert pair.two.scan_and_enqueue_new().skipped == "another scan is running"
    pair.clock.advance(timedelta(minutes=1))
    assert pair.two.scan_and_enqueue_new().skipped is None
    assert not state.extend_scan(lease, lease_ns=60 * 10**9)


def test_a_manager_goes_by_the_clock_of_stores_that_have_one(postgres: Any) -> None:
    clock = FakeClock()
    clock.advance_wall(timedelta(days=-300))
    tree = FakeTree()
    with (
        PostgresStores(postgres.dsn, schema=postgres.new_schema(), clock=clock) as stores,
        TaskManager(
            media_scanner=FakeScanner(tree),
            media_resolver=FakeResolver(tree),
            media_state_store=stores.media_state,
            task_store=stores.tasks,
            uploader=FakeUploader(),
            options=TaskManagerOptions(settle_for=timedelta(minutes=2)),
        ) as manager,
    ):
        manager.initialize_baseline()
        tree.put("a.mov", b"footage")
        manager.scan_and_enqueue_new()
        (task,) = manager.tasks()
    assert task.due_ns == clock.now_ns() + 120 * 10**9
