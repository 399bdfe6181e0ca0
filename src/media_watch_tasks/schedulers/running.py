"""One run of a job: whatever it raises is logged, and the schedule goes on."""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta

from media_watch_tasks.abc.scheduler import Job
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.model.redaction import redact

__all__ = ["run_job"]

_log = logging.getLogger(__name__)


def run_job(job: Job, cancel: CancelToken, *, every: timedelta) -> None:
    """Run the job once, with a token of its own: a job that cancels it ends itself, not the schedule."""
    token = cancel.child()
    try:
        job(token)
    except OperationCancelled as error:
        _log.info("the job was cancelled", extra={"reason": str(error.reason)})
    except Exception as error:  # noqa: BLE001 - whatever a job raises, the schedule goes on
        # The traceback as text, line by line, so that a URL or a token in it can be masked.
        lines = "".join(traceback.format_exception(error)).splitlines()
        _log.error(
            "the job failed, the schedule goes on: %s",
            "\n".join(map(redact, lines)),
            extra={"error_type": type(error).__name__, "every_seconds": every.total_seconds()},
        )
    finally:
        token.detach()
