"""Judges what a complete scan did not find: missing, or held in quarantine until somebody has looked."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import attrs

from media_watch_tasks.abc.scanner import Filters
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.roots import RootCheck
from media_watch_tasks.model.events import AssetMissing, Quarantined, QuarantineEnded
from media_watch_tasks.model.reports import QuarantineReport
from media_watch_tasks.model.sources import AssetState, ScanLease, SourceState

__all__ = ["Absence"]

_log = logging.getLogger(__name__)
_PORTION = 1_000


class Absence:
    """The end of a scan, and the end of a quarantine."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core

    def judge(self, state: SourceState, scan_number: int, *, other_root: str | None) -> tuple[SourceState, int]:
        """After a complete scan: (the record with what follows from it, how many assets are missing now).

        Args:
            state: the record of the source.
            scan_number: the number that the absences were marked with.
            other_root: why the root is another one, None if it is the known one.
        """
        absent = sum(1 for _ in self._absent(scan_number))
        reason = other_root or self._too_many(absent)
        if reason is not None and (absent or other_root):
            if state.quarantine is None:
                _log.error(
                    "absences are held in quarantine: %s", reason,
                    extra={"source_id": state.source_id, "absent": absent},
                )  # fmt: skip
                self._emit_quarantined(reason, absent)
            return attrs.evolve(state, quarantine=reason, quarantine_scan=scan_number), 0
        missing = self._mark(scan_number)
        if state.quarantine is not None:
            self._emit_ended("the files are back")
        return attrs.evolve(state, quarantine=None, quarantine_scan=None), missing

    def held(self, state: SourceState) -> int:
        """How many absences are held in quarantine."""
        return sum(1 for _ in self._absent(state.quarantine_scan)) if state.quarantine_scan is not None else 0

    def confirm(self, lease: ScanLease, cancel: CancelToken) -> QuarantineReport:
        """The absences are true, and the root is the right one: mark what is held as missing."""
        core = self._core
        state = core.media_state.source(core.source_id)
        if state.quarantine is None or state.quarantine_scan is None:
            return QuarantineReport(source_id=core.source_id, ended=False)
        RootCheck(core, cancel).accept_present()
        missing = self._mark(state.quarantine_scan)
        latest = core.media_state.source(core.source_id)
        core.media_state.save_source(attrs.evolve(latest, quarantine=None, quarantine_scan=None), lease=lease)
        self._emit_ended("confirmed")
        return QuarantineReport(source_id=core.source_id, ended=True, missing=missing)

    def reject(self, lease: ScanLease) -> QuarantineReport:
        """The absences are not true: forget them. A scan that finds as many again holds them again."""
        core = self._core
        state = core.media_state.source(core.source_id)
        if state.quarantine is None:
            return QuarantineReport(source_id=core.source_id, ended=False)
        core.media_state.save_source(attrs.evolve(state, quarantine=None, quarantine_scan=None), lease=lease)
        self._emit_ended("rejected")
        return QuarantineReport(source_id=core.source_id, ended=True)

    def _too_many(self, absent: int) -> str | None:
        core = self._core
        present, _ = core.media_state.count_assets(core.source_id)
        options = core.options
        if present < options.quarantine_least or absent <= present * options.quarantine_share:
            return None
        return f"{absent} of {present} known files are not there any more"

    def _absent(self, scan_number: int) -> Iterator[AssetState]:
        core = self._core
        scanner = core.scanner
        after: bytes | None = None
        while portion := core.media_state.absent_assets(
            core.source_id, scan_number, after=after, limit=_PORTION
        ):  # fmt: skip
            after = portion[-1].asset_id
            for state in portion:
                # What the scanner's filter hides by now is not absent, only out of sight.
                if not isinstance(scanner, Filters) or scanner.was_visible(scanner.filter_spec, state.asset):
                    yield state

    def _mark(self, scan_number: int) -> int:
        core = self._core
        missing = 0
        portion: list[bytes] = []
        for state in self._absent(scan_number):
            portion.append(state.asset_id)
            if len(portion) >= _PORTION:
                missing += self._write(portion)
                portion = []
        missing += self._write(portion)
        if missing:
            _log.info("files are missing", extra={"source_id": core.source_id, "count": missing})
        return missing

    def _write(self, portion: list[bytes]) -> int:
        core = self._core
        if not portion:
            return 0
        marked = core.media_state.mark_missing(core.source_id, portion)
        if core.notifier.active:
            for asset_id in portion:
                event = AssetMissing(at_ns=core.notifier.now_ns(), source_id=core.source_id, asset_id=asset_id)
                core.notifier.emit(event)
        return marked

    def _emit_quarantined(self, reason: str, absent: int) -> None:
        notifier = self._core.notifier
        notifier.emit(
            Quarantined(at_ns=notifier.now_ns(), source_id=self._core.source_id, reason=reason, absent=absent)
        )  # fmt: skip

    def _emit_ended(self, how: str) -> None:
        notifier = self._core.notifier
        notifier.emit(QuarantineEnded(at_ns=notifier.now_ns(), source_id=self._core.source_id, how=how))
