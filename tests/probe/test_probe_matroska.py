"""What stands in the header of a Matroska file beside what FFmpeg tells: rotation, HDR, attachments."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs
import pytest
from tests.probe.media_files import encode
from tests.probe.odd_shapes import SHAPES, make

from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.probe import AvProber, BytesSource, RangeReader
from media_watch_tasks.probe.matroska import MatroskaVideo, read_header, with_header

EBML, SEGMENT = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"
TRACKS, TRACK, TYPE, VIDEO = b"\x16\x54\xae\x6b", b"\xae", b"\x83", b"\xe0"
PROJECTION, KIND, YAW, ROLL = b"\x76\x70", b"\x76\x71", b"\x76\x73", b"\x76\x75"
COLOUR, MASTERING = b"\x55\xb0", b"\x55\xd0"
MAPPING, MAPPING_TYPE, MAPPING_DATA = b"\x41\xe4", b"\x41\xe7", b"\x41\xed"
ATTACHMENTS, ATTACHED, NAME, MIME, DATA, UID = (
    b"\x19\x41\xa4\x69", b"\x61\xa7", b"\x46\x6e", b"\x46\x60", b"\x46\x5c", b"\x46\xae",
)  # fmt: skip
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x53\xab", b"\x53\xac"
CLUSTER = b"\x1f\x43\xb6\x75"
LARGE = 3_000_000


def _element(number: bytes, *parts: bytes, width: int = 8) -> bytes:
    body = b"".join(parts)
    return number + (len(body) | 1 << 7 * width).to_bytes(width, "big") + body


def _file(*parts: bytes) -> bytes:
    return _element(EBML, b"") + _element(SEGMENT, *parts)


def _video(*parts: bytes, kind: int = 1, more: bytes = b"") -> bytes:
    return _element(TRACKS, _element(TRACK, _element(TYPE, bytes([kind])), _element(VIDEO, *parts), more))


def _tracks(data: bytes) -> list[MatroskaVideo]:
    return read_header(RangeReader(BytesSource(data))).video


@pytest.mark.parametrize(
    ("roll", "rotation"), [(90.0, 270), (-90.0, 90), (180.0, 180), (0.0, 0), (45.0, None), (-270.0, 270)]
)
def test_the_roll_of_the_picture_is_its_rotation(roll: float, rotation: int | None) -> None:
    for packed in (struct.pack(">d", roll), struct.pack(">f", roll)):
        assert _tracks(_file(_video(_element(PROJECTION, _element(ROLL, packed))))) == [
            MatroskaVideo(rotation=rotation)
        ]


def test_a_sphere_and_a_mirror_are_no_rotation() -> None:
    roll = _element(ROLL, struct.pack(">d", 90))
    sphere = _element(PROJECTION, _element(KIND, b"\1"), roll)
    mirror = _element(PROJECTION, _element(YAW, struct.pack(">d", 180)), roll)
    assert [_tracks(_file(_video(each)))[0].rotation for each in (sphere, mirror)] == [None, None]


def test_mastering_dolby_vision_and_hdr10_plus_are_named() -> None:
    dvcc = bytes([1, 0, 8 << 1, 6 << 3 | 5, 1 << 4]) + bytes(19)
    dolby = _element(MAPPING, _element(MAPPING_TYPE, b"dvvC"), _element(MAPPING_DATA, dvcc))
    assert _tracks(_file(_video(_element(COLOUR, _element(MASTERING, b"")), more=dolby))) == [
        MatroskaVideo(mastering=True, dolby="Dolby Vision 8.1 level 6")
    ]
    assert _tracks(_file(_video(more=_element(MAPPING, _element(MAPPING_TYPE, b"\4"))))) == [
        MatroskaVideo(dynamic=True)
    ]
    assert _tracks(_file(_video(kind=2))) == []


def test_tracks_behind_the_clusters_are_found_through_the_seek_head() -> None:
    tracks = _video(_element(PROJECTION, _element(ROLL, struct.pack(">d", 180))))
    cluster = _element(CLUSTER, bytes(100_000))
    seek = _element(SEEK_HEAD, _element(SEEK, _element(SEEK_ID, TRACKS), _element(SEEK_POSITION, bytes(8))))
    place = struct.pack(">Q", len(seek) + len(cluster))
    seek = _element(SEEK_HEAD, _element(SEEK, _element(SEEK_ID, TRACKS), _element(SEEK_POSITION, place)))
    assert _tracks(_file(seek, cluster, tracks)) == [MatroskaVideo(rotation=180)]


def test_the_display_size_turns_with_the_picture() -> None:
    found = MediaMetadata(
        video=(VideoTrack(display_width=160, display_height=90, color_transfer="smpte2084", hdr="PQ"),)
    )
    header = read_header(RangeReader(BytesSource(b"")))
    header.video = [MatroskaVideo(rotation=90, mastering=True)]
    track = with_header(found, header).video[0]
    assert (track.display_width, track.display_height, track.rotation, track.hdr) == (90, 160, 90, "HDR10")
    header.video *= 2
    assert with_header(found, header) is found, "tracks that do not match are left alone"


def test_what_was_found_before_the_damage_counts() -> None:
    tracks = _video(_element(PROJECTION, _element(ROLL, struct.pack(">d", 180))))
    assert _tracks(_file(tracks, b"\0" * 40)) == [MatroskaVideo(rotation=180)]


@pytest.mark.parametrize("data", [b"", EBML, EBML + b"\x80" + SEGMENT, _file(b"\0" * 40), _file(TRACKS + b"\xff")])
def test_damage_says_nothing(data: bytes) -> None:
    assert _tracks(data) == []


def _attached(mime: bytes, length: int) -> bytes:
    parts = (_element(NAME, b"a"), _element(MIME, mime), _element(UID, b"\1"), _element(DATA, bytes(length)))
    return _element(ATTACHED, *parts)


def _with_attachments(film: Path, *files: bytes) -> bytes:
    """A film of unknown length with attachments before its first cluster."""
    data = film.read_bytes()
    at = data.index(SEGMENT)
    cluster = data.index(CLUSTER)
    info = data.rindex(
        b"\x15\x49\xa9\x66", 0, cluster
    )  # behind the seek head, whose places would not be right any more
    head = data[:at] + SEGMENT + b"\x01" + b"\xff" * 7
    return head + data[info:cluster] + _element(ATTACHMENTS, *files) + data[cluster:]


@pytest.mark.parametrize(("mime", "cover"), [(b"image/jpeg", True), (b"font/ttf", False)])
def test_large_attachments_are_known_of_and_not_read(
    prober: AvProber, tmp_path: Path, mime: bytes, *, cover: bool
) -> None:
    film = encode(tmp_path / "a.mkv", video="libx264")
    plain = prober.probe(film)
    data = _with_attachments(film, _attached(b"font/ttf", LARGE), _attached(mime, LARGE))
    found = prober.probe_bytes(data, name="a.mkv")
    assert found.error is None
    assert found.has_cover is cover
    assert [attrs.evolve(track, duration=None) for track in found.video] == list(plain.video)
    assert found.duration == plain.duration
    assert (found.bytes_read or 0) < 200_000


def test_a_small_cover_is_left_to_ffmpeg(in_process: AvProber, tmp_path: Path) -> None:
    film = encode(tmp_path / "a.mkv", video="libx264")
    assert in_process.probe(film).has_cover is False
    assert (
        in_process.probe_bytes(_with_attachments(film, _attached(b"image/png", 2_000)), name="a.mkv").has_cover is True
    )


def test_more_attachments_than_are_looked_at_leave_the_cover_open(in_process: AvProber, tmp_path: Path) -> None:
    film = encode(tmp_path / "a.mkv", video="libx264")
    many = _with_attachments(film, *[_attached(b"font/ttf", 20_000)] * 30)
    assert in_process.probe_bytes(many, name="a.mkv").has_cover is None


def test_no_track_of_a_matroska_file_has_a_duration_of_its_own(in_process: AvProber, tmp_path: Path) -> None:
    for name in ("interlaced.mkv", "hevc.mkv", "vp9.webm"):
        found = in_process.probe(make(tmp_path / name, SHAPES[name]))
        assert [track.duration for track in found.video] == [None], name
