"""Several commits at once, reported in the order in which their batches were made."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.firestore.batches import PlannedWrite
from media_watch_tasks.firestore.writer import Writer, WriteResult

__all__ = ["fly"]


def fly(
    writer: Writer, batches: Iterable[list[PlannedWrite]], *, flights: int, cancel: CancelToken | None
) -> Generator[list[WriteResult], None, None]:
    """Write the batches, at most `flights` at a time; the results of each, the earliest batch first.

    The next batches are made while earlier ones fly. When the caller stops, those in the air are waited for.
    """

    def write(batch: list[PlannedWrite]) -> list[WriteResult]:
        return list(writer.write(batch, cancel=cancel))

    pending: deque[Future[list[WriteResult]]] = deque()
    with ThreadPoolExecutor(flights, thread_name_prefix="firestore") as pool:
        for batch in batches:
            pending.append(pool.submit(write, batch))
            if len(pending) > flights:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
