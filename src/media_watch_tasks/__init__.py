"""Watch folders and NAS shares for media files, and deliver each one durably, exactly as found."""

from media_watch_tasks.abc import MediaResolver, MediaScanner, Scheduler, UploadContext, Uploader
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
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.manager import TaskManager
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.shares import Share
from media_watch_tasks.model.tasks import Task, TaskState
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.options import RetryOptions, TaskManagerOptions
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.schedulers import IntervalScheduler
from media_watch_tasks.stores.postgres import PostgresStores
from media_watch_tasks.stores.sqlite import SqliteStores
from media_watch_tasks.uploaders import AllOf, AsyncUploader, DirectoryUploader

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
