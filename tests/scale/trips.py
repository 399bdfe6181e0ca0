"""The trips of the stores to the server, in which a test has a hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from media_watch_tasks.stores.postgres.connection import Connection, Statement

__all__ = ["before_trips"]

Strike = Callable[[Connection, str, Callable[[], object]], None]


def before_trips(monkeypatch: pytest.MonkeyPatch, strike: Strike) -> None:
    """Call `strike` before each trip: with its statements, and with what makes the trip without an answer."""
    command, together = Connection.command, Connection.together

    def alone(connection: Connection, sql: str) -> str | None:
        strike(connection, sql, lambda: command(connection, sql))
        return command(connection, sql)

    def several(connection: Connection, statements: Sequence[Statement], answers: list[Any]) -> None:
        sql = "; ".join(statement.sql for statement in statements)
        strike(connection, sql, lambda: together(connection, statements, []))
        together(connection, statements, answers)

    monkeypatch.setattr(Connection, "command", alone)
    monkeypatch.setattr(Connection, "together", several)
