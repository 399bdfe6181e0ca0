"""Equal content goes once to each destination: what is delivered, what is on its way, who may send."""

from __future__ import annotations

from media_watch_tasks.abc.stores import Reservation
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.model.settlements import ReservationState
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.stores.relational.task_codec import RECEIPT_COLUMNS, json_of_ids, receipt_from_row, sha256_to_sql
from media_watch_tasks.stores.relational.task_core import TaskCore
from media_watch_tasks.stores.relational.text_codec import to_sql

__all__ = ["TaskContent"]

_OWN = "SELECT route, asset_id FROM task WHERE id = ?"
_OF_SIZE = """
SELECT EXISTS (
    SELECT 1 FROM task
    WHERE counted = 1 AND route IN (SELECT value FROM json_each(?1)) AND size = ?2
        AND NOT (route = ?3 AND asset_id = ?4)
)
"""
_CLAIMED = "SELECT route FROM task WHERE id = ? AND token = ? AND phase = 4"
# A receipt that was itself shared is no proof: the object is another task's, and may have been replaced.
_DELIVERED = f"""
SELECT {RECEIPT_COLUMNS} FROM task_receipt AS r JOIN task AS t ON t.id = r.task_id
WHERE r.sha256 = ?1 AND r.deduplicated = 0 AND t.slot = 2 AND t.route IN (SELECT value FROM json_each(?2))
ORDER BY t.id LIMIT 1
"""  # noqa: S608 - the columns are a constant
_FORGET_ENDED = """
DELETE FROM content_reservation
WHERE NOT EXISTS (
    SELECT 1 FROM task WHERE id = content_reservation.task_id AND token = content_reservation.token AND phase = 4
)
"""
_BUSY = "SELECT 1 FROM content_reservation WHERE destination_id = ? AND sha256 = ? AND task_id <> ?"
_RESERVE = """
INSERT INTO content_reservation VALUES (?, ?, ?, ?)
ON CONFLICT (task_id) DO UPDATE SET token = excluded.token, destination_id = excluded.destination_id,
    sha256 = excluded.sha256
"""


class TaskContent:
    """`has_content_of_size`, `reserve_content`."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def has_size(self, ref: ClaimRef, size: int) -> bool:
        """See `TaskStore.has_content_of_size`."""
        own = self._core.database.execute(_OWN, (ref.task_id,))
        if not own:
            return True  # nothing is known any more: a look at the hash is the careful answer
        route, asset_id = own[0]
        rows = self._core.database.execute(_OF_SIZE, (self._routes_beside(route), size, route, asset_id))
        return bool(rows[0][0])

    def reserve(self, ref: ClaimRef, sha256: str) -> Reservation:
        """See `TaskStore.reserve_content`; inside a transaction."""
        execute = self._core.database.execute
        own = execute(_CLAIMED, (ref.task_id, ref.token))
        if not own:
            raise LeaseLost(f"task {ref.task_id} is no longer held with token {ref.token}")
        content = sha256_to_sql(sha256)
        delivered = execute(_DELIVERED, (content, self._routes_beside(own[0][0])))
        if delivered:
            return ReservationState.DELIVERED, receipt_from_row(delivered[0])
        destination = to_sql(self._core.names.current().routes[own[0][0]].destination_id)
        execute(_FORGET_ENDED)
        if execute(_BUSY, (destination, content, ref.task_id)):
            return ReservationState.BUSY, None
        execute(_RESERVE, (ref.task_id, ref.token, destination, content))
        return ReservationState.RESERVED, None

    def _routes_beside(self, route: int) -> str:
        """All routes of the destination of this one, as a JSON array."""
        routes = self._core.names.current().routes
        destination_id = routes[route].destination_id
        return json_of_ids([number for number, other in list(routes.items()) if other.destination_id == destination_id])
