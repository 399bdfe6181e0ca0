"""Several commits at once, reported in the order in which their batches were made."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import DestinationOfflineError, TransientError
from media_watch_tasks.firestore.batches import PlannedWrite
from media_watch_tasks.firestore.fence import Fence
from media_watch_tasks.firestore.writer import Writer, WriteResult

__all__ = ["fly"]


def fly(
    writer: Writer, batches: Iterable[list[PlannedWrite]], *, fence: Fence, cancel: CancelToken | None
) -> Generator[list[WriteResult], None, None]:
    """Write the batches, as many at a time as the fence has guards; the results of each, the earliest batch first.

    The next batches are made while earlier ones fly. When the caller stops, those in the air are waited for. Where the
    fence is gone, the results hold `TransientError`.
    """

    def write(batch: list[PlannedWrite]) -> list[WriteResult]:
        with fence.guard() as guard:
            return [_judged(result) for result in writer.write(batch, cancel=cancel, guard=guard)]

    pending: deque[Future[list[WriteResult]]] = deque()
    with ThreadPoolExecutor(fence.flights, thread_name_prefix="firestore") as pool:
        for batch in batches:
            pending.append(pool.submit(write, batch))
            if len(pending) > fence.flights:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _judged(result: WriteResult) -> WriteResult:
    # The fence could be put up, so the database is there: what is missing is the fence.
    if not isinstance(result.error, DestinationOfflineError):
        return result
    error = TransientError(
        f"another sync has begun to write this catalog; run one at a time, and the next one goes on: {result.error}"
    )
    return WriteResult(result.write, error)
