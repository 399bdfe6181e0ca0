"""Errors of the SQLite driver as `StoreError`s that say what happened, to which file, and what to do.

Drivers name their exceptions differently (the standard library's sqlite3, apsw, Peewee's wrappers around both), but all
of them carry SQLite's result code (https://sqlite.org/rescode.html). The code alone decides, never the text.
"""

from __future__ import annotations

from media_watch_tasks.errors import StoreError
from media_watch_tasks.model.identity import display_text

__all__ = ["as_store_error", "is_busy", "result_code", "shown_path"]

_PRIMARY = 0xFF
_BUSY = frozenset({5, 6, 15})
"""BUSY, LOCKED, PROTOCOL (a race for the write-ahead log that SQLite gave up): all pass by waiting."""

_ADVICE: dict[int, tuple[str, str]] = {
    3: ("may not be accessed", "give the user of this program the right to read and write the file and its folder"),
    5: ("is locked by another program", "end the program that holds it, or wait and try again"),
    6: ("is locked by another program", "end the program that holds it, or wait and try again"),
    7: ("needs more memory than there is", "free memory and try again"),
    8: ("cannot be written", "make the file and its folder writable for the user of this program"),
    10: ("could not be read or written (I/O error)", "check the disk and the system log, then open it again"),
    11: ("is damaged", "stop all programs that use it, keep a copy of it and its -wal file, and restore a backup"),
    13: ("has no room left", "free space on its disk and try again; nothing of this change was kept"),
    14: ("cannot be opened", "check that its folder exists and that the user of this program may write there"),
    15: ("is locked by another program", "end the program that holds it, or wait and try again"),
    18: ("cannot hold a value as large as this", "shorten the value"),
    22: ("is larger than this file system allows", "move it to another file system"),
    23: ("may not be accessed", "give the user of this program the right to read and write the file and its folder"),
    26: ("is not an SQLite database", "choose another path, or restore a backup of the database"),
}


def result_code(error: object) -> int | None:
    """SQLite's extended result code of a driver's exception, None if it carries none."""
    while isinstance(error, Exception):
        for attribute in ("extendedresult", "sqlite_errorcode"):
            code = getattr(error, attribute, None)
            if isinstance(code, int):
                return code
        # Peewee keeps the driver's exception in its own.
        error = getattr(error, "orig", None)
    return None


def is_busy(error: BaseException) -> bool:
    """True if the statement failed because another connection holds a lock: it is worth trying again."""
    code = result_code(error)
    return code is not None and code & _PRIMARY in _BUSY


def as_store_error(error: BaseException, path: str) -> StoreError | None:
    """The `StoreError` for a driver's exception; None for one that tells of a fault in the program (SQL, types)."""
    code = result_code(error)
    if code is None or code & _PRIMARY not in _ADVICE:
        return None
    what, advice = _ADVICE[code & _PRIMARY]
    return StoreError(f"the database {shown_path(path)} {what}: {advice} (SQLite: {error})")


def shown_path(path: str) -> str:
    """A path for messages."""
    return display_text(path.encode("utf-8", "surrogateescape"))
