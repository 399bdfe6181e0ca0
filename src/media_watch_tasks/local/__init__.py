"""Folders of this machine, and shares that are mounted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.local.resolver import LocalMediaResolver
    from media_watch_tasks.local.scanner import LocalMediaScanner
    from media_watch_tasks.scanning.local_byte_source import LocalByteSource
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "LocalByteSource": "scanning.local_byte_source",
            "LocalMediaResolver": "local.resolver",
            "LocalMediaScanner": "local.scanner",
        },
    )

__all__ = ["LocalByteSource", "LocalMediaResolver", "LocalMediaScanner"]
