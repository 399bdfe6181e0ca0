"""What the task store asks of a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["Row", "TaskDatabase"]

Row = tuple[Any, ...]
_Parameters = Sequence[Any]


class TaskDatabase(Protocol):
    """A database with the tables of the queue. Statements are written as SQLite has them."""

    @property
    def is_alone(self) -> bool:
        """True in a transaction beside which nobody writes."""

    def execute(self, sql: str, params: _Parameters = ()) -> list[Row]:
        """Run one statement and return all its rows."""

    def executemany(self, sql: str, rows: Iterable[_Parameters]) -> None:
        """Run a writing statement for each row; inside a `transaction` only."""

    def write(self, sql: str, params: _Parameters = ()) -> int:
        """Run one writing statement without RETURNING; the number of rows it wrote. Inside a `transaction` only."""

    def insert(self, sql: str, params: _Parameters = ()) -> int | None:
        """Run an INSERT of at most one row; its id, None where none was written. Inside a `transaction` only."""

    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """All or nothing; blocks nest."""

    def require_alone(self) -> None:
        """What follows rests on more than the rows it writes. Where others write beside it, the work begins anew."""

    def one_of(self, column: str, blobs: Sequence[bytes]) -> tuple[str, tuple[Any, ...]]:
        """An SQL term that holds where the column is one of these BLOBs, and its parameters."""
