"""The index overlay says what a full reading says, reads little, and steps back where it cannot know."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import av
import pytest
from tests.probe.boxes_made import box, full_box, large_box, replace_box
from tests.probe.media_files import encode, encode_silence, inflate, long_recording, top_level

from media_watch_tasks.model.metadata import Confidence, MediaMetadata
from media_watch_tasks.probe import AvProber, BytesSource

STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


@pytest.fixture(scope="module")
def plain() -> AvProber:
    return AvProber(isolation="none", overlay=False)


VARIANTS: dict[str, dict[str, object]] = {
    "h264 and aac, index last": {"video": "libx264"},
    "h264 and aac, index first": {"video": "libx264", "options": {"movflags": "faststart"}},
    "hevc": {"video": "libx265", "audio": "alac"},
    "av1": {"video": "libsvtav1", "audio": None},
    "vp9": {"video": "libvpx-vp9", "audio": "libopus"},
    "prores": {"video": "prores_ks", "audio": "pcm_s24le", "pixel_format": "yuv422p10le"},
    "ten bit": {"video": "libx264", "pixel_format": "yuv420p10le"},
    "4:4:4": {"video": "libx264", "pixel_format": "yuv444p"},
    "odd size": {"video": "libx264", "size": (98, 54)},
    "sound alone": {"video": None},
    "fragmented": {"video": "libx264", "options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}},
    "fragmented with index": {"video": "libx264", "options": {"movflags": "dash+frag_keyframe+global_sidx"}},
}
SUFFIX = {"prores": "mov", "hevc": "mov", "sound alone": "m4a"}
READ_BOTH_WAYS = ("codec", "width", "height", "display_width", "display_height", "rotation", "pixel_format",
                  "bit_depth", "profile", "level", "sample_aspect_ratio", "color_primaries", "codec_tag")  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_says_what_a_full_reading_says(tmp_path: Path, in_process: AvProber, plain: AvProber, variant: str) -> None:
    path = encode(tmp_path / f"a.{SUFFIX.get(variant, 'mp4')}", seconds=3, **VARIANTS[variant])  # type: ignore[arg-type] # a table of keywords
    quick, full = in_process.probe(path), plain.probe(path)
    assert (quick.method, full.method) == ("overlay", "range")
    assert quick.duration == pytest.approx(full.duration, abs=0.05)
    for name in READ_BOTH_WAYS:
        # vp9 and prores tell their pixel format, profile and level in their packets alone.
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(quick.video, full.video, strict=True)]
        assert all(a == b or a is None for a, b in pairs), (name, pairs)
    for quick_track, full_track in zip(quick.audio, full.audio, strict=True):
        for name in ("codec", "channels", "sample_rate", "layout", "bit_depth"):
            assert getattr(quick_track, name) == getattr(full_track, name), name
    assert (quick.tags, quick.chapters, quick.created) == (full.tags, full.chapters, full.created)


def test_frame_rate_and_number_of_frames_come_from_the_tables(tmp_path: Path, in_process: AvProber) -> None:
    track = in_process.probe(encode(tmp_path / "a.mp4", video="libx264", seconds=4)).video[0]
    assert (track.frames, track.average_frame_rate, track.real_frame_rate) == (100, 25.0, 25.0)


@pytest.mark.parametrize("index_last", [True, False])
def test_a_large_file_costs_two_small_reads(
    tmp_path: Path, in_process: AvProber, clip: Path, *, index_last: bool
) -> None:
    source = clip
    if not index_last:
        source = encode(tmp_path / "first.mp4", video="libx264", options={"movflags": "faststart"})
    assert inflate(source, tmp_path / "large.mp4", size=500_000_000, index_last=index_last)
    found, small = in_process.probe(tmp_path / "large.mp4"), in_process.probe(source)
    assert found.bytes_read is not None
    assert found.bytes_read <= 90_000
    assert found.round_trips == 1
    differ: dict[str, Any] = {"size": None, "bytes_read": None, "round_trips": None, "bit_rate": None}
    assert attrs.evolve(found, **differ) == attrs.evolve(small, **differ)


def test_sizes_over_four_gigabytes(tmp_path: Path, in_process: AvProber, clip: Path) -> None:
    kinds = {kind: (start, end) for kind, start, end in top_level(clip)}
    data = clip.read_bytes()
    head = data[: kinds[b"mdat"][0]]
    moov = data[slice(*kinds[b"moov"])]
    huge = 6_000_000_000
    path = tmp_path / "huge.mp4"
    with path.open("wb") as file:
        file.write(head + large_box(b"mdat", b"", size=huge))
        file.seek(len(head) + 16 + huge)
        file.write(moov)
    found = in_process.probe(path)
    assert found.method == "overlay"
    assert found.size == len(head) + 16 + huge + len(moov)
    assert found.video == in_process.probe(clip).video
    assert found.round_trips == 1


@pytest.mark.parametrize("layout", ["last", "first", "fragmented"])
def test_a_long_recording_costs_no_more_than_two_hundred_kilobytes(
    tmp_path: Path, in_process: AvProber, layout: str
) -> None:
    template = encode(tmp_path / "t.mp4", video="libx264", seconds=2)
    flags = {"first": "faststart", "fragmented": "frag_keyframe+empty_moov+default_base_moof"}
    options = {"movflags": flags[layout]} if layout in flags else {}
    hours = 1.0  # the tables are longer than every read of them already; the benchmark makes the ten hours
    path = long_recording(tmp_path / "long.mp4", hours=hours, template=template, options=options)
    found = in_process.probe(path)
    assert found.duration == pytest.approx(hours * 3600, abs=0.2)
    assert found.method == "overlay"
    assert found.confidence is Confidence.EXACT
    assert found.bytes_read is not None
    assert found.bytes_read <= 200_000


def _describe(data: bytes, prober: AvProber) -> MediaMetadata:
    return prober.probe(BytesSource(data), name="a.mp4")


def _with_duration(data: bytes, ticks: int) -> bytes:
    at = data.index(b"mvhd") + 4
    return data[: at + 16] + struct.pack(">I", ticks) + data[at + 20 :]


def test_what_stands_behind_the_index_does_not_matter(clip: Path, in_process: AvProber) -> None:
    for garbage in (b"\0", b"\xff" * 5_000, b"no box at all" * 10):
        found = _describe(clip.read_bytes() + garbage, in_process)
        assert (found.method, found.confidence) == ("overlay", Confidence.EXACT)


def test_without_a_movie_duration_the_longest_track_counts(clip: Path, in_process: AvProber) -> None:
    found = _describe(_with_duration(clip.read_bytes(), 0), in_process)
    assert found.duration == pytest.approx(2.0, abs=0.1)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "the picture size contradicts the parameter sets": lambda data: _patch_entry(data, b"avc1", 24, b"\1\0\1\0"),
    "no configuration of the codec": lambda data: data.replace(b"avcC", b"xxxC"),
    "a codec whose packets name the size": lambda data: data.replace(b"avc1", b"s263"),
    "a table that ends outside of its parent": lambda data: data.replace(
        _size_of(data, b"stsz"), b"\x7f\xff\xff\xffstsz"
    ),
    "a track without handler": lambda data: data.replace(b"hdlr", b"xdlr", 1),
    "a huge sample description": lambda data: data.replace(_size_of(data, b"stsd"), b"\x00\xff\xff\xffstsd"),
    "a box of an impossible size": lambda data: data.replace(_size_of(data, b"minf"), b"\0\0\0\3minf"),
}


def _size_of(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    return data[at - 4 : at + 4]


def _patch_entry(data: bytes, kind: bytes, at: int, new: bytes) -> bytes:
    start = data.rindex(kind) + 4 + at
    return data[:start] + new + data[start + len(new) :]


@pytest.mark.parametrize("fault", BROKEN)
def test_it_steps_back_where_it_cannot_know(clip: Path, in_process: AvProber, plain: AvProber, fault: str) -> None:
    data = BROKEN[fault](clip.read_bytes())
    assert data != clip.read_bytes(), "the fault was planted"
    quick, full = _describe(data, in_process), _describe(data, plain)
    assert quick.method == "range"
    assert [(track.codec, track.width, track.height) for track in quick.video] == [
        (track.codec, track.width, track.height) for track in full.video
    ]
    assert quick.duration == full.duration


def test_low_rate_aac_is_read_in_full(tmp_path: Path, in_process: AvProber) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=22_050)
        sound.layout = "mono"
        encode_silence(container, sound, seconds=1)
    found = in_process.probe(path)
    assert found.method == "range"
    assert (found.audio[0].sample_rate, found.audio[0].channels) == (22_050, 1)


def test_a_large_cover_is_not_read(clip: Path, in_process: AvProber) -> None:
    data = clip.read_bytes()
    cover = box(b"covr", full_box(b"data", bytes(4), b"\xff\xd8\xff" + bytes(400_000), flags=13))
    meta = full_box(b"meta", box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", cover))
    moov = next(data[start:end] for kind, start, end in top_level(clip) if kind == b"moov")
    larger = replace_box(moov, (b"moov", b"udta"), None) if b"udta" in moov else moov
    data = data.replace(moov, box(b"moov", larger[8:], box(b"udta", meta)))
    found = _describe(data, in_process)
    assert found.has_cover
    assert found.method == "overlay"
    assert len(found.video) == 1, "a cover is no video track"
    assert found.bytes_read is not None
    assert found.bytes_read < 120_000


def test_chapters_of_a_text_track_are_read_in_one_round_trip(tmp_path: Path, in_process: AvProber) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48_000)
        sound.layout = "stereo"
        container.set_chapters(
            [
                {"id": n, "start": n, "end": n + 1, "time_base": Fraction(1, 1), "metadata": {"title": f"Part {n}"}}
                for n in range(5)
            ]
        )
        encode_silence(container, sound, seconds=5)
    data = path.read_bytes()
    assert b"chap" in data, "the writer made a text track"
    found = _describe(data.replace(b"chpl", b"xxxx"), in_process)
    assert found.method == "overlay"
    assert [(chapter.start, chapter.title) for chapter in found.chapters] == [(n, f"Part {n}") for n in range(5)]


def test_an_init_segment_has_no_duration(tmp_path: Path, in_process: AvProber) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = encode(tmp_path / "a.mp4", video="libx264", options=flags)
    first = next(start for kind, start, _ in top_level(path) if kind == b"moof")
    found = _describe(path.read_bytes()[:first], in_process)
    assert found.duration is None
    assert found.video[0].codec == "h264"


def test_a_fragmented_file_that_was_cut_off_is_no_exact_answer(tmp_path: Path, in_process: AvProber) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = encode(tmp_path / "a.mp4", video="libx264", options=flags, seconds=20, size=(320, 240))
    data = path.read_bytes()
    found = _describe(data[: len(data) // 2], in_process)
    assert found.confidence is not Confidence.EXACT or found.duration is None
