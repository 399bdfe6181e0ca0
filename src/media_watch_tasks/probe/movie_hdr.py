"""HDR metadata of the first frame of a track in an mp4 or mov file."""

from __future__ import annotations

from media_watch_tasks.model.metadata import VideoTrack
from media_watch_tasks.probe.fragments import first_fragment_sample
from media_watch_tasks.probe.frame_hdr import MOST_BYTES, FrameHdr, frame_hdr, may_tell
from media_watch_tasks.probe.movie import Layout, Track
from media_watch_tasks.probe.movie_samples import first_sample
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.track_fields import TrackFields

__all__ = ["movie_hdr"]


def movie_hdr(
    reader: RangeReader, layout: Layout, boxes: tuple[Track, TrackFields], track: VideoTrack, transfer: str | None
) -> FrameHdr:
    """From the sample description, and of a track of PQ from its first frame: at most 16 KiB that are read."""
    own, fields = boxes
    seen = FrameHdr(fields.mastering or track.hdr == "HDR10", dynamic=track.hdr == "HDR10+")
    if fields.dolby is not None or seen.dynamic or not may_tell(track.codec, transfer):
        return seen
    config = fields.boxes.get(b"hvcC") or fields.boxes.get(b"av1C") or b""
    at = first_sample(own)
    if at is None:
        at = first_fragment_sample(reader, layout, fields.track_id)
    return seen | frame_hdr(track.codec, config, reader.at(at, MOST_BYTES) if at is not None else b"")
