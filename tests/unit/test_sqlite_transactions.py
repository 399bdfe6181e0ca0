"""Transactions of the SQLite connection layer: what commits together, what is rolled back, who sees what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from playhouse.apsw_ext import APSWDatabase  # type: ignore[import-untyped]  # ships no types

from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.database import Database
from media_watch_tasks.stores.sqlite.migrations import migrate

Open = Callable[[], Database]


def apsw_database(path: str, *, synchronous: str) -> APSWDatabase:
    return APSWDatabase(path, timeout=0, thread_safe=False)


@pytest.fixture(params=["sqlite3", "apsw"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    factory = apsw_database if request.param == "apsw" else None
    opened: list[Database] = []

    def open_it() -> Database:
        opened.append(Database(tmp_path / "watch.db", database_factory=factory))
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: Open) -> Database:
    database = open_database()
    migrate(database)
    with database.transaction():
        database.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
    return database


@pytest.fixture
def other(database: Database, open_database: Open) -> Database:
    return open_database()


def numbers(database: Database) -> list[int]:
    return [x for (x,) in database.execute("SELECT x FROM t ORDER BY x")]


def insert(database: Database, *values: int) -> None:
    database.executemany("INSERT INTO t (x) VALUES (?)", [(value,) for value in values])


@pytest.mark.parametrize("durable", [False, True])
def test_a_block_commits_at_its_end_and_not_before(database: Database, other: Database, *, durable: bool) -> None:
    with database.transaction(durable=durable):
        insert(database, 1, 2)
        assert numbers(database) == [1, 2]
        assert numbers(other) == []
    assert numbers(database) == numbers(other) == [1, 2]


@pytest.mark.parametrize("durable", [False, True])
def test_an_exception_takes_everything_back(database: Database, other: Database, *, durable: bool) -> None:
    with pytest.raises(KeyboardInterrupt), database.transaction(durable=durable):  # noqa: PT012 - the block is what is tested
        insert(database, 1)
        raise KeyboardInterrupt
    with database.transaction():
        insert(database, 2)
    assert numbers(other) == [2]


@pytest.mark.parametrize(("outer", "inner"), [(False, False), (False, True), (True, False), (True, True)])
def test_inner_blocks_commit_with_the_outermost(
    database: Database, other: Database, *, outer: bool, inner: bool
) -> None:
    with database.transaction(durable=outer):
        insert(database, 1)
        with database.transaction(durable=inner):
            insert(database, 2)
            with database.transaction(durable=inner):
                insert(database, 3)
        assert numbers(other) == []
        assert numbers(database) == [1, 2, 3]
    assert numbers(other) == [1, 2, 3]


def test_an_exception_out_of_all_blocks_takes_all_back(database: Database, other: Database) -> None:
    with pytest.raises(LookupError), database.transaction():  # noqa: PT012 - the block is what is tested
        insert(database, 1)
        with database.transaction():
            insert(database, 2)
        with database.transaction(durable=True):
            raise LookupError
    assert numbers(other) == []


def test_an_inner_block_that_fails_takes_back_its_own_writes_alone(database: Database, other: Database) -> None:
    with database.transaction():
        insert(database, 1)
        with pytest.raises(LookupError), database.transaction():  # noqa: PT012 - the block is what is tested
            insert(database, 2)
            with database.transaction():
                insert(database, 3)
            raise LookupError
        with database.transaction():
            insert(database, 4)
    assert numbers(other) == [1, 4]


def test_a_statement_that_is_refused_leaves_the_block_usable(database: Database, other: Database) -> None:
    with database.transaction():
        insert(database, 1)
        with pytest.raises(Exception, match="UNIQUE"):
            insert(database, 1)
        insert(database, 2)
    assert numbers(other) == [1, 2]


@pytest.mark.parametrize("durable", [False, True])
def test_another_thread_sees_committed_rows_alone(database: Database, *, durable: bool) -> None:
    seen: list[list[int]] = []
    reader = threading.Thread(target=lambda: seen.append(numbers(database)))
    with database.transaction(durable=durable):
        insert(database, 1)
        reader.start()
        if durable:
            # The other connection is free: the reader is not held up by the sync.
            reader.join()
            assert seen == [[]]
        insert(database, 2)
    reader.join()
    assert seen in ([[]], [[1, 2]])


def test_threads_write_one_after_the_other(database: Database) -> None:
    def count_up() -> None:
        for number in range(50):
            with database.transaction(durable=number % 10 == 0):
                ((latest,),) = database.execute("SELECT coalesce(max(x), 0) FROM t")
                insert(database, latest + 1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(database) == list(range(1, 201))


def test_a_writing_statement_tells_how_many_rows_it_wrote(database: Database) -> None:
    with database.transaction():
        insert(database, 1, 2, 3)
        before = database.total_changes()
        written = database.write("UPDATE t SET y = ? WHERE x > ?", (b"\0\xff", 1))
        assert (written, database.total_changes() - before) == (2, 2)
        assert database.write("UPDATE t SET y = 1 WHERE x > 99") == 0


def test_an_insert_tells_the_id_of_its_row(database: Database) -> None:
    with database.transaction():
        assert database.insert("INSERT INTO t (x) VALUES (?)", (77,)) == 77
        assert database.insert("INSERT INTO t (x) SELECT 6 WHERE FALSE") is None


def test_the_data_version_tells_of_every_commit(database: Database, other: Database) -> None:
    versions = [database.data_version()]
    assert database.data_version() == versions[0]
    for writer, durable in ((database, False), (database, True), (other, False), (other, True)):
        with writer.transaction(durable=durable):
            insert(writer, len(versions))
        versions.append(database.data_version())
        assert database.data_version() == versions[-1]
    assert len(set(versions)) == 5
    numbers(other)
    assert database.data_version() == versions[-1], "reading changes nothing"


def test_many_rows_at_once_need_a_transaction(database: Database) -> None:
    with pytest.raises(RuntimeError, match="transaction is needed"):
        insert(database, 1)
    assert numbers(database) == []


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    database.close()
    for use in (partial(numbers, database), database.transaction, database.data_version):
        with pytest.raises(StoreError, match=r"watch\.db is closed"):
            use()


def test_a_database_is_not_closed_inside_a_transaction(database: Database) -> None:
    with database.transaction():
        insert(database, 1)
        with pytest.raises(RuntimeError, match="inside a transaction"):
            database.close()
    assert numbers(database) == [1]


def test_a_transaction_that_sqlite_ended_runs_no_further_statement(database: Database, other: Database) -> None:
    with pytest.raises(StoreError, match="rolled back"), database.transaction():  # noqa: PT012 - the block is what is tested
        insert(database, 1)
        # As after an I/O error: SQLite has rolled back by itself while the block goes on.
        with pytest.raises(StoreError, match="rolled back"):
            database.execute("INSERT OR ROLLBACK INTO t (x) VALUES (1)")
        with pytest.raises(StoreError, match="rolled back"):
            insert(database, 2)
        with pytest.raises(StoreError, match="rolled back"), database.transaction():
            raise AssertionError("an inner block does not begin")
    assert numbers(other) == []
    with database.transaction():
        insert(database, 3)
    assert numbers(other) == [3]
