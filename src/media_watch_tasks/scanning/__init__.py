"""What scanners share, without input or output: filters, and the order that checkpoints stand in."""

from media_watch_tasks.scanning.checkpoints import Position, Resume, decode_checkpoint, encode_checkpoint
from media_watch_tasks.scanning.filters import DEFAULT_EXCLUDED_NAMES, MediaFilter

__all__ = [
    "DEFAULT_EXCLUDED_NAMES",
    "MediaFilter",
    "Position",
    "Resume",
    "decode_checkpoint",
    "encode_checkpoint",
]
