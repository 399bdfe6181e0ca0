"""How work on tasks ends, on PostgreSQL: plain deliveries by one statement, beside those of other workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from media_watch_tasks.model.settlements import Delivered
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.model.uploads import UploadProgress
from media_watch_tasks.stores.postgres.arrays import numbers, texts
from media_watch_tasks.stores.postgres.connection import Row
from media_watch_tasks.stores.postgres.task_core import PostgresTaskCore
from media_watch_tasks.stores.relational.task_codec import progress_to_sql, receipt_to_row
from media_watch_tasks.stores.relational.task_settle import PROGRESS, TaskSettle

__all__ = ["PostgresTaskSettle"]

_DELIVER = """
UPDATE task SET phase = 5, state = 3, slot = 2, attempts = attempts + 1 - begun, begins = begins + 1 - begun, begun = 0,
    error = NULL, resume_state = NULL, progress = NULL, cancel_reason = NULL, updated_ns = $1
FROM unnest($2::bigint[], $3::bigint[]) AS claim (id, token)
WHERE task.id = claim.id AND task.token = claim.token AND task.phase + 0 = 4
"""
# Nothing follows from this one: no earlier version, nobody behind it, the small tables as they are known.
_DELIVER_SIMPLY = f"""
WITH done AS (
    {_DELIVER}
    AND (SELECT names_version FROM task_store) = $4
    AND NOT EXISTS (
        SELECT 1 FROM task AS other
        WHERE other.route = task.route AND other.asset_id = task.asset_id AND other.slot > 0
    )
    RETURNING task.id, task.lane
), kept AS (
    INSERT INTO task_receipt
    SELECT receipt.* FROM unnest(
        $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::smallint[], $11::smallint[], $12::text[]
    ) AS receipt (task_id, remote_id, size, sha256, etag, verified, deduplicated, details)
    JOIN done ON done.id = receipt.task_id
)
SELECT id, lane FROM done
"""  # noqa: S608 - constants
_DELIVER_EACH = f"""
{_DELIVER}
RETURNING task.id, task.lane, (SELECT names_version FROM task_store), EXISTS (SELECT 1 FROM task WHERE phase = 3)
"""  # noqa: S608 - constants
_REPLACE_EARLIER = """
UPDATE task AS earlier SET slot = NULL, counted = NULL
FROM unnest($1::bigint[], $2::bigint[]) AS claim (id, token)
JOIN task AS later ON later.id = claim.id AND later.token = claim.token AND later.phase = 4
WHERE earlier.route = later.route AND earlier.asset_id = later.asset_id AND earlier.slot = 2
"""
_EXTEND = """
UPDATE task SET lease_end = $1, boot = $2
FROM unnest($3::bigint[], $4::bigint[]) AS claim (id, token)
WHERE task.id = claim.id AND task.token = claim.token AND task.phase = 4
RETURNING task.id
"""


class PostgresTaskSettle(TaskSettle):
    """`settle`, `extend`, `save_resume_state`. Every method needs a transaction."""

    _core: PostgresTaskCore

    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None
    ) -> frozenset[int]:
        """See `TaskStore.extend`."""
        core = self._core
        boot = core.names.boot(core.names.current())
        lease_end = core.clock.boot_ns() + lease_ns
        rows = core.database.execute(_EXTEND, (lease_end, boot, *_claims({ref.task_id: ref for ref in refs})))
        extended = frozenset(row[0] for row in rows)
        if progress:
            known = [(progress_to_sql(progress[task_id]), task_id) for task_id in sorted(extended & progress.keys())]
            core.database.executemany(PROGRESS, known)
        return extended

    def _deliver(self, deliveries: Mapping[int, Delivered]) -> frozenset[int]:
        database = self._core.database
        claims = _claims({task_id: delivery.ref for task_id, delivery in deliveries.items()})
        now = self._core.clock.now_ns()
        if not database.is_alone:
            self._deliver_beside(deliveries, now, claims)
            return frozenset(deliveries)
        database.execute(_REPLACE_EARLIER, claims)
        rows = database.execute(_DELIVER_EACH, (now, *claims))
        if rows:
            self._keep_receipts([deliveries[row[0]] for row in rows])
            self._after_delivery(rows, deliveries)
        return frozenset(row[0] for row in rows)

    def _deliver_beside(self, deliveries: Mapping[int, Delivered], now_ns: int, claims: tuple[bytes, bytes]) -> None:
        """Deliver all of them, if each is a plain first delivery of a task that is still held; else ask to be alone."""
        database = self._core.database
        names = self._core.names.latest_known()
        receipts = [receipt_to_row(task_id, delivery.receipt) for task_id, delivery in deliveries.items()]
        ids, remotes, sizes, hashes, etags, verified, deduplicated, details = zip(*receipts, strict=True)
        columns = (
            *(numbers(ids), texts(remotes), numbers(sizes), texts(hashes), texts(etags)),
            *(numbers(verified), numbers(deduplicated), texts(details)),
        )

        def check(rows: list[Row]) -> None:
            if len(rows) < len(deliveries):
                database.require_alone()
            if names.pauses:
                lanes = {lane for task_id, lane in rows if not deliveries[task_id].receipt.deduplicated}
                if any(names.pauses.ended_by_delivery(names.lanes[lane][0], now_ns) for lane in lanes):
                    database.require_alone()

        # A claim mostly follows: both go to the server at once.
        database.later(_DELIVER_SIMPLY, (now_ns, *claims, names.version, *columns), check)
        owed = [(task_id, delivery.action) for task_id, delivery in deliveries.items() if delivery.action]
        if owed:
            self._sequel.owe(owed)


def _claims(refs: Mapping[int, ClaimRef]) -> tuple[bytes, bytes]:
    """(ids, tokens), by id: rows are locked in one order."""
    return numbers(sorted(refs)), numbers(refs[task_id].token for task_id in sorted(refs))
