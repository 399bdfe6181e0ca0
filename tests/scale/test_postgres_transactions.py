"""Transactions on PostgreSQL: all or nothing, repeated where the server asks for it, exact where an answer is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.scale.postgres_server import PostgresServer
from tests.scale.trips import before_trips

from media_watch_tasks.errors import ConfigurationError, SchemaTooNewError, StoreError
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.postgres.connection import Connection
from media_watch_tasks.stores.postgres.database import Database
from media_watch_tasks.stores.postgres.gate import AloneNeededError, Gate, lock_class
from media_watch_tasks.stores.postgres.migrations import SCHEMA_VERSION, migrate, schema_version
from media_watch_tasks.testing.clock import FakeClock

HANGS_AFTER = 60
ADD = "INSERT INTO task_route (source_id, destination_id) VALUES (?, ?)"
ALL = "SELECT source_id FROM task_route ORDER BY id"
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'media_watch_tasks' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with Database(postgres.dsn, schema=postgres.new_schema(), clock=FakeClock()) as database:
        migrate(database)
        yield database


def add(database: Database, name: str) -> None:
    database.execute(ADD, (name, "d"))


def names(database: Database) -> list[str]:
    return [row[0] for row in database.execute(ALL)]


def end_sessions(server: PostgresServer) -> int:
    """The server ends all connections of the stores; how many there were."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        rows = connection.execute(END_SESSIONS).fetchall()
    return int(rows[0][0])


def add_and_fail(database: Database, name: str) -> None:
    with database.transaction():
        add(database, name)
        raise ZeroDivisionError


def test_a_block_that_ends_by_an_exception_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        add_and_fail(database, "lost")
    assert names(database) == []


def test_an_inner_block_takes_back_its_own_writes_alone(database: Database) -> None:
    with database.transaction():
        add(database, "outer")
        with pytest.raises(ZeroDivisionError):
            add_and_fail(database, "inner")
        add(database, "later")
    assert names(database) == ["outer", "later"]


def test_an_inner_block_can_fail_in_the_database(database: Database) -> None:
    with database.transaction():
        add(database, "outer")
        with pytest.raises(psycopg.errors.UniqueViolation), database.transaction():
            add(database, "outer")
        add(database, "later")
    assert names(database) == ["outer", "later"]


def test_a_transaction_whose_error_was_passed_over_is_no_commit(database: Database) -> None:
    def pass_over() -> None:
        with database.transaction():
            add(database, "lost")
            with pytest.raises(psycopg.errors.UniqueViolation):
                add(database, "lost")

    with pytest.raises(StoreError):
        pass_over()
    assert names(database) == []


def test_writing_by_rows_needs_a_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError, match="a transaction is needed"):
        database.executemany(ADD, [("a", "d")])


def test_what_another_thread_has_not_committed_is_not_seen(database: Database) -> None:
    seen: list[list[str]] = []
    with database.transaction():
        add(database, "mine")
        looking = threading.Thread(target=lambda: seen.append(names(database)))
        looking.start()
        looking.join()
    assert seen == [[]]
    assert names(database) == ["mine"]


@pytest.mark.parametrize("text", ["a\0b", "in\udcff.mov", "\x1a", '\x1a"x"', "né", ""])
def test_every_text_comes_back_as_it_was(database: Database, text: str) -> None:
    with database.transaction():
        add(database, text)
    assert names(database) == [text]
    assert database.execute("SELECT count(*) FROM task_route WHERE source_id = ?", (text,)) == [(1,)]


def test_a_durable_commit_is_waited_for(database: Database) -> None:
    setting = "SELECT current_setting('synchronous_commit')"
    with database.transaction():
        assert database.execute(setting) == [("off",)]
        with database.transaction(durable=True):
            assert database.execute(setting) == [("on",)]
    assert database.execute(setting) == [("off",)], "the next one is an ordinary one again"


def test_sync_brings_earlier_commits_to_the_disk(database: Database) -> None:
    with database.transaction():
        add(database, "a")
    written = database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    database.sync()
    assert database.execute("SELECT pg_current_wal_flush_lsn() >= ?::text::pg_lsn", (written,)) == [(True,)]


def test_a_deadlock_is_repeated(database: Database) -> None:
    with database.transaction():
        for name in ("a", "b"):
            add(database, name)
    both, survived = threading.Barrier(2, timeout=HANGS_AFTER), threading.Event()
    tries: list[str] = []

    def cross(first: str, second: str) -> None:
        def work() -> None:
            tries.append(first)
            again = len(tries) > 2
            if again:  # and meets nobody a second time
                assert survived.wait(HANGS_AFTER), "nobody has survived"
            database.execute("SELECT id FROM task_route WHERE source_id = ? FOR UPDATE", (first,))
            if not again:
                both.wait()
            database.execute("SELECT id FROM task_route WHERE source_id = ? FOR UPDATE", (second,))

        database.run(work)
        survived.set()

    other = threading.Thread(target=cross, args=("b", "a"))
    other.start()
    cross("a", "b")
    other.join()
    assert sorted(Counter(tries).values()) == [1, 2], "one of the two was ended by the server, and done again"


def test_work_is_repeated_when_the_connection_is_lost(database: Database, postgres: PostgresServer) -> None:
    ended: list[int] = []

    def work() -> None:
        add(database, "a")
        if not ended:
            ended.append(end_sessions(postgres))
        add(database, "b")

    database.run(work)
    assert ended[0] >= 1, "the fault has struck"
    assert names(database) == ["a", "b"]


def test_reading_is_repeated_when_the_connection_is_lost(database: Database, postgres: PostgresServer) -> None:
    assert end_sessions(postgres) >= 1
    assert names(database) == []


def test_a_block_begins_anew_where_its_connection_was_lost_before(database: Database, postgres: PostgresServer) -> None:
    assert end_sessions(postgres) >= 1, "the fault has struck"
    try:
        with database.transaction():
            add(database, "a")
    except StoreError as error:
        pytest.fail(f"it was not begun anew: {error}")
    assert names(database) == ["a"]


def test_a_block_whose_connection_is_lost_within_leaves_nothing(database: Database, postgres: PostgresServer) -> None:
    def lose() -> None:
        with database.transaction():
            add(database, "lost")
            assert end_sessions(postgres) >= 1, "the fault has struck"
            add(database, "late")

    with pytest.raises(StoreError):
        lose()
    assert names(database) == []


def test_a_connection_that_is_lost_while_it_is_made_is_made_again(
    database: Database, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def lose(_connection: Connection, sql: str, _run: Callable[[], object]) -> None:
        if "search_path" in sql and not lost:
            lost.append(sql)
            end_sessions(postgres)

    end_sessions(postgres)
    before_trips(monkeypatch, lose)
    try:
        found = names(database)
    except StoreError as error:
        pytest.fail(f"it was not made again: {error}")
    assert found == []
    assert len(lost) == 1, "the fault has struck"


@pytest.mark.parametrize(
    "where", ["pg_backend_pid", "CREATE SCHEMA", "FROM pg_advisory_xact_lock(", "pg_advisory_lock("]
)
def test_stores_are_opened_although_a_connection_is_lost_meanwhile(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    lost: list[str] = []

    def lose(_connection: Connection, sql: str, _run: Callable[[], object]) -> None:
        if where in sql and not lost:
            lost.append(sql)
            end_sessions(postgres)

    before_trips(monkeypatch, lose)
    try:
        with PostgresStores(postgres.dsn, schema=postgres.new_schema()) as stores:
            assert stores.tasks.register_worker()
    except StoreError as error:
        pytest.fail(f"it was not done again: {error}")
    assert len(lost) == 1, "the fault has struck"


def test_a_restart_of_the_server_is_waited_for() -> None:
    with PostgresServer() as server, Database(server.dsn, schema="t") as database:
        migrate(database)
        server.stop()
        starting = threading.Timer(0.5, server.start)
        starting.start()
        database.run(lambda: add(database, "a"))
        starting.join()
        assert names(database) == ["a"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_whose_answer_was_lost_is_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    lost: list[bool] = []

    def lose(connection: Connection, sql: str, run: Callable[[], object]) -> None:
        if sql == "COMMIT" and not lost:
            lost.append(True)
            if arrives:
                run()
            connection.driver.close()

    before_trips(monkeypatch, lose)
    calls: list[int] = []

    def work() -> int:
        calls.append(1)
        if not names(database):
            add(database, "a")
        return len(calls)

    assert database.run(work) == (1 if arrives else 2), "done again only if it was not there"
    assert lost == [True], "the fault has struck"
    assert names(database) == ["a"]


def test_a_server_that_stays_away_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(StoreError, match="cannot be reached: check that the server runs") as raised:
        Database("host=/nonexistent dbname=watch user=me password=secret")
    assert "secret" not in f"{raised.value!r} {raised.value}"


def test_a_connection_string_that_cannot_be_read_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as raised:
        Database("postgresql://me:secret@[broken/watch")
    assert "secret" not in str(raised.value)
    assert raised.value.__context__ is None, "the driver's message holds the password"


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(StoreError, match="is closed"):
        database.execute(ALL)


def test_work_beside_others_can_ask_to_be_alone(database: Database) -> None:
    with pytest.raises(AloneNeededError), database.transaction(gate=Gate.SHARED):
        database.require_alone()
    with database.transaction(gate=Gate.ALONE):
        database.require_alone()


def test_who_is_alone_waits_for_the_others_and_they_for_him(database: Database) -> None:
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def share() -> None:
        with database.transaction(gate=Gate.SHARED):
            begun.set()
            assert go_on.wait(HANGS_AFTER)
            order.append("shared")

    def alone() -> None:
        with database.transaction(gate=Gate.ALONE):
            order.append("alone")

    threads = [threading.Thread(target=share), threading.Thread(target=alone)]
    threads[0].start()
    assert begun.wait(HANGS_AFTER)
    threads[1].start()
    with database.transaction(gate=Gate.NONE):
        order.append("outside")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::bigint::oid AND NOT granted"
    while database.execute(waiting, (lock_class("gate", database.schema) % 2**32,))[0][0] == 0:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["outside", "shared", "alone"]


def test_opening_twice_migrates_once(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    opened: list[int] = []

    def open_it() -> None:
        with Database(postgres.dsn, schema=schema) as database:
            migrate(database)
            opened.append(schema_version(database))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [SCHEMA_VERSION] * 4


def test_a_newer_schema_is_refused_untouched(database: Database, postgres: PostgresServer) -> None:
    with database.transaction():
        database.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    with pytest.raises(SchemaTooNewError, match="upgrade media-watch-tasks"):
        PostgresStores(postgres.dsn, schema=database.schema)
    assert schema_version(database) == SCHEMA_VERSION + 1


def test_the_schema_of_another_program_is_refused(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"CREATE TABLE {schema}.theirs (id bigint)".encode())
    with pytest.raises(StoreError, match="belongs to another program"):
        PostgresStores(postgres.dsn, schema=schema)


def test_a_database_without_utf8_is_refused(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="keeps its texts in LATIN1"):
        PostgresStores(postgres.dsn.replace("dbname=postgres", "dbname=latin"))
