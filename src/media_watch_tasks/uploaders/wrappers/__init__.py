"""Uploaders that wrap other uploaders."""

from media_watch_tasks.uploaders.wrappers.all_of import AllOf
from media_watch_tasks.uploaders.wrappers.bandwidth import BandwidthLimit
from media_watch_tasks.uploaders.wrappers.dry_run import DryRun, WouldSend
from media_watch_tasks.uploaders.wrappers.rate_limit import RateLimit
from media_watch_tasks.uploaders.wrappers.shared_limit import SharedLimit
from media_watch_tasks.uploaders.wrappers.then import Then
from media_watch_tasks.uploaders.wrappers.transform import Transform
from media_watch_tasks.uploaders.wrappers.verify import VerifyAfterUpload
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = [
    "AllOf",
    "BandwidthLimit",
    "DryRun",
    "RateLimit",
    "SharedLimit",
    "Then",
    "Transform",
    "VerifyAfterUpload",
    "WouldSend",
    "Wrapper",
]
