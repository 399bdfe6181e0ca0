"""Statements that share a trip to the server: in order, none behind one that fails, and no answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.scale.postgres_server import PostgresServer
from tests.scale.trips import before_trips

from media_watch_tasks.errors import StoreError
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import EnqueueOutcome, NewTask
from media_watch_tasks.stores.postgres.connection import Connection, Row, Statement
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate, lock_class
from media_watch_tasks.stores.postgres.migrations import migrate
from media_watch_tasks.stores.postgres.stores import PostgresStores

ROUTE = Route("camera", "archive")
ADD = "INSERT INTO task_route (source_id, destination_id) VALUES ($1, 'd')"
HANGS_AFTER = 60


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with Database(postgres.dsn, schema=postgres.new_schema()) as database:
        migrate(database)
        yield database


@pytest.fixture
def connection(postgres: PostgresServer) -> Iterator[Connection]:
    with Database(postgres.dsn, schema=postgres.new_schema()) as database:
        connection = database.connect()
        yield connection
        connection.close()


@pytest.fixture
def stores(postgres: PostgresServer) -> Iterator[PostgresStores]:
    with PostgresStores(postgres.dsn, schema=postgres.new_schema()) as stores:
        stores.tasks.enqueue_if_absent([new(0)])  # its lane is known from now on
        yield stores


def new(number: int, version: int = 1) -> NewTask:
    return NewTask(route=ROUTE, asset_id=b"%d" % number, fingerprint=Fingerprint(version, version), due_ns=0)


def names(database: Database) -> list[str]:
    return [row[0] for row in database.execute("SELECT source_id FROM task_route ORDER BY id")]


def run(connection: Connection, *statements: tuple[str, tuple[Any, ...]]) -> list[list[Row]]:
    answers: list[Any] = []
    connection.together([Statement(*statement) for statement in statements], answers)
    return [answer.rows for answer in answers]


def test_each_statement_has_its_answer(connection: Connection) -> None:
    found = run(connection, ("SELECT $1::bigint", (1,)), ("SET jit TO off", ()), ("SELECT 'a' UNION SELECT 'b'", ()))
    assert found == [[(1,)], [], [("a",), ("b",)]]


def test_nothing_behind_one_that_fails_is_run(connection: Connection) -> None:
    answers: list[Any] = []
    parts = ["CREATE TEMPORARY TABLE t (n bigint)", "SELECT 1", "SELECT 1 / 0", "SELECT 2"]
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.together([Statement(sql) for sql in parts], answers)
    assert [answer.rows for answer in answers] == [[], [(1,)]]
    assert run(connection, ("SELECT to_regclass('t')::text", ())) == [[(None,)]], "all of a trip is one transaction"


def test_a_value_that_cannot_be_sent_is_found_before_anything_is(connection: Connection) -> None:
    with pytest.raises(OverflowError):
        run(connection, ("CREATE TEMPORARY TABLE t (n bigint)", ()), ("SELECT $1::bigint", (2**70,)))
    assert run(connection, ("SELECT to_regclass('t')::text", ())) == [[(None,)]]


def test_more_than_the_buffers_hold_goes_both_ways(connection: Connection) -> None:
    text = "x" * 3_000_000
    found = run(connection, *[("SELECT $1::text", (text,)) for _ in range(8)])
    assert found == [[(text,)]] * 8


def test_a_connection_that_ends_in_the_middle_of_a_trip_says_why(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.AdminShutdown) as raised:
        run(connection, ("SELECT 1", ()), ("SELECT pg_terminate_backend(pg_backend_pid())", ()), ("SELECT 2", ()))
    assert connection.is_gone(raised.value)


def test_the_server_keeps_a_limited_number_of_statements(connection: Connection) -> None:
    for number in range(1_000):
        assert run(connection, (f"SELECT {number}", ())) == [[(number,)]]
    ((kept,),) = run(connection, ("SELECT count(*) FROM pg_prepared_statements", ()))[0]
    assert 100 < kept <= 402
    assert run(connection, ("SELECT 1", ())) == [[(1,)]], "one that was forgotten is prepared again"


def test_what_nobody_waits_for_goes_with_the_next_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    before_trips(monkeypatch, lambda _connection, sql, _run: made.append(sql))
    seen: list[list[Row]] = []

    def work() -> list[str]:
        database.later(ADD, ("a",))
        database.later("SELECT count(*) FROM task_route", then=seen.append)
        return names(database)

    assert database.run(work) == ["a"]
    assert seen == [[(1,)]]
    assert len(made) == 2, f"all of it, and the commit: {made}"


def test_what_nobody_waits_for_is_written_where_nothing_follows(database: Database) -> None:
    database.run(lambda: database.later(ADD, ("a",)))
    assert names(database) == ["a"]


@pytest.mark.parametrize("outer", ["run", "block"])
def test_a_failure_of_what_nobody_waits_for_takes_all_back(database: Database, outer: str) -> None:
    def work() -> None:
        database.execute(ADD, ("a",))
        database.later(ADD, ("a",))

    def block() -> None:
        with database.transaction():
            work()

    with pytest.raises(psycopg.errors.UniqueViolation):
        block() if outer == "block" else database.run(work)
    assert names(database) == []


def test_an_answer_that_forbids_the_commit_takes_all_back(database: Database) -> None:
    def refuse(_rows: list[Row]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(lambda: database.later(ADD, ("a",), refuse))
    assert names(database) == []


def test_an_inner_block_that_asked_nothing_takes_back_nothing_of_the_outer_one(database: Database) -> None:
    def inner() -> None:
        with database.transaction():
            database.later(ADD, ("lost",))
            raise ZeroDivisionError

    def work() -> None:
        database.later(ADD, ("outer",))
        with pytest.raises(ZeroDivisionError):
            inner()
        database.later(ADD, ("later",))

    database.run(work)
    assert names(database) == ["outer", "later"]


def test_an_error_of_the_outer_block_is_not_taken_back_with_the_inner_one(database: Database) -> None:
    def work() -> None:
        database.execute(ADD, ("a",))
        database.later(ADD, ("a",))
        with pytest.raises(psycopg.errors.UniqueViolation), database.transaction():
            names(database)

    with pytest.raises(StoreError, match="an error in it was passed over"):
        database.run(work)
    assert names(database) == []


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("arrives", [True, False])
def test_an_enqueue_whose_answer_was_lost_says_what_it_did(
    stores: PostgresStores, monkeypatch: pytest.MonkeyPatch, arrives: bool, count: int
) -> None:
    lost: list[bool] = []

    def lose(connection: Connection, sql: str, run: Callable[[], object]) -> None:
        if "INSERT INTO task " in sql and not lost:
            lost.append(True)
            if arrives:
                run()
            connection.driver.close()

    before_trips(monkeypatch, lose)
    wanted = [new(number) for number in (3, 1, 2)[:count]]
    results = stores.tasks.enqueue_if_absent(wanted)
    assert lost == [True], "the fault has struck"
    assert [result.outcome for result in results] == [EnqueueOutcome.ENQUEUED] * count, "they are its own"
    rows = stores.database.execute("SELECT id, asset_id FROM task WHERE asset_id <> '0' ORDER BY id")
    assert rows == [(result.task_id, task.asset_id) for task, result in zip(wanted, results, strict=True)], "once each"


def test_tasks_of_another_one_are_not_taken_for_those_of_a_lost_answer(
    stores: PostgresStores, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    lost: list[int | None] = []

    def lose(connection: Connection, sql: str, _run: Callable[[], object]) -> None:
        if "INSERT INTO task " in sql and not lost:
            lost.append(None)
            with PostgresStores(postgres.dsn, schema=stores.database.schema) as others:
                lost.append(others.tasks.enqueue_if_absent([new(1)])[0].task_id)
            connection.driver.close()

    before_trips(monkeypatch, lose)
    (result,) = stores.tasks.enqueue_if_absent([new(1)])
    assert len(lost) == 2, "the fault has struck"
    assert (result.outcome, result.task_id) == (EnqueueOutcome.LIVE, lost[1])


def test_new_files_do_not_go_by_what_was_before_they_had_waited_in_the_gate(stores: PostgresStores) -> None:
    done: list[object] = []

    def enqueue() -> None:
        try:
            done.append(stores.tasks._enqueue.at_once([new(1)]))
        except AloneNeededError as error:
            done.append(type(error))

    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND NOT granted"
    gate = lock_class("gate", stores.database.schema) % 2**32
    with stores.database.transaction(gate=Gate.ALONE):
        stores.database.execute("UPDATE task_store SET names_version = names_version + 1")
        thread = threading.Thread(target=enqueue)
        thread.start()
        while not stores.database.execute(waiting, (gate,)):
            assert thread.is_alive(), "it did not wait"
    thread.join(HANGS_AFTER)
    assert done == [AloneNeededError], "lanes and pauses may have changed: it has to look"
