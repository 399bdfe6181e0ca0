"""The databases of the crash tests: one object makes the stores, in this process and in those that die, and looks at
what these left.

Which one a test uses is written beside its files, so that every process that is given the folder finds it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from media_watch_tasks import PostgresStores, SqliteStores
from media_watch_tasks.stores.postgres.task_store import PostgresTaskStore
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore
from media_watch_tasks.stores.sqlite.database_factory import DatabaseFactory
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore

__all__ = ["CrashDatabase", "OnPostgres", "OnSqlite", "Query", "Stores", "database_of"]

Query = Callable[[str], list[Any]]
"""Runs a SELECT on a database as it was left."""
Stores = SqliteStores | PostgresStores
_TOLD = "database"
_WORK = {"fsync": 3, "linkat": 3, "unlinkat": 3}
_ACTS = {"rename,renameat,renameat2": 2}
# What no foreign key guards. Each selects rows that must not be there.
_ORPHANS = (
    "SELECT id FROM task AS t WHERE NOT EXISTS (SELECT 1 FROM task_lane WHERE (id, route) = (t.lane, t.route))",
    "SELECT id FROM task_lane AS l WHERE NOT EXISTS (SELECT 1 FROM task_route AS r WHERE r.id = l.route)",
    "SELECT task_id FROM task_receipt AS r WHERE NOT EXISTS (SELECT 1 FROM task WHERE id = r.task_id AND state = 3)",
    "SELECT task_id FROM task_action AS a WHERE NOT EXISTS (SELECT 1 FROM task WHERE id = a.task_id AND state = 3)",
    "SELECT task_id FROM task_tag AS g WHERE NOT EXISTS (SELECT 1 FROM task WHERE id = g.task_id)",
    "SELECT id FROM task WHERE phase = 4 AND NOT EXISTS (SELECT 1 FROM task_worker AS w WHERE w.id = task.worker)",
    "SELECT name FROM asset AS a WHERE NOT EXISTS (SELECT 1 FROM directory AS d WHERE d.id = a.directory)",
    "SELECT id FROM directory AS d WHERE NOT EXISTS (SELECT 1 FROM source AS s WHERE s.id = d.source)",
    "SELECT route, asset_id FROM task WHERE slot IS NOT NULL GROUP BY route, asset_id, slot HAVING count(*) > 1",
    "SELECT key FROM task WHERE state <= 2 GROUP BY key HAVING count(*) > 1",
)


class CrashDatabase(ABC):
    """The database of one test; its processes get to it through the folder."""

    task_store: ClassVar[type[RelationalTaskStore]]
    """The class whose calls are watched."""
    writes: ClassVar[Mapping[str, int]]
    """System calls by which the stores write."""

    @abstractmethod
    def open(self, *, factory: DatabaseFactory | None = None) -> Stores:
        """Stores for the calling process. `factory`: another driver, where the database has several."""

    @abstractmethod
    def _left(self) -> Any:
        """A context manager: a `Query` on what was left; None where the tables are not there yet."""

    @contextmanager
    def as_left(self) -> Iterator[Query | None]:
        """What the processes that died have left, once it was found to be sound; None before there were any tables."""
        with self._left() as query:
            if query is not None:
                for orphans in _ORPHANS:
                    assert query(orphans) == [], orphans
            yield query

    def calls(self, *, acts: bool) -> dict[str, int]:
        """System calls that change what is on the disk or in the database, and one of the first how many of a thread
        is its last. `acts`: files are taken from the source, too.
        """
        return {**_WORK, **self.writes, **(_ACTS if acts else {})}


class OnSqlite(CrashDatabase):
    """A file in the folder. It is looked at as a copy, so that the next process finds the log as it was left."""

    task_store = SqliteTaskStore
    writes: ClassVar = {"pwrite64": 30, "fdatasync": 2}

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, *, factory: DatabaseFactory | None = None) -> SqliteStores:
        return SqliteStores(self._folder / "watch.db", database_factory=factory)

    @contextmanager
    def _left(self) -> Iterator[Query | None]:
        copy = self._folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("watch.db", "watch.db-wal"):
            if (self._folder / name).exists():
                shutil.copyfile(self._folder / name, copy / name)
        with closing(sqlite3.connect(copy / "watch.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'task_receipt'").fetchall()
            yield (lambda text: connection.execute(text).fetchall()) if made else None


class OnPostgres(CrashDatabase):
    """A schema of a server. It is looked at once the server has noticed the deaths: until then it goes on with what
    they had asked for.
    """

    task_store = PostgresTaskStore
    writes: ClassVar = {"sendto": 60}

    def __init__(self, dsn: str, schema: str) -> None:
        self.dsn = dsn
        self.schema = schema

    def tell(self, folder: Path) -> None:
        """Let `database_of` find it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _TOLD).write_text(json.dumps({"dsn": self.dsn, "schema": self.schema}), encoding="utf-8")

    def open(self, *, factory: DatabaseFactory | None = None) -> PostgresStores:
        assert factory is None, "there is one driver"
        # The process is named to the server, which knows no other way to tell whose a session is.
        return PostgresStores(f"{self.dsn} application_name={self.schema}-{os.getpid()}", schema=self.schema)

    @contextmanager
    def _left(self) -> Iterator[Query | None]:
        self.wait_for_the_dead()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))

            def query(text: str) -> list[Any]:
                return connection.execute(text.encode()).fetchall()

            if query("SELECT to_regclass('task_receipt')") == [(None,)]:
                yield None
                return
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog")
            self._check_storage(query)
            yield query

    def sessions(self, connection: psycopg.Connection[Any]) -> dict[int, int]:
        """The process that each session of the stores belongs to, by the number of the session's own."""
        like = "SELECT pid, application_name FROM pg_stat_activity WHERE application_name LIKE %s"
        rows = connection.execute(like, (f"{self.schema}-%",)).fetchall()
        return {pid: int(name.rpartition("-")[2]) for pid, name in rows}

    def wait_for_the_dead(self) -> None:
        """Wait until no session of a process is left that has ended."""
        until = time.monotonic() + 60
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while any(not Path(f"/proc/{pid}").exists() for pid in self.sessions(connection).values()):
                assert time.monotonic() < until, "the server does not notice that its clients are dead"
                time.sleep(0.002)

    @staticmethod
    def _check_storage(query: Query) -> None:
        """Pages of tables and order of indices, by the server's extension amcheck."""
        here = "relnamespace = current_schema()::regnamespace"
        tables = f"SELECT c.relname, v.* FROM pg_class AS c, verify_heapam(c.oid) AS v WHERE relkind = 'r' AND {here}"
        assert query(tables) == []
        trees = "relkind = 'i' AND relam = (SELECT oid FROM pg_am WHERE amname = 'btree')"
        checked = query(f"SELECT count(bt_index_check(oid, true)) FROM pg_class WHERE {trees} AND {here}")
        assert checked[0][0] > 20, "too few indices were looked at"


def database_of(folder: Path) -> CrashDatabase:
    """The one that the folder names, by default an SQLite file in it."""
    told = folder / _TOLD
    if not told.exists():
        return OnSqlite(folder)
    return OnPostgres(**json.loads(told.read_text(encoding="utf-8")))
