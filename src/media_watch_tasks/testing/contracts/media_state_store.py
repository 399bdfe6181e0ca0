"""The suite for a `MediaStateStore`."""

from __future__ import annotations

from media_watch_tasks.testing.contracts.media_state_store_absences import (
    AbsenceContract,
    ListingContract,
    MoveContract,
)
from media_watch_tasks.testing.contracts.media_state_store_assets import KnownAssetContract
from media_watch_tasks.testing.contracts.media_state_store_history import HistoryContract
from media_watch_tasks.testing.contracts.media_state_store_pages import PageDiffContract, PageRecordContract
from media_watch_tasks.testing.contracts.media_state_store_sources import ScanLeaseContract, SourceRecordContract

__all__ = ["MediaStateStoreContract"]


class MediaStateStoreContract(
    SourceRecordContract,
    ScanLeaseContract,
    PageDiffContract,
    PageRecordContract,
    KnownAssetContract,
    AbsenceContract,
    ListingContract,
    MoveContract,
    HistoryContract,
):
    """What every `MediaStateStore` keeps to.

    Subclass it in a test module as `class TestMyStore(MediaStateStoreContract)`, and define `make_store(clock)` and,
    where something has to be freed, `close_store(store)`.
    """
