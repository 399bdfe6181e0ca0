"""A film that was cut off, or is still being written, says so: its header names the length that was meant."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import attrs
import av
import pytest
from tests.probe.boxes_made import box, full_box, replace_box
from tests.probe.media_files import encode, top_level
from tests.probe.odd_shapes import SHAPES, Shape, make

from media_watch_tasks.model.metadata import Confidence
from media_watch_tasks.probe import AvProber, BytesSource, RangeReader
from media_watch_tasks.probe.truncation import is_cut_off

JUNK = random.Random(5).randbytes(5_000)
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
NAMES_ITS_LENGTH: dict[str, tuple[str | None, str | None, dict[str, str]]] = {
    "a.mp4": ("libx264", "aac", {"movflags": "faststart"}),
    "f.mp4": ("libx264", "aac", FRAGMENTED),
    "a.mkv": ("libx264", "aac", {}),
    "a.webm": ("libvpx-vp9", "libopus", {}),
    "a.avi": ("mpeg4", "libmp3lame", {}),
    "a.flv": ("libx264", "aac", {}),
    "a.mxf": ("mpeg2video", "pcm_s16le", {}),
    "a.wmv": ("wmv2", "libmp3lame", {}),
    "a.wav": (None, "pcm_s16le", {}),
    "a.aiff": (None, "pcm_s16be", {}),
    "a.au": (None, "pcm_s16be", {}),
    "a.mp3": (None, "libmp3lame", {}),
}


@pytest.fixture(scope="module", params=NAMES_ITS_LENGTH)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    video, audio, options = NAMES_ITS_LENGTH[request.param]
    path = tmp_path_factory.mktemp("films") / request.param
    return encode(path, video=video, audio=audio, seconds=4, size=(320, 240), options=options)


def test_a_whole_film_is_exact(in_process: AvProber, film: Path) -> None:
    found = in_process.probe(film)
    assert (found.confidence, found.warnings) == (Confidence.EXACT, ())
    assert found.duration == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_a_film_that_was_cut_off_says_so(in_process: AvProber, film: Path, share: float) -> None:
    data = film.read_bytes()
    found = in_process.probe_bytes(data[: int(len(data) * share)], name=film.name)
    assert found.error is None
    assert found.confidence is Confidence.PARTIAL
    assert any("cut off, or is still being written" in warning for warning in found.warnings)


SOUNDS = {
    "a.flac": Shape(audio="flac", seconds=4),
    "high.flac": Shape(audio="flac", seconds=3, sound_rate=192_000),
    "a.tta": Shape(audio="tta", seconds=4),
    "a.wv": Shape(audio="wavpack", seconds=4),
    "a.caf": Shape(audio="pcm_s16be", seconds=4),
    "a.w64": Shape(audio="pcm_s16le", seconds=4),
    "a.wav": Shape(audio="pcm_s16le", seconds=4, options={"rf64": "always"}),
    "a.gxf": Shape(video="mpeg2video", size=(720, 576), audio="pcm_s16le", layout="mono", seconds=0.4),
    "indexed.mp4": Shape(
        video="libx264",
        codec={"preset": "ultrafast", "g": "10"},
        options={"movflags": "dash+frag_keyframe+empty_moov+global_sidx"},
    ),
}


@pytest.fixture(scope="module", params=SOUNDS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sounds") / request.param, SOUNDS[request.param])


def test_a_whole_sound_is_exact(in_process: AvProber, sound: Path) -> None:
    found = in_process.probe(sound)
    assert (found.confidence, found.warnings) == (Confidence.EXACT, ())


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_a_sound_that_was_cut_off_says_so(in_process: AvProber, sound: Path, share: float) -> None:
    data = sound.read_bytes()
    found = in_process.probe_bytes(data[: int(len(data) * share)], name=sound.name)
    assert found.error is None
    assert found.confidence is Confidence.PARTIAL


@pytest.mark.parametrize(
    "head", [b"\xff\xf8\xc9\x08\xff", b"\xff\xf8\xc9\x08\xbf", b"\xff\xf8\xff\xff\xff", b"\xff\xf8"]
)
def test_what_only_looks_like_the_last_frame_of_a_flac_says_nothing(head: bytes) -> None:
    info = struct.pack(">4sIHH3s3sQ", b"fLaC", 34, 4096, 4096, b"", b"", 48_000 << 44 | 10_000_000) + bytes(16)
    assert not is_cut_off(RangeReader(BytesSource(info + bytes(50_000) + head + bytes(11))))


def _dsd_stream(size: int) -> bytes:
    form = struct.pack("<4sQIIIIIIQI4x", b"fmt ", 52, 1, 0, 2, 2, 2_822_400, 1, 4_096 * 8, 4_096)
    data = struct.pack("<4sQ", b"data", 12 + 8_192) + bytes(8_192)
    return struct.pack("<4sQQQ", b"DSD ", 28, size, 0) + form + data


def test_headers_that_name_the_size_of_the_file_are_believed() -> None:
    def is_cut(data: bytes) -> bool:
        return is_cut_off(RangeReader(BytesSource(data)))

    assert [is_cut(_dsd_stream(size)) for size in (8_284, 8_285)] == [False, True]
    assert [is_cut(b"FRM8" + struct.pack(">Q", size) + bytes(88)) for size in (88, 200)] == [False, True]
    monkey = b"MAC " + struct.pack("<HH7I", 3_990, 0, 52, 24, 0, 44, 0, 0, 0)
    assert [is_cut(monkey + bytes(length)) for length in (100, 20)] == [False, True]
    assert [is_cut(b"MPCK" + bytes(100) + end) for end in (b"SE\3", b"")] == [False, True]


@pytest.mark.parametrize("name", ["a.flac", "a.tta", "a.wv", "a.caf", "a.gxf"])
def test_a_head_alone_says_nothing_that_is_no_damage(in_process: AvProber, tmp_path: Path, name: str) -> None:
    data = make(tmp_path / name, SOUNDS[name]).read_bytes()
    for length in (4, 20, 40, 70):
        found = in_process.probe_bytes(data[:length], name=name)
        assert "parser failed" not in (found.error or "")
        assert found.error is not None or found.confidence is not Confidence.EXACT or found.duration is None


def test_an_mp4_whose_index_is_cut_off_says_so(in_process: AvProber, tmp_path: Path) -> None:
    shape = attrs.evolve(SHAPES["four sounds.mp4"], seconds=6, options={"movflags": "faststart"})
    data = make(tmp_path / "a.mp4", shape).read_bytes()
    start, end = next((start, end) for kind, start, end in top_level(tmp_path / "a.mp4") if kind == b"moov")
    found = in_process.probe_bytes(data[: (start + end) // 2], name="a.mp4")
    assert found.error is not None or found.confidence is Confidence.PARTIAL


def test_an_init_segment_that_names_a_duration_is_an_estimate(in_process: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, seconds=1, options=FRAGMENTED)
    data = path.read_bytes()[: next(start for kind, start, _ in top_level(path) if kind == b"moof")]
    at = data.index(b"mvhd") + 20
    assert in_process.probe_bytes(data, name="a.mp4").duration is None
    found = in_process.probe_bytes(data[:at] + struct.pack(">I", 60_000) + data[at + 4 :], name="a.mp4")
    assert (found.duration, found.confidence) == (60.0, Confidence.ESTIMATED)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_movie_that_contradicts_its_tracks_is_left_to_ffmpeg(
    in_process: AvProber, tmp_path: Path, factor: float
) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, options={"use_editlist": "0"})
    data = path.read_bytes()
    at = data.index(b"mvhd") + 20
    named = struct.pack(">I", round(int.from_bytes(data[at : at + 4], "big") * factor))
    found = in_process.probe_bytes(data[:at] + named + data[at + 4 :], name="a.mp4")
    assert (in_process.probe(path).method, found.method) == ("overlay", "range")
    assert found.duration == pytest.approx(2.0, abs=0.1)


def test_an_index_whose_samples_are_not_there_says_so(in_process: AvProber, clip: Path) -> None:
    boxes = {kind: clip.read_bytes()[start:end] for kind, start, end in top_level(clip)}
    without_media = boxes[b"ftyp"] + boxes[b"moov"] + box(b"mdat")
    assert in_process.probe_bytes(without_media, name="a.mp4").confidence is Confidence.PARTIAL


def test_samples_that_are_larger_than_the_file_are_not_there(in_process: AvProber, clip: Path) -> None:
    data = clip.read_bytes()
    at = data.index(b"stsz") + 8
    found = in_process.probe_bytes(data[:at] + struct.pack(">I", 1_000_000) + data[at + 4 :], name="a.mp4")
    assert (found.method, found.confidence) == ("overlay", Confidence.PARTIAL)


def test_a_fragmented_recording_that_stopped_is_known_up_to_its_last_fragment(
    in_process: AvProber, tmp_path: Path
) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, seconds=30, options=FRAGMENTED)
    starts = [start for kind, start, _ in top_level(path) if kind == b"moof"]
    assert len(starts) >= 3
    found = in_process.probe_bytes(path.read_bytes()[: starts[2] - 100], name="a.mp4")
    whole = in_process.probe_bytes(path.read_bytes()[: starts[2]], name="a.mp4")
    assert whole.duration == found.duration == pytest.approx(20, abs=0.1), "a key frame each ten seconds"
    assert (whole.confidence, found.confidence) == (Confidence.EXACT, Confidence.PARTIAL)


def test_junk_behind_the_last_fragment_leaves_an_estimate(in_process: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, seconds=4, options=FRAGMENTED)
    (*_, (kind, at, _)) = top_level(path)
    data = path.read_bytes()
    found = in_process.probe_bytes(data[:at] + JUNK if kind == b"mfra" else data + JUNK, name="a.mp4")
    assert found.duration == pytest.approx(4, abs=0.1)
    assert found.confidence is Confidence.ESTIMATED


def test_fragments_behind_an_index_with_samples_count(in_process: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, seconds=30, options={"movflags": "frag_keyframe"})
    assert any(kind == b"moof" for kind, _, _ in top_level(path))
    found = in_process.probe(path)
    assert found.duration == pytest.approx(30, abs=0.2)
    assert found.confidence is Confidence.EXACT


def test_a_segment_that_names_the_duration_of_the_whole_is_an_estimate(in_process: AvProber, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", video="libx264", audio=None, seconds=4, options=FRAGMENTED)
    data = path.read_bytes()
    at = data.index(b"mvhd") + 16
    scale = int.from_bytes(data[at : at + 4], "big")
    found = in_process.probe_bytes(data[: at + 4] + struct.pack(">I", 600 * scale) + data[at + 8 :], name="a.mp4")
    assert found.duration == pytest.approx(600)
    assert found.confidence is Confidence.ESTIMATED


def _with_late_start(data: bytes, *, ticks: int) -> bytes:
    at = data.index(b"elst") - 4
    assert struct.unpack_from(">I", data, at + 12) == (1,), "one edit"
    edits = full_box(b"elst", struct.pack(">I", 2), struct.pack(">IiI", ticks, -1, 1 << 16), data[at + 16 : at + 28])
    return replace_box(data, (b"moov", b"trak", b"edts", b"elst"), edits)


def test_a_film_that_starts_late_lasts_as_long_as_a_full_reading_says(in_process: AvProber, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(_with_late_start(encode(path, video="libx264", audio=None).read_bytes(), ticks=1_500))
    with av.open(str(path)) as container:
        truth = (container.duration or 0) / 1e6
    found = in_process.probe(path)
    assert found.method == "range"
    assert found.duration == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("gone", [b"stts", b"stsc", b"stsz", b"stco"])
def test_a_track_without_one_of_its_tables_is_left_to_ffmpeg(in_process: AvProber, clip: Path, gone: bytes) -> None:
    found = in_process.probe_bytes(clip.read_bytes().replace(gone, b"xxxx", 1), name="a.mp4")
    assert found.method != "overlay"


def test_a_table_that_is_shorter_than_it_says_is_left_to_ffmpeg(in_process: AvProber, clip: Path) -> None:
    data = clip.read_bytes()
    at = data.index(b"stsc") + 8
    assert in_process.probe_bytes(data[:at] + b"\0\xff\0\0" + data[at + 4 :], name="a.mp4").method != "overlay"


def test_an_avi_whose_writer_never_came_back_is_an_estimate(in_process: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.avi", audio="libmp3lame").read_bytes()
    at = data.index(b"avih") + 8 + 16
    found = in_process.probe_bytes(data[:at] + bytes(4) + data[at + 4 :], name="a.avi")
    assert found.confidence is Confidence.ESTIMATED


def test_an_mp3_whose_frames_do_not_match_its_count_is_an_estimate(in_process: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mp3", video=None, audio="libmp3lame").read_bytes()
    assert in_process.probe_bytes(data, name="a.mp3").confidence is Confidence.EXACT
    at = max(data.find(b"Info"), data.find(b"Xing"))
    wrong = data[: at + 8] + struct.pack(">I", 100_000) + data[at + 12 :]
    assert in_process.probe_bytes(wrong, name="a.mp3").confidence is Confidence.ESTIMATED
