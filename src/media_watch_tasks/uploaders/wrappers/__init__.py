"""Uploaders that wrap other uploaders."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.uploaders.wrappers.all_of import AllOf
    from media_watch_tasks.uploaders.wrappers.bandwidth import BandwidthLimit
    from media_watch_tasks.uploaders.wrappers.dry_run import DryRun, WouldSend
    from media_watch_tasks.uploaders.wrappers.rate_limit import RateLimit
    from media_watch_tasks.uploaders.wrappers.shared_limit import SharedLimit
    from media_watch_tasks.uploaders.wrappers.then import Then
    from media_watch_tasks.uploaders.wrappers.transform import Transform
    from media_watch_tasks.uploaders.wrappers.verify import VerifyAfterUpload
    from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "AllOf": "uploaders.wrappers.all_of",
            "BandwidthLimit": "uploaders.wrappers.bandwidth",
            "DryRun": "uploaders.wrappers.dry_run",
            "RateLimit": "uploaders.wrappers.rate_limit",
            "SharedLimit": "uploaders.wrappers.shared_limit",
            "Then": "uploaders.wrappers.then",
            "Transform": "uploaders.wrappers.transform",
            "VerifyAfterUpload": "uploaders.wrappers.verify",
            "WouldSend": "uploaders.wrappers.dry_run",
            "Wrapper": "uploaders.wrappers.wrapper",
        },
    )

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
