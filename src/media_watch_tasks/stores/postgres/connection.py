"""One PostgreSQL connection: how it is opened, set up and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.postgres.dialect import translate
from media_watch_tasks.stores.postgres.driver_errors import (
    RepeatableError,
    as_store_error,
    is_conflict,
    is_gone,
    unreachable,
)

__all__ = ["Answer", "Connection", "Parameters", "Row", "Statement", "quoted"]

Row = tuple[Any, ...]
Parameters = Sequence[int | float | str | bytes | Sequence[int | str | bytes | None] | None]


class Statement(NamedTuple):
    """A statement of a trip."""

    sql: str
    params: Parameters = ()


_OLDEST_SERVER = 130_000
"""PostgreSQL 13: the first with pg_current_xact_id."""

# * The tables of the queue are small at one moment and large at the next; until their statistics have caught up the
#   planner would read them from end to end. Every statement of the stores has an index.
# * A transaction that stands still (its process was stopped, its machine is gone) keeps others waiting no longer.
# * Commits are on the disk a moment later, as on SQLite, except where `durable` is asked for.
# * The server counts as started anew also when one of its processes has crashed and the others were ended for it: the
#   time of its start stays, but its statistics begin anew.
_SETTINGS = """
SET search_path TO {schema}, pg_catalog; SET client_encoding TO 'UTF8'; SET timezone TO 'UTC';
SET default_transaction_isolation TO 'read committed'; SET enable_seqscan TO off; SET jit TO off;
SET plan_cache_mode TO force_generic_plan;
SET synchronous_commit TO off; SET lock_timeout TO '60s'; SET idle_in_transaction_session_timeout TO '60s';
SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3;
SELECT current_setting('server_version_num') || ' ' || current_setting('server_encoding') || ' '
    || pg_is_in_recovery() || ' ' || extract(epoch FROM pg_postmaster_start_time())
    || '/' || coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()), 0)
"""


class Answer(NamedTuple):
    """What the server says to one statement."""

    rows: list[tuple[Any, ...]]
    written: int
    """Rows that it wrote, or gave."""
    tag: bytes
    """What was done: also COMMIT may say ROLLBACK."""


class Connection:
    """A driver's connection with the settings of the stores. One thread uses it at a time."""

    __slots__ = ("_psycopg", "_trips", "driver", "name", "server_started")

    def __init__(self, psycopg: ModuleType, dsn: str, *, schema: str, name: str) -> None:
        """Connect.

        Raises:
            StoreError: the server cannot be reached or refuses; the message says what to do.
            ConfigurationError: it is too old, or its database does not keep UTF-8.
        """
        self._psycopg = psycopg
        self.name = name
        try:
            self.driver: Any = psycopg.open_connection(dsn)
        except psycopg.CONNECT_ERRORS as error:
            raise unreachable(error, name) from error
        try:
            self.server_started = self._set_up(schema)
            self._trips = psycopg.Trips(self.driver)
        except BaseException:
            self.close()
            raise

    def _set_up(self, schema: str) -> str:
        try:
            answer = self.command(_SETTINGS.format(schema=quoted(schema)))
        except Exception as error:
            if self.is_gone(error):
                raise unreachable(error, self.name) from error
            translated = as_store_error(error, self.name)
            if translated is None:
                raise
            raise translated from error
        version, encoding, standby, started = str(answer).split(" ")
        if int(version) < _OLDEST_SERVER:
            raise ConfigurationError(
                f"the database {self.name} runs on PostgreSQL {int(version) // 10_000}: "
                f"{_OLDEST_SERVER // 10_000} or newer is needed"
            )
        if encoding != "UTF8":
            raise ConfigurationError(
                f"the database {self.name} keeps its texts in {encoding}: create one with ENCODING 'UTF8'"
            )
        if standby == "true":
            raise StoreError(f"the database {self.name} is a standby: connect to the primary server")
        return started

    def execute(self, sql: str, params: Parameters = ()) -> list[Row]:
        """Run one statement and return all its rows; raises the driver's errors."""
        answers: list[Answer] = []
        self.together((Statement(sql, params),), answers)
        return answers[0].rows

    def together(self, statements: Sequence[Statement], answers: list[Answer]) -> None:
        """Run statements in one round trip; outside of BEGIN … COMMIT all of them commit with the last one, or none.

        `answers` gets what the server says to each, up to the first that fails: its error is raised, as the driver has
        it, and those behind it are not run.
        """
        self._trips.run([_translated(*statement) for statement in statements], answers)

    def command(self, sql: str) -> str | None:
        """Run commands without parameters in one round trip; the first value of the last; raises as above."""
        value: str | None = self._psycopg.command(self.driver, sql.encode())
        return value

    def in_transaction(self) -> bool:
        """True after BEGIN."""
        return bool(self._psycopg.in_transaction(self.driver))

    def is_aborted(self) -> bool:
        """True in a transaction that an error has ended."""
        return bool(self._psycopg.is_aborted(self.driver))

    def heard(self, timeout: float) -> bool:
        """True if a notification comes within so many seconds, after LISTEN; raises the driver's errors."""
        return bool(self._psycopg.heard(self.driver, timeout))

    def is_broken(self) -> bool:
        """True if it can be used no more."""
        return bool(self.driver.closed)

    def is_broken_by(self, error: BaseException) -> bool:
        """True if it can be used no more after this error, also where the driver does not see that yet."""
        if self._psycopg.says_lost(error):
            self.close()
        return self.is_broken()

    def is_gone(self, error: BaseException) -> bool:
        """True if the error says that the server or the way to it is gone."""
        return is_gone(error, broken=self.is_broken_by(error))

    def fail(self, error: Exception) -> NoReturn:
        """Raise the `StoreError` for an error of the driver, a `RepeatableError` where nothing was done; or itself."""
        broken = self.is_broken_by(error)
        translated = as_store_error(error, self.name, broken=broken)
        if translated is None:
            raise error
        if is_conflict(error) or is_gone(error, broken=broken):
            raise RepeatableError(str(translated)) from error
        raise translated from error

    def close(self) -> None:
        """Close it; never fails."""
        with contextlib.suppress(Exception):
            self.driver.close()


def _translated(sql: str, params: Parameters) -> tuple[str, Parameters]:
    sql, used = translate(sql)
    return sql, params if used is None else [params[at] for at in used]


def quoted(identifier: str) -> str:
    """An SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'
