"""What scanners share, without input or output: filters, and the order that checkpoints stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media_watch_tasks.scanning.checkpoints import Position, Resume, decode_checkpoint, encode_checkpoint
    from media_watch_tasks.scanning.filters import DEFAULT_EXCLUDED_NAMES, MediaFilter
else:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "DEFAULT_EXCLUDED_NAMES": "scanning.filters",
            "MediaFilter": "scanning.filters",
            "Position": "scanning.checkpoints",
            "Resume": "scanning.checkpoints",
            "decode_checkpoint": "scanning.checkpoints",
            "encode_checkpoint": "scanning.checkpoints",
        },
    )

__all__ = [
    "DEFAULT_EXCLUDED_NAMES",
    "MediaFilter",
    "Position",
    "Resume",
    "decode_checkpoint",
    "encode_checkpoint",
]
