"""Two thousand damaged files: each gives a value, none takes this process, a descriptor or the time limit with it."""

from __future__ import annotations

import io
import os
import random

import pytest
from PIL import Image
from tests.probe.media_files import encode

from media_watch_tasks.model.metadata import Confidence, MediaMetadata
from media_watch_tasks.probe import AvProber
from media_watch_tasks.probe.isolation import InWorkers

SEED = 20_261_120
FILMS: dict[str, tuple[str | None, str | None, dict[str, str]]] = {
    "a.mp4": ("libx264", "aac", {}),
    "f.mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "a.mov": ("libx265", "pcm_s16le", {"movflags": "faststart"}),
    "a.mkv": ("libx264", "flac", {}),
    "a.webm": ("libvpx-vp9", "libopus", {}),
    "a.avi": ("mpeg4", "libmp3lame", {}),
    "a.ts": ("libx264", "aac", {}),
    "a.mpg": ("mpeg2video", "mp2", {}),
    "a.flv": ("libx264", "aac", {}),
    "a.mxf": ("mpeg2video", "pcm_s16le", {}),
    "a.mp3": (None, "libmp3lame", {}),
    "a.flac": (None, "flac", {}),
    "a.wav": (None, "pcm_s16le", {}),
    "a.ogg": (None, "libopus", {}),
    "a.wmv": ("wmv2", "libmp3lame", {}),
    "a.wv": (None, "wavpack", {}),
    "a.tta": (None, "tta", {}),
    "a.caf": (None, "pcm_s16be", {}),
}
STILLS = {"a.jpg": "JPEG", "a.png": "PNG", "a.webp": "WEBP", "a.tif": "TIFF", "a.gif": "GIF", "a.avif": "AVIF"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    files = {
        name: encode(folder / name, video=video, audio=audio, seconds=1, options=options).read_bytes()
        for name, (video, audio, options) in FILMS.items()
    }
    for name, form in STILLS.items():
        target = io.BytesIO()
        Image.effect_noise((200, 100), 60).convert("RGB").save(target, form)
        files[name] = target.getvalue()
    return files


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut off, flipped, overwritten, with a part gone or twice there."""
    kind = draw.randrange(6)
    start = draw.randrange(len(data)) if draw.random() < 0.5 else draw.randrange(min(len(data), 600))
    length = draw.randrange(1, 1 << draw.randrange(1, 12))
    if kind == 0:
        return data[:start]
    if kind == 1:
        flipped = bytearray(data)
        for _ in range(draw.randrange(1, 40)):
            place = draw.randrange(len(data)) if draw.random() < 0.3 else draw.randrange(min(len(data), 2_000))
            flipped[place] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    if kind == 2:
        return data[:start] + draw.randbytes(length) + data[start + length :]
    if kind == 3:
        return data[:start] + data[start + length :]
    if kind == 4:
        return data[:start] + data[start : start + length] * 2 + data[start + length :]
    extreme = draw.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1"])
    return data[:start] + extreme + data[start + 4 :]


def _storm(prober: AvProber, whole: dict[str, bytes], *, count: int, seed: int) -> list[MediaMetadata]:
    draw = random.Random(seed)
    names = sorted(whole)
    cases = [(name, damaged(whole[name], draw)) for name in (draw.choice(names) for _ in range(count))]
    found = [prober.probe_bytes(data, name=name) for name, data in cases]
    for (_, data), each in zip(cases, found, strict=True):
        assert each.size in {len(data), None}
        assert each.error is not None or each.video or each.audio or each.subtitles or each.container
    return found


def test_two_thousand_damaged_files_in_workers(whole: dict[str, bytes]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with AvProber(workers=1, timeout=10) as prober:
        found = _storm(prober, whole, count=2_000, seed=SEED)
        assert isinstance(prober._way, InWorkers)
        assert prober._way.pool.started <= 1 + len(prober._way.quarantine) + 1, "a worker is replaced only for a reason"
        timed_out = [each.error for each in found if "longer than" in (each.error or "")]
        assert timed_out == []
    assert len(os.listdir("/proc/self/fd")) == before
    described = sum(each.error is None for each in found)
    assert 200 < described < 1_900, "the damage is neither fatal nor harmless everywhere"


def test_damaged_files_give_the_same_answer_in_this_process(whole: dict[str, bytes], in_process: AvProber) -> None:
    _storm(in_process, whole, count=300, seed=SEED + 1)


@pytest.mark.long
def test_a_long_storm(whole: dict[str, bytes]) -> None:
    with AvProber(workers=2, timeout=10) as prober:
        for number in range(10):
            _storm(prober, whole, count=2_000, seed=SEED + 2 + number)


def test_no_film_that_was_cut_off_is_described_as_whole(whole: dict[str, bytes], in_process: AvProber) -> None:
    """A cut-off view lies: the true size is known, so an answer that rests on the view must say so."""
    lies: list[str] = []
    for name in FILMS:
        data = whole[name]
        full = in_process.probe_bytes(data, name=name)
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            part = in_process.probe_bytes(data[: int(len(data) * share)], size=len(data), name=name)
            wrong = part.error is None and (
                (part.duration or 0) != pytest.approx(full.duration or 0, rel=0.01, abs=0.1)
                or [(v.codec, v.width, v.height) for v in part.video]
                != [(v.codec, v.width, v.height) for v in full.video]
            )
            if wrong and part.confidence is Confidence.EXACT:
                lies.append(f"{name} {share}: {part.duration} instead of {full.duration}")
    assert lies == []


def test_the_seed_files_are_whole(whole: dict[str, bytes], in_process: AvProber) -> None:
    assert [name for name, data in whole.items() if in_process.probe_bytes(data, name=name).error] == []
