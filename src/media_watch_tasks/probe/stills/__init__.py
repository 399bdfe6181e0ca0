"""Stills: their size, date, camera and place from the header, without decoding a pixel."""

from media_watch_tasks.probe.stills.picture import HeaderError
from media_watch_tasks.probe.stills.reader import describe_still, still_format

__all__ = ["HeaderError", "describe_still", "still_format"]
