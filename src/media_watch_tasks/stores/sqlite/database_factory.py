"""What another driver has to give, for stores that run on one."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["DatabaseFactory"]


class DatabaseFactory(Protocol):
    """Makes the Peewee database of one connection, closed and with `thread_safe=False`.

    The stores open it, set its pragmas and use its driver's connection, which takes `execute(sql, parameters)` and
    `executemany`, commits by itself outside of BEGIN (`isolation_level=None`), and may be used by any thread.
    """

    def __call__(self, path: str, *, synchronous: str) -> Any:  # noqa: ANN401 - Peewee has no types
        """A `peewee.Database` for the file; `synchronous` is what the connection is for, `NORMAL` or `FULL`."""
