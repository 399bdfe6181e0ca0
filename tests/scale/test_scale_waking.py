"""Workers that wait in one process are woken by what another one enqueues."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.scale.postgres_server import PostgresServer

from media_watch_tasks import SqliteStores, TaskManager
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import StoreError
from media_watch_tasks.manager import forever
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import NewTask
from media_watch_tasks.options import TaskManagerOptions
from media_watch_tasks.stores.postgres import announcements
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.migrations import migrate
from media_watch_tasks.stores.postgres.stores import PostgresStores
from media_watch_tasks.stores.postgres.task_store import PostgresTaskStore
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeResolver, FakeScanner, FakeTree, FakeUploader

ROUTE = Route("camera", "archive")
HANGS_AFTER = 60
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query = %s AND state = 'idle'"


def new(number: int) -> NewTask:
    return NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=Fingerprint(1, 1), due_ns=0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_manager_that_waits_delivers_what_another_one_enqueues(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is delivered then is not found by a look at the queue each second.
    monkeypatch.setattr(forever, "_LONGEST_NAP", 3_600.0)
    schema = "" if kind == "sqlite" else request.getfixturevalue("postgres").new_schema()

    def open_stores() -> Any:
        if kind == "sqlite":
            return SqliteStores(tmp_path / "watch.db")
        return PostgresStores(request.getfixturevalue("postgres").dsn, schema=schema)

    tree, uploader, cancel = FakeTree(), FakeUploader("shelf"), CancelToken()
    with open_stores() as one, open_stores() as two:
        scanning, waiting = (
            TaskManager(
                media_scanner=FakeScanner(tree),
                media_resolver=FakeResolver(tree),
                media_state_store=stores.media_state,
                task_store=stores.tasks,
                uploader=uploader,
                options=TaskManagerOptions(settle_for=timedelta(0)),
            )
            for stores in (one, two)
        )
        with scanning, waiting:
            scanning.initialize_baseline()
            thread = threading.Thread(
                target=lambda: waiting.run_forever(scan_every=timedelta(hours=1), cancel=cancel), daemon=True
            )
            thread.start()
            try:
                until = time.monotonic() + HANGS_AFTER
                for number in range(3):
                    tree.put(f"{number}.mov", b"footage")
                    scanning.scan_and_enqueue_new()
                    while scanning.counts()["success"] != number + 1:
                        assert time.monotonic() < until, f"nobody was woken: {dict(scanning.counts())}"
                        time.sleep(0.01)
            finally:
                cancel.cancel()
                thread.join()
    assert len(uploader.calls) == 3


def test_a_listener_whose_connection_is_lost_makes_another(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    with (
        PostgresStores(postgres.dsn, schema=schema) as here,
        PostgresStores(postgres.dsn, schema=schema) as there,
        psycopg.connect(postgres.dsn, autocommit=True) as server,
    ):
        told = threading.Event()
        end = here.tasks.on_work(told.set)
        listen = f"LISTEN {here.database.channel}"
        assert told.wait(HANGS_AFTER)
        ((first,),) = server.execute(LISTENERS, (listen,)).fetchall()
        ended = server.execute("SELECT pg_terminate_backend(%s)", (first,)).fetchone()
        assert ended == (True,), "the fault has struck"
        until = time.monotonic() + HANGS_AFTER
        while not [row for row in server.execute(LISTENERS, (listen,)).fetchall() if row != (first,)]:
            assert time.monotonic() < until, "nobody listens any more"
            time.sleep(0.01)
        told.clear()
        there.tasks.enqueue_if_absent([new(1)])
        assert told.wait(HANGS_AFTER), "nobody hears"
        end()
        until = time.monotonic() + HANGS_AFTER
        while server.execute(LISTENERS, (listen,)).fetchall():
            assert time.monotonic() < until, "the connection is left behind"
            time.sleep(0.01)


def empty(signs: queue.SimpleQueue[None]) -> None:
    while not signs.empty():
        signs.get()


def test_an_outage_of_the_announcements_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: queue.SimpleQueue[None] = queue.SimpleQueue()
    told: queue.SimpleQueue[None] = queue.SimpleQueue()
    connect = Database.connect

    def counted(database: Database) -> Connection:
        attempts.put(None)
        return connect(database)

    monkeypatch.setattr(announcements, "_COME_BACK_AFTER", 0.02)
    with PostgresServer() as server, PostgresStores(server.dsn) as stores:
        monkeypatch.setattr(Database, "connect", counted)
        end = stores.tasks.on_work(lambda: told.put(None))
        for outages in (1, 2):
            told.get(timeout=HANGS_AFTER)  # somebody listens, and makes no further attempt
            empty(attempts)
            server.stop("immediate")
            for _ in range(5):
                attempts.get(timeout=HANGS_AFTER)
            said = [record.getMessage() for record in caplog.records if record.name == announcements.__name__]
            assert len(said) == outages, said
            assert said[-1].startswith("new tasks are not announced for now: ")
            empty(told)
            server.start()
        told.get(timeout=HANGS_AFTER)
        end()


@pytest.fixture
def announcing(postgres: PostgresServer) -> Iterator[tuple[PostgresTaskStore, FakeClock]]:
    clock = FakeClock()
    with Database(postgres.dsn, schema=postgres.new_schema(), clock=clock) as database:
        migrate(database)
        yield PostgresTaskStore(database, clock), clock


def heard(connection: psycopg.Connection[Any]) -> int:
    """Notifications that have come since; all that were sent before are there once the server answers."""
    connection.execute("SELECT 1")
    return sum(1 for _ in connection.notifies(timeout=0))


def test_announcements_that_follow_each_other_closely_are_one(
    announcing: tuple[PostgresTaskStore, FakeClock], postgres: PostgresServer
) -> None:
    store, clock = announcing
    with psycopg.connect(postgres.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {store.database.channel}".encode())
        for number in range(20):
            store.enqueue_if_absent([new(number)])
        assert heard(listener) == 1
        clock.advance(0.05)
        store.enqueue_if_absent([new(20), new(21)])
        assert heard(listener) == 1
        clock.advance(0.05)
        store.enqueue_if_absent([new(20), new(21)])
        assert heard(listener) == 0, "they are there: nothing is new"


def test_what_is_rolled_back_is_not_announced(
    announcing: tuple[PostgresTaskStore, FakeClock], postgres: PostgresServer
) -> None:
    store, _ = announcing

    def enqueue_and_fail() -> None:
        with store.transaction():
            store.enqueue_if_absent([new(1)])
            raise ZeroDivisionError

    store.enqueue_if_absent([])
    with psycopg.connect(postgres.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {store.database.channel}".encode())
        with pytest.raises(ZeroDivisionError):
            enqueue_and_fail()
        assert heard(listener) == 0


def test_an_announcement_hides_no_error_that_was_passed_over(
    announcing: tuple[PostgresTaskStore, FakeClock],
) -> None:
    store, _ = announcing

    def pass_over() -> None:
        with store.transaction():
            store.enqueue_if_absent([new(1)])
            with pytest.raises(psycopg.errors.UniqueViolation):
                store.database.execute("INSERT INTO task_boot (boot_id) VALUES ('x'), ('x')")

    with pytest.raises(StoreError, match="rolled a transaction back"):
        pass_over()
