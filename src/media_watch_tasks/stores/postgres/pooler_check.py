"""Is there a transaction pooler before the server? A worker's lock would not outlive its transaction."""

from __future__ import annotations

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.postgres.connection import Connection

__all__ = ["refuse_transaction_pooler"]

_PROCESS = "SELECT pg_backend_pid()"


def refuse_transaction_pooler(first: Connection, second: Connection) -> None:
    """Raise `ConfigurationError` if two connections share a process of the server, or one has several.

    A pooler that hands out the server's connections for each transaction gives the second connection what the first
    has just used; where it does not, the first gets another one while the second is in a transaction.
    """
    own = first.command(_PROCESS)
    other = second.command(f"BEGIN; {_PROCESS}")
    try:
        later = first.command(_PROCESS)
    finally:
        second.command("ROLLBACK")
    if other in {own, later} or later != own:
        raise ConfigurationError(
            f"the database {first.name} is reached through a transaction pooler, which keeps no locks of a worker: "
            "connect to the server itself, or to a pool in session mode"
        )
