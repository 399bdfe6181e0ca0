"""One call of a `BatchUploader`, on a worker thread: every item takes the steps of a single attempt."""

from __future__ import annotations

from collections.abc import Sequence

from media_watch_tasks.abc.uploader import BatchItem, BatchUploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import TransientError
from media_watch_tasks.manager.attempt import Attempt
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.outcomes import Outcome
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.model.uploads import UploadOutcome

__all__ = ["perform_batch"]


def perform_batch(
    core: ManagerCore,
    uploader: BatchUploader,
    work: Sequence[tuple[Flight, AssetState | None]],
    *,
    cancel: CancelToken,
) -> list[Outcome]:
    """Deliver the claims in one call; one outcome for each, whatever happens."""
    waiting: dict[str, Attempt] = {}
    outcomes: list[Outcome] = []
    for flight, known in work:
        attempt = Attempt(core, flight, known)
        try:
            receipt = attempt.prepare()
            if receipt is None:
                waiting[attempt.context.key] = attempt
            else:
                outcomes.append(attempt.success(receipt))
        except Exception as error:  # noqa: BLE001 - as in a single attempt: anything raised becomes an outcome
            outcomes.append(attempt.failure(error))
    items = [BatchItem(attempt.media, attempt.context) for attempt in waiting.values()]
    call_error: Exception = TransientError(f"{type(uploader).__name__}.upload_batch gave no outcome for this item")
    try:
        for result in uploader.upload_batch(items, cancel=cancel) if items else ():
            for flight, _ in work:
                flight.touch()  # an outcome is a sign of life for the whole batch
            finished = waiting.pop(result.key, None)
            if finished is not None:
                outcomes.append(_finish(finished, result))
    except Exception as error:  # noqa: BLE001 - the call failed as a whole: it counts for every item without an outcome
        call_error = error
    outcomes += [attempt.failure(call_error) for attempt in waiting.values()]
    return outcomes


def _finish(attempt: Attempt, result: UploadOutcome) -> Outcome:
    if result.receipt is None:
        return attempt.failure(result.error or TransientError("an outcome without receipt and without error"))
    try:
        return attempt.success(result.receipt)
    except Exception as error:  # noqa: BLE001 - as in a single attempt
        return attempt.failure(error)
