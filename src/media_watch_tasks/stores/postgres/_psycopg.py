"""The one place where psycopg is imported: how a connection is opened, and how it takes and gives values."""

from __future__ import annotations

import selectors
from enum import IntEnum
from typing import Any

import peewee

from media_watch_tasks.errors import ConfigurationError, MissingDependencyError

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus, TransactionStatus
    from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
except ImportError as error:
    raise MissingDependencyError("PostgresStores", package="psycopg", extra="postgres") from error

from media_watch_tasks.stores.postgres._texts import adapt_texts
from media_watch_tasks.stores.postgres._trips import Trips

__all__ = [
    "CONNECT_ERRORS",
    "Trips",
    "command",
    "heard",
    "in_transaction",
    "is_aborted",
    "open_connection",
    "says_lost",
    "shown_dsn",
]

CONNECT_ERRORS = (psycopg.OperationalError, peewee.OperationalError)
"""What `open_connection` raises when the server cannot be reached, or refuses. Only the text says which."""

_OF_THE_LIBRARY = (psycopg.DatabaseError, psycopg.OperationalError)
# A connection whose other end is gone is noticed in half a minute, not in the two hours of the operating system.
_DEFAULTS: dict[str, object] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "media_watch_tasks",
}


class _Database(peewee.PostgresqlDatabase):
    """A Peewee database that takes every form of connection string that libpq takes."""

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(**self.connect_params)
        connection.autocommit = True
        return connection


def open_connection(dsn: str) -> psycopg.Connection[Any]:
    """A connection that commits by itself outside of BEGIN. Raises the driver's errors."""
    values = {**_DEFAULTS, **_parsed(dsn)}
    database: Any = _Database("of the connection string", prefer_psycopg3=True, thread_safe=False, **values)
    database.connect()
    # Peewee's execute_sql takes as long as a small statement itself: the driver's connection is used, see `Trips`.
    connection: psycopg.Connection[Any] = database.connection()
    # One type for all numbers: by default psycopg takes the smallest, and each combination is prepared apart.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(IntEnum, Int8BinaryDumper)
    adapt_texts(connection)
    return connection


def command(connection: psycopg.Connection[Any], sql: bytes) -> str | None:
    """Run commands without parameters, separated by semicolons, in one round trip; the first value of the last one.

    Raises the driver's errors.
    """
    result = connection.pgconn.exec_(sql)
    if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
        raise error_from_result(result)
    value = result.get_value(0, 0) if result.ntuples else None
    return None if value is None else value.decode()


def says_lost(error: BaseException) -> bool:
    """True if the client library itself has failed, as it does when the server or the way to it has gone.

    What the server says carries an SQLSTATE, and what psycopg itself objects to is of a class of its own.
    """
    return isinstance(error, psycopg.Error) and error.sqlstate is None and type(error) in _OF_THE_LIBRARY


def in_transaction(connection: psycopg.Connection[Any]) -> bool:
    """True after BEGIN, also in a transaction that an error has aborted."""
    return connection.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}


def is_aborted(connection: psycopg.Connection[Any]) -> bool:
    """True in a transaction that an error has ended: what follows is refused, and COMMIT rolls back."""
    return connection.pgconn.transaction_status == TransactionStatus.INERROR


def heard(connection: psycopg.Connection[Any], timeout: float) -> bool:
    """True if a notification comes within so many seconds. Raises the driver's errors where the connection is lost."""
    pgconn = connection.pgconn
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        selector.select(timeout)
    pgconn.consume_input()
    found = 0
    while pgconn.notifies() is not None:
        found += 1
    return found > 0


def shown_dsn(dsn: str) -> str:
    """A connection string for messages: server and database, never a password."""
    values = _parsed(dsn)
    place = f"{values.get('host') or values.get('hostaddr') or 'local'}:{values.get('port') or 5432}"
    return f"{place}/{values.get('dbname') or values.get('user') or ''}"


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:
        # The driver's message repeats the string, password included; so would the traceback.
        pass
    raise ConfigurationError(
        "the connection string of PostgresStores cannot be read: give a URL (postgresql://user@host/database) or "
        "keywords (host=… dbname=… user=…)"
    )
