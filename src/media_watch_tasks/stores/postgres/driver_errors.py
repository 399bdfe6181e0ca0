"""Errors of psycopg as `StoreError`s that say what happened, to which database, and what to do.

The SQLSTATE alone decides (https://www.postgresql.org/docs/current/errcodes-appendix.html), never the text. An error
without one that leaves the connection broken says that the server, or the way to it, is gone.
"""

from __future__ import annotations

from media_watch_tasks.errors import StoreError

__all__ = ["RepeatableError", "as_store_error", "is_conflict", "is_gone", "sqlstate_of", "unreachable"]

_CONFLICTS = frozenset({"40001", "40P01"})
"""serialization_failure, deadlock_detected: the transaction was rolled back, and may succeed if it is repeated."""
_GONE_CLASSES = ("08",)
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""The server shuts down, has crashed, or starts; it has ended an idle session or a transaction that stood still."""

_ADVICE: dict[str, tuple[str, str]] = {
    "08": ("cannot be reached", "check that the server runs and that the network leads to it"),
    "25006": ("is read-only", "connect to the primary server, not to a standby"),
    "25P03": ("has ended a transaction that stood still for too long", "try again"),
    "28": ("refuses this user", "check user, password and the server's pg_hba.conf"),
    "3D000": ("does not exist", "create the database, or correct its name"),
    "40": ("has rolled a transaction back, and did so again and again", "try again"),
    "42501": ("denies a right", "give the user of this program the right to create and use the schema"),
    "53100": ("has no room left", "free space on the server's disk and try again; nothing of this change was kept"),
    "53200": ("needs more memory than there is", "free memory on the server and try again"),
    "53300": ("takes no more connections", "raise max_connections of the server, or run fewer workers"),
    "54": ("cannot hold a value as large as this", "shorten the value"),
    "55P03": ("is locked by another program", "end the program that holds it, or wait and try again"),
    "57": ("is shutting down or starting", "wait and try again"),
    "58": ("could not be read or written (I/O error)", "check the server's disk and its log"),
    "XX001": ("is damaged", "stop all programs that use it, and restore a backup"),
    "XX002": ("is damaged", "stop all programs that use it, and restore a backup"),
}


class RepeatableError(StoreError):
    """Nothing was done, for reasons that may be gone the next time."""


def sqlstate_of(error: object) -> str | None:
    """The five characters of a driver's exception, None if it carries none."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_conflict(error: BaseException) -> bool:
    """True if the transaction was in the way of another one: it is worth repeating."""
    return sqlstate_of(error) in _CONFLICTS


def is_gone(error: BaseException, *, broken: bool) -> bool:
    """True if the server or the connection to it is gone; `broken`: the connection can be used no more."""
    state = sqlstate_of(error)
    return broken if state is None else state in _GONE or state.startswith(_GONE_CLASSES)


def as_store_error(error: BaseException, name: str, *, broken: bool = False) -> StoreError | None:
    """The `StoreError` for a driver's exception; None for one that tells of a fault in the program (SQL, types)."""
    state = sqlstate_of(error)
    if state is None:
        if not broken:
            return None
        state = "08"
    found = _ADVICE.get(state) or _ADVICE.get(state[:2])
    if found is None:
        return None
    what, advice = found
    return StoreError(f"the database {name} {what}: {advice} (PostgreSQL: {_first_line(error)})")


def unreachable(error: BaseException, name: str) -> RepeatableError:
    """The `StoreError` for a connection that could not be made: the server may be starting."""
    return RepeatableError(
        f"the database {name} cannot be reached: check that the server runs, that the network leads to it, and the "
        f"user, password and name of the database (PostgreSQL: {_first_line(error)})"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
