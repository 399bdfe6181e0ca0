"""The whole suite for scanners."""

from __future__ import annotations

from media_watch_tasks.testing.contracts.scanner_faults import ScannerFaultsContract, ScannerRootContract
from media_watch_tasks.testing.contracts.scanner_known import ScannerKnownContract
from media_watch_tasks.testing.contracts.scanner_pages import ScannerNamesContract, ScannerPagesContract
from media_watch_tasks.testing.contracts.scanner_resume import ScannerResumeContract

__all__ = ["MediaScannerContract"]


class MediaScannerContract(
    ScannerPagesContract,
    ScannerNamesContract,
    ScannerResumeContract,
    ScannerKnownContract,
    ScannerFaultsContract,
    ScannerRootContract,
):
    """Every promise of `MediaScanner`; a subclass overrides the fixture `place` and says what the place cannot do."""
