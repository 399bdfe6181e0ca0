"""Watch folders and NAS shares for media files, and deliver each one durably, exactly as found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.abc.resolver import MediaResolver
    from media_watch_tasks.abc.scanner import MediaScanner
    from media_watch_tasks.abc.scheduler import Scheduler
    from media_watch_tasks.abc.uploader import UploadContext, Uploader
    from media_watch_tasks.cancellation import CancelReason, CancelToken
    from media_watch_tasks.errors import (
        AlreadyExists,
        AuthenticationRequiredError,
        ConfigurationError,
        DestinationFull,
        MediaWatchError,
        MissingDependencyError,
        PermanentError,
        RateLimited,
        Snooze,
        SourceOfflineError,
        StoreError,
        TransientError,
    )
    from media_watch_tasks.local.resolver import LocalMediaResolver
    from media_watch_tasks.local.scanner import LocalMediaScanner
    from media_watch_tasks.manager.task_manager import TaskManager
    from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
    from media_watch_tasks.model.kinds import MediaKind
    from media_watch_tasks.model.metadata import MediaMetadata
    from media_watch_tasks.model.shares import Share
    from media_watch_tasks.model.tasks import Task, TaskState
    from media_watch_tasks.model.uploads import Stage, UploadReceipt
    from media_watch_tasks.options import RetryOptions, TaskManagerOptions
    from media_watch_tasks.scanning.filters import MediaFilter
    from media_watch_tasks.schedulers.interval import IntervalScheduler
    from media_watch_tasks.stores.postgres.stores import PostgresStores
    from media_watch_tasks.stores.sqlite.stores import SqliteStores
    from media_watch_tasks.uploaders.asynchronous import AsyncUploader
    from media_watch_tasks.uploaders.directory.uploader import DirectoryUploader
    from media_watch_tasks.uploaders.wrappers.all_of import AllOf
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "AllOf": "uploaders.wrappers.all_of",
            "AlreadyExists": "errors",
            "AsyncUploader": "uploaders.asynchronous",
            "AuthenticationRequiredError": "errors",
            "CancelReason": "cancellation",
            "CancelToken": "cancellation",
            "ConfigurationError": "errors",
            "DestinationFull": "errors",
            "DirectoryUploader": "uploaders.directory.uploader",
            "IntervalScheduler": "schedulers.interval",
            "LocalMediaResolver": "local.resolver",
            "LocalMediaScanner": "local.scanner",
            "MediaAsset": "model.assets",
            "MediaFilter": "scanning.filters",
            "MediaKind": "model.kinds",
            "MediaMetadata": "model.metadata",
            "MediaResolver": "abc.resolver",
            "MediaScanner": "abc.scanner",
            "MediaWatchError": "errors",
            "MissingDependencyError": "errors",
            "PermanentError": "errors",
            "PostgresStores": "stores.postgres.stores",
            "RateLimited": "errors",
            "ResolvedMedia": "model.assets",
            "RetryOptions": "options",
            "Scheduler": "abc.scheduler",
            "Share": "model.shares",
            "Snooze": "errors",
            "SourceOfflineError": "errors",
            "SqliteStores": "stores.sqlite.stores",
            "Stage": "model.uploads",
            "StoreError": "errors",
            "Task": "model.tasks",
            "TaskManager": "manager.task_manager",
            "TaskManagerOptions": "options",
            "TaskState": "model.tasks",
            "TransientError": "errors",
            "UploadContext": "abc.uploader",
            "UploadReceipt": "model.uploads",
            "Uploader": "abc.uploader",
        },
    )

__version__ = "0.1.0"

__all__ = [
    "AllOf",
    "AlreadyExists",
    "AsyncUploader",
    "AuthenticationRequiredError",
    "CancelReason",
    "CancelToken",
    "ConfigurationError",
    "DestinationFull",
    "DirectoryUploader",
    "IntervalScheduler",
    "LocalMediaResolver",
    "LocalMediaScanner",
    "MediaAsset",
    "MediaFilter",
    "MediaKind",
    "MediaMetadata",
    "MediaResolver",
    "MediaScanner",
    "MediaWatchError",
    "MissingDependencyError",
    "PermanentError",
    "PostgresStores",
    "RateLimited",
    "ResolvedMedia",
    "RetryOptions",
    "Scheduler",
    "Share",
    "Snooze",
    "SourceOfflineError",
    "SqliteStores",
    "Stage",
    "StoreError",
    "Task",
    "TaskManager",
    "TaskManagerOptions",
    "TaskState",
    "TransientError",
    "UploadContext",
    "UploadReceipt",
    "Uploader",
]
