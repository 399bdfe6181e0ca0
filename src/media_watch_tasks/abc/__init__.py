"""All interfaces: what the author of a plug-in has to read."""

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
