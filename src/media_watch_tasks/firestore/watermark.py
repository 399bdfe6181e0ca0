"""How far the catalog is: recorded in the database and beside the catalog, and believed only where both agree.

Each record bears a token. The database keeps the latest ones; the catalog keeps the one that was written last. A token
that the database does not know means another history: a database or a catalog that came back from a backup, or a second
database that writes the same catalog. Nothing is taken for granted then, and everything written.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from media_watch_tasks.abc.change_feed import Bookmarks
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import DestinationOfflineError, TransientError
from media_watch_tasks.firestore.connection import Connection
from media_watch_tasks.firestore.fence import Fence
from media_watch_tasks.firestore.names import folder_to_id, source_name

__all__ = ["METADATA", "Progress", "Watermark"]

METADATA = "_sync_metadata"
_Phase = Literal["full", "steady"]


@attrs.frozen(kw_only=True)
class Progress:
    """How far the sync of one source is."""

    sequence: int = 0
    phase: _Phase = "full"
    """`full` until everything was written once and what does not belong to the catalog is deleted."""
    signature: str = ""
    """Of the mapping and the options that decide what documents hold."""
    places: tuple[str, ...] = ()
    """Collections in which documents may stand, `a/*/b`, those of an earlier mapping included while `full`."""
    fresh: bool = False
    """The catalog held no document of the source when the full sync began: nothing can be left over at its end."""


class Watermark:
    """The records of one source."""

    def __init__(self, connection: Connection, bookmarks: Bookmarks, source_id: str) -> None:
        self._connection = connection
        self._bookmarks = bookmarks
        self._reader = f"{connection.name}/{source_id}"
        self._source_id = source_id
        self.path = f"{METADATA}/{folder_to_id(source_name(source_id).encode('utf-8'))}"
        self._token: str | None = None
        self._update_time: Any = None
        self._standing: tuple[str, ...] = ()
        """Ids of the fence that the record names: ours, or that of a run that did not end."""
        self._fence: tuple[str, ...] = ()
        """Those of ours."""

    def read(self, signature: str, *, cancel: CancelToken | None) -> tuple[Progress, str | None]:
        """How far the catalog is, and why it has to be written in full, if it has. Reads one document."""
        document = self._connection.get([self.path], cancel=cancel).get(self.path)
        if document is None:
            return Progress(), "the catalog has no record of this source"
        self._update_time = document.update_time
        fields = self._connection.plain_fields(document)
        self._token = fields.get("token")
        self._standing = _lines(fields.get("fence"))
        old = _lines(fields.get("places"))
        progress = self._known(self._token)
        if progress is None:
            return Progress(places=old), "the record of the catalog is not that of this database"
        if progress.signature != signature:
            return Progress(places=old), "the mapping is another one"
        if progress.phase == "full":
            return progress, "the first sync has not ended"
        return progress, None

    def take_over(self, progress: Progress, flights: int, *, cancel: CancelToken | None) -> Fence:
        """Put up a fence for so many commits at once, in the place of one that a run before has left standing.

        Raises `TransientError` where another sync has written since the record was read.
        """
        self._fence = tuple(uuid.uuid4().hex for _ in range(flights))
        self.move(progress, cancel=cancel)
        return Fence([self._connection.guard_write(self._fence_path(name)) for name in self._fence])

    def end(self, progress: Progress, *, cancel: CancelToken | None) -> int:
        """As `move`, after which nothing of this run can be written any more."""
        self._fence = ()
        return self.move(progress, cancel=cancel)

    def move(self, progress: Progress, *, cancel: CancelToken | None) -> int:
        """Record that every change up to here is in the catalog; the caller has committed them. Documents written.

        The database first, on its disk, where the record counts only once the catalog bears its token.

        Raises `TransientError` where another sync has written the catalog meanwhile.
        """
        token = uuid.uuid4().hex
        known = (self._bookmarks.bookmark(self._reader) or {}).get("records", [])
        # The latest one too: it is that of the other sync, if there is one.
        kept = [each for number, each in enumerate(known) if number == 0 or each["token"] == self._token]
        self._bookmarks.save_bookmark(self._reader, {"records": [_record(token, progress), *kept]})
        write = self._connection.plain_write(
            self.path,
            {
                "source": source_name(self._source_id),
                "sequence": progress.sequence,
                "phase": progress.phase,
                "signature": progress.signature,
                "places": "\n".join(progress.places),
                "fence": "\n".join(self._fence),
                "token": token,
            },
        )
        if self._update_time is None:
            write.current_document.exists = False
        else:
            write.current_document.update_time.CopyFrom(self._update_time)
        put_up = [name for name in self._fence if name not in self._standing]
        taken_down = [name for name in self._standing if name not in self._fence]
        writes = [
            write,
            *(self._connection.plain_write(self._fence_path(name), {}) for name in put_up),
            *(self._connection.delete_write(self._fence_path(name)) for name in taken_down),
        ]
        try:
            self._update_time, *_ = self._connection.calls.run(
                lambda: self._connection.database.commit(writes), doing="the record of the sync", cancel=cancel
            )
        except DestinationOfflineError as error:
            self._settle(token, error, cancel)
        self._token, self._standing = token, self._fence
        return len(writes)

    def _settle(self, token: str, error: Exception, cancel: CancelToken | None) -> None:
        """The record had changed: by this very call, whose first answer was lost, or by another sync."""
        document = self._connection.get([self.path], cancel=cancel).get(self.path)
        if document is not None and self._connection.plain_fields(document).get("token") == token:
            self._update_time = document.update_time
            return
        raise TransientError(
            f"another sync has written the catalog of {self._source_id} meanwhile; run one at a time, and the next one "
            "goes on"
        ) from error

    def _fence_path(self, name: str) -> str:
        return f"{self.path}/fence/{name}"

    def _known(self, token: str | None) -> Progress | None:
        for record in (self._bookmarks.bookmark(self._reader) or {}).get("records", []):
            if record["token"] == token:
                return _progress(record)
        return None


def _lines(text: object) -> tuple[str, ...]:
    return tuple(each for each in str(text or "").split("\n") if each)


def _record(token: str, progress: Progress) -> dict[str, Any]:
    return {"token": token, **attrs.asdict(progress)}


def _progress(record: Mapping[str, Any]) -> Progress:
    return Progress(
        sequence=record["sequence"],
        phase=record["phase"],
        signature=record["signature"],
        places=tuple(record["places"]),
        fresh=record["fresh"],
    )
