"""Describes media files: codec, size, duration, tracks, camera, from a few kilobytes of each."""

from media_watch_tasks.probe.ladder import LadderPolicy, LadderProber, Step
from media_watch_tasks.probe.prober import AvProber, Probeable
from media_watch_tasks.probe.range_reader import RangeReader, ReadPolicy
from media_watch_tasks.probe.resolver import ProbingResolver, StreamSource
from media_watch_tasks.probe.sources import BytesSource

__all__ = [
    "AvProber",
    "BytesSource",
    "LadderPolicy",
    "LadderProber",
    "Probeable",
    "ProbingResolver",
    "RangeReader",
    "ReadPolicy",
    "Step",
    "StreamSource",
]
