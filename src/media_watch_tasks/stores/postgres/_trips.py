"""Several statements in one round trip, each prepared once: what a cursor of psycopg does one by one.

They go out in the pipeline mode of the client library with one sync behind the last
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html): the server runs them in order, each with a snapshot
of its own, and none behind one that fails. Outside of BEGIN … COMMIT a trip is a transaction, which its end commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from media_watch_tasks.stores.postgres.connection import Answer

__all__ = ["Trips"]

_PREPARED = 400
"""So many statements are kept prepared on a connection: more than there are."""
_OK, _ROWS, _END = ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.PIPELINE_SYNC

_Key = tuple[bytes, Sequence[int]]
"""A statement and the types of its parameters."""


class _Prepared(NamedTuple):
    sql: bytes
    params: Sequence[Any]
    types: Sequence[int]
    formats: Sequence[int]


class Trips:
    """The statements of one connection. One thread uses it at a time."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._values = Transformer(connection)
        self._names: dict[_Key, bytes] = {}
        self._made = 0

    def run(self, statements: Sequence[tuple[str, Sequence[Any]]], answers: list[Answer]) -> None:
        """Run them in one trip; `answers` gets those of the ones that did well, in order.

        Raises:
            psycopg.Error: the first one that failed; what stands behind it was not run.
        """
        if len(self._names) > _PREPARED:
            self._forget_oldest()
        # A value that cannot be sent is found before anything is.
        dumped = [self._dump(sql, params) for sql, params in statements]
        self._pgconn.enter_pipeline_mode()
        try:
            failed = self._connection.wait(self._trip(dumped, answers))
        except BaseException:
            # What is still on its way would be taken for the answers to the next trip.
            self._connection.close()
            raise
        if failed is not None:
            raise error_from_result(failed)

    def _dump(self, sql: str, params: Sequence[Any]) -> _Prepared:
        if not params:
            return _Prepared(sql.encode(), (), (), ())
        values = self._values
        dumped = values.dump_sequence(params, [PyFormat.AUTO] * len(params))
        return _Prepared(sql.encode(), dumped, values.types or (), values.formats or ())

    def _forget_oldest(self) -> None:
        """Let the server forget statements that may not have been used for long, unless it refuses everything now."""
        if self._pgconn.transaction_status in {TransactionStatus.IDLE, TransactionStatus.INTRANS}:
            old = list(self._names)[: _PREPARED // 4]
            self._pgconn.exec_(b"; ".join(b"DEALLOCATE " + self._names.pop(key) for key in old))

    def _trip(self, statements: Sequence[_Prepared], answers: list[Answer]) -> PQGen[PGresult | None]:
        """The result of the statement that failed, if any."""
        pgconn = self._pgconn
        sent: list[tuple[_Key, bytes] | None] = []
        for statement in statements:
            self._send(statement, sent)
        pgconn.pipeline_sync()
        while pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        expected = iter(sent)
        while True:
            result = yield from self._next()
            if result.status == _END:
                pgconn.exit_pipeline_mode()
                return None
            if result.status not in {_OK, _ROWS}:
                yield from self._pass_over()
                return result
            if (prepared := next(expected)) is not None:
                self._names[prepared[0]] = prepared[1]
            else:
                answers.append(self._answer(result))

    def _next(self) -> PQGen[PGresult]:
        """The next result."""
        pgconn = self._pgconn
        while True:
            while pgconn.is_busy():
                while not (yield Wait.R):
                    pass
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:
                return result
            # Nothing stands between the results of two statements, and nothing comes where nobody is left to send it.
            if pgconn.status != ConnStatus.OK:
                raise OperationalError("the connection is lost")

    def _pass_over(self) -> PQGen[None]:
        """Read to the end of a trip in which a statement has failed."""
        try:
            while (yield from self._next()).status != _END:
                pass
            self._pgconn.exit_pipeline_mode()
        except OperationalError:
            self._connection.close()  # the failed one says why

    def _send(self, statement: _Prepared, sent: list[tuple[_Key, bytes] | None]) -> None:
        """Send a statement, and before it what prepares it; `sent` gets an entry for each result that follows."""
        pgconn = self._pgconn
        key = (statement.sql, statement.types)
        name = self._names.get(key)
        if name is None:
            self._made += 1
            name = b"mwt_%d" % self._made
            pgconn.send_prepare(name, statement.sql, statement.types)
            sent.append((key, name))
        pgconn.send_query_prepared(name, statement.params, param_formats=statement.formats, result_format=Format.BINARY)
        sent.append(None)

    def _answer(self, result: PGresult) -> Answer:
        rows: list[tuple[Any, ...]] = []
        if result.status == _ROWS:
            values = self._values
            values.set_pgresult(result)
            rows = values.load_rows(0, result.ntuples, tuple)
        return Answer(rows, result.command_tuples or 0, result.command_status or b"")
