"""Scans on time while uploads run, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import timedelta

from media_watch_tasks.abc.announcements import AnnouncesWork
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.errors import ConfigurationError, MediaWatchError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.processing import Processing
from media_watch_tasks.manager.scanning import Scanning
from media_watch_tasks.model.reports import ForeverReport, ProcessReport, RunReport

__all__ = ["run_forever", "run_once"]

_log = logging.getLogger(__name__)
_LONGEST_NAP = 1.0
"""Seconds: pauses, and other processes' tasks where nobody announces them, are looked at this often."""


def run_once(scanning: Scanning, processing: Processing, cancel: CancelToken) -> RunReport:
    """Scan, with the workers starting on the first committed page, then process what is left."""
    token = cancel.child()
    scan_ended = threading.Event()
    reports: list[ProcessReport] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            reports.append(processing.run(token, more_to_come=lambda: not scan_ended.is_set()))
        except BaseException as failure:  # noqa: BLE001 - raised again below, on the thread of the caller
            failures.append(failure)

    worker: threading.Thread | None = None

    def on_commit() -> None:
        nonlocal worker
        if worker is None:
            worker = threading.Thread(target=work, name="mwt-process")
            worker.start()
        else:
            processing.wake()

    try:
        scan = scanning.scan(cancel, on_commit=on_commit)
        scan_ended.set()
        processing.wake()
        if worker is None:
            work()
        else:
            _join(worker)
    except BaseException:
        token.cancel()
        raise
    finally:
        scan_ended.set()
        processing.wake()
        if worker is not None:
            worker.join()
        token.detach()
    if failures:
        raise failures[0]
    return RunReport(scan=scan, process=reports[0])


def run_forever(
    core: ManagerCore, scanning: Scanning, processing: Processing, cancel: CancelToken, *, scan_every: timedelta
) -> ForeverReport:
    """Scan every `scan_every` (missed scans are left out) and process in between and meanwhile."""
    token = cancel.child()
    forget = core.closing.on_cancel(token.cancel)
    enqueued = threading.Event()
    counts: Counter[str] = Counter()
    worker = threading.Thread(
        target=_process_forever, args=(core, processing, token, enqueued, counts), name="mwt-process"
    )

    def on_commit() -> None:
        enqueued.set()
        processing.wake()

    announced = core.tasks.on_work(on_commit) if isinstance(core.tasks, AnnouncesWork) else None
    worker.start()
    try:
        while not token.cancelled:
            began = core.clock.monotonic_ns()
            try:
                counts["scans" if scanning.scan(token, on_commit=on_commit).complete else "failed_scans"] += 1
            except ConfigurationError:
                raise
            except MediaWatchError:
                counts["failed_scans"] += 1
                _log.exception("scan failed, the next one is on time", extra={"source_id": core.source_id})
            left = to_ns(scan_every) - (core.clock.monotonic_ns() - began)
            core.clock.wait(token.event, max(left, 0) / NANOSECONDS)
    finally:
        token.cancel()
        enqueued.set()
        processing.wake()
        worker.join()
        if announced is not None:
            announced()
        forget()
        token.detach()
    return ForeverReport(
        scans=counts["scans"],
        failed_scans=counts["failed_scans"],
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        dead=counts["dead"],
    )


def _process_forever(
    core: ManagerCore, processing: Processing, token: CancelToken, enqueued: threading.Event, counts: Counter[str]
) -> None:
    while not token.cancelled:
        enqueued.clear()
        try:
            report = processing.run(token)
        except MediaWatchError:
            _log.exception("processing failed, will try again", extra={"source_id": core.source_id})
        else:
            counts.update(succeeded=report.succeeded, failed=report.failed, dead=report.dead)
        if not token.cancelled:
            enqueued.wait(_nap(core))


def _nap(core: ManagerCore) -> float:
    try:
        due = core.tasks.next_due_ns(core.destinations.routes)
    except MediaWatchError:
        return _LONGEST_NAP
    left = 0 if due is None else due - core.clock.now_ns()
    # What is due and was not taken is blocked, by a pause or a constraint: a shorter nap would be a loop.
    return min(max(left / NANOSECONDS, 0.01), _LONGEST_NAP) if left > 0 else _LONGEST_NAP


def _join(worker: threading.Thread) -> None:
    while worker.is_alive():
        worker.join(timeout=1.0)  # in portions, so that Ctrl-C gets through on every platform
