"""All interfaces: what the author of a plug-in has to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.abc.action import AfterUploadAction, ChangesSource
    from media_watch_tasks.abc.announcements import AnnouncesWork
    from media_watch_tasks.abc.byte_source import ByteSource, OpensByteSources
    from media_watch_tasks.abc.change_feed import AssetChange, Bookmarks, ChangeFeed, CountsByDirectory
    from media_watch_tasks.abc.constraint import Constraint
    from media_watch_tasks.abc.payloads import KeepPayloads, KeptPayload, PayloadStore
    from media_watch_tasks.abc.permits import Permits
    from media_watch_tasks.abc.prober import DescribesMedia, MediaProber
    from media_watch_tasks.abc.resolver import MediaResolver
    from media_watch_tasks.abc.scanner import Filters, LocalSource, MediaScanner
    from media_watch_tasks.abc.scheduler import Job, Scheduler
    from media_watch_tasks.abc.stores import KeepsTime, MediaStateStore, Reservation, SharedTransaction, TaskStore
    from media_watch_tasks.abc.uploader import (
        BatchItem,
        BatchUploader,
        Checks,
        FansOut,
        FindsExisting,
        LocalDestination,
        MovesRemote,
        RemovesUnfinished,
        Resumable,
        UploadContext,
        Uploader,
        Verifies,
    )
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "AfterUploadAction": "abc.action",
            "AnnouncesWork": "abc.announcements",
            "AssetChange": "abc.change_feed",
            "BatchItem": "abc.uploader",
            "BatchUploader": "abc.uploader",
            "Bookmarks": "abc.change_feed",
            "ByteSource": "abc.byte_source",
            "ChangeFeed": "abc.change_feed",
            "ChangesSource": "abc.action",
            "Checks": "abc.uploader",
            "Constraint": "abc.constraint",
            "CountsByDirectory": "abc.change_feed",
            "DescribesMedia": "abc.prober",
            "FansOut": "abc.uploader",
            "Filters": "abc.scanner",
            "FindsExisting": "abc.uploader",
            "Job": "abc.scheduler",
            "KeepPayloads": "abc.payloads",
            "KeepsTime": "abc.stores",
            "KeptPayload": "abc.payloads",
            "LocalDestination": "abc.uploader",
            "LocalSource": "abc.scanner",
            "MediaProber": "abc.prober",
            "MediaResolver": "abc.resolver",
            "MediaScanner": "abc.scanner",
            "MediaStateStore": "abc.stores",
            "MovesRemote": "abc.uploader",
            "OpensByteSources": "abc.byte_source",
            "PayloadStore": "abc.payloads",
            "Permits": "abc.permits",
            "RemovesUnfinished": "abc.uploader",
            "Reservation": "abc.stores",
            "Resumable": "abc.uploader",
            "Scheduler": "abc.scheduler",
            "SharedTransaction": "abc.stores",
            "TaskStore": "abc.stores",
            "UploadContext": "abc.uploader",
            "Uploader": "abc.uploader",
            "Verifies": "abc.uploader",
        },
    )

__all__ = [
    "AfterUploadAction",
    "AnnouncesWork",
    "AssetChange",
    "BatchItem",
    "BatchUploader",
    "Bookmarks",
    "ByteSource",
    "ChangeFeed",
    "ChangesSource",
    "Checks",
    "Constraint",
    "CountsByDirectory",
    "DescribesMedia",
    "FansOut",
    "Filters",
    "FindsExisting",
    "Job",
    "KeepPayloads",
    "KeepsTime",
    "KeptPayload",
    "LocalDestination",
    "LocalSource",
    "MediaProber",
    "MediaResolver",
    "MediaScanner",
    "MediaStateStore",
    "MovesRemote",
    "OpensByteSources",
    "PayloadStore",
    "Permits",
    "RemovesUnfinished",
    "Reservation",
    "Resumable",
    "Scheduler",
    "SharedTransaction",
    "TaskStore",
    "UploadContext",
    "Uploader",
    "Verifies",
]
