"""Files of odd shapes are described as a full read describes them, from a part of their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import av
import pytest
from tests.probe.odd_shapes import SHAPES, make

from media_watch_tasks.model.metadata import Confidence
from media_watch_tasks.probe import AvProber

NO_COUNT = {"no count of frames.mp3", "frames.aac", "frames.ac3", "smooth streaming.ismv"}
"""Nothing in them says how long they are."""
HEADER_DISAGREES = {"starts late.mkv", "sound.wv"}
"""A full read says what the header says; the packets last another time."""
DECLARED = (".mkv", ".webm", ".avi", ".asf", ".nut", ".wav", ".w64", ".aiff", ".caf", ".au")
"""Their headers declare every track, so that little more than the header is read."""
SOUGHT_FROM_THE_END = "fragments without random access index.mp4"
NO_DURATION = "live.mkv"


@attrs.frozen
class Truth:
    """What PyAV says after opening a file by its path and reading every packet."""

    video: list[tuple[str, int, int]]
    audio: list[str]
    duration: float | None
    packets: float


def _full_read(path: Path) -> Truth:
    with av.open(str(path)) as container:
        first, last = float("inf"), 0.0
        for packet in container.demux():
            if packet.pts is not None and packet.size and packet.time_base is not None:
                first = min(first, float(packet.pts * packet.time_base))
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        return Truth(
            [(each.codec_context.codec.canonical_name, each.width, each.height) for each in container.streams.video],
            [each.codec_context.codec.canonical_name for each in container.streams.audio],
            container.duration / 1e6 if container.duration else None,
            last - first,
        )


def _same_time(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= max(0.1, 0.01 * other)


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("shape") / request.param, SHAPES[request.param])


def test_it_is_described_as_a_full_read_describes_it(in_process: AvProber, shape: Path) -> None:
    found, truth = in_process.probe(shape), _full_read(shape)
    assert found.error is None
    assert [(track.codec, track.width, track.height) for track in found.video] == truth.video
    assert [track.codec for track in found.audio] == truth.audio
    if shape.name == NO_DURATION:
        assert found.duration is truth.duration is None
        return
    assert _same_time(found.duration, truth.duration)
    assert (found.confidence is Confidence.EXACT) == (shape.name not in NO_COUNT)
    if found.confidence is Confidence.EXACT and shape.name not in HEADER_DISAGREES:
        assert _same_time(found.duration, truth.packets)


def test_what_is_read_does_not_grow_with_a_film_whose_header_declares_its_tracks(
    in_process: AvProber, shape: Path
) -> None:
    found = in_process.probe(shape)
    if shape.name == SOUGHT_FROM_THE_END:
        return
    if shape.suffix in DECLARED or found.method == "overlay":
        assert (found.bytes_read or 0) <= 400_000, "half a second of noise at most"


def test_a_track_that_starts_late_costs_no_reading_of_the_tables(in_process: AvProber, tmp_path: Path) -> None:
    for name in ("the picture starts late.mp4", "the sound starts late.mp4"):
        assert in_process.probe(make(tmp_path / name, SHAPES[name])).method == "overlay", name


def test_the_shape_of_a_picture_is_known(in_process: AvProber, tmp_path: Path) -> None:
    def only(name: str) -> Any:
        return in_process.probe(make(tmp_path / name.replace("/", " "), SHAPES[name])).video[0]

    for name, rotation in (("turned.mp4", 270), ("turned.mkv", 90)):
        track = only(name)
        assert (track.width, track.height, track.rotation) == (160, 120, rotation)
        assert (track.display_width, track.display_height) == (120, 160)
    for name in ("stretched.mp4", "stretched.mkv", "stretched.ts"):
        track = only(name)
        assert (track.sample_aspect_ratio, track.display_width, track.display_height) == ("64:45", 228, 120), name
        assert track.display_aspect_ratio == "19:10", name
    for name in ("interlaced.mp4", "interlaced.mkv", "interlaced.ts"):
        assert only(name).field_order != "progressive", name


@pytest.mark.parametrize("suffix", ["mkv", "avi", "asf", "nut", "mp4"])
def test_a_sound_that_starts_behind_what_is_read_is_described_by_the_header(
    in_process: AvProber, tmp_path: Path, suffix: str
) -> None:
    shape = attrs.evolve(SHAPES["the sound starts late.mp4"], starts=(0.0, 2.0), seconds=4)
    found = in_process.probe(make(tmp_path / f"a.{suffix}", shape))
    assert [(track.codec, track.channels, track.sample_rate, track.profile) for track in found.audio] == [
        ("aac", 2, 48_000, "LC")
    ]
    assert found.duration == pytest.approx(6, abs=0.1)
