"""The kind of HDR, from headers and from what stands before the first picture."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import av
import pytest
from tests.probe.odd_shapes import HDR10, make, noise

from media_watch_tasks.probe import AvProber
from media_watch_tasks.probe.colour import hdr_name
from media_watch_tasks.probe.frame_hdr import FrameHdr, frame_hdr

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
HDR10_PLUS = bytes.fromhex("b5003c000104") + bytes(range(1, 60))
OTHER_T35 = bytes.fromhex("b500310000") + bytes(20)


def _sei(message: int, body: bytes) -> bytes:
    """A prefix SEI unit of H.265 with start code; `body` holds no emulation prevention and no 0 0 in a row behind 6."""
    payload = bytes([message, len(body)]) + body + b"\x80"
    return b"\0\0\0\1" + bytes([39 << 1, 1]) + payload.replace(b"\0\0", b"\0\0\3")


def _obu(kind: int, body: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(body)]) + body


def _film(path: Path, before: bytes, *, codec: str = "libx265", options: dict[str, str] | None = None) -> Path:
    """A film of PQ whose first packet has units in front."""
    with av.open(str(path), "w", options=options or {}) as container:
        params = "log-level=none:pools=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
        own = {"preset": "ultrafast", "x265-params": params} if codec == "libx265" else {"preset": "12"}
        stream: Any = container.add_stream(codec, rate=25, options=own)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        packets = []
        for number in range(10):
            frame = noise((160, 120), "yuv420p10le", number)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode()]:
            data = bytes(packet)
            if packet.pts == 0:
                data = data[:2] + before + data[2:] if codec == "libsvtav1" else before + data
            out = av.Packet(data)
            out.stream, out.pts, out.dts, out.time_base = stream, packet.pts, packet.dts, packet.time_base
            out.is_keyframe = packet.is_keyframe
            container.mux(out)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "f.mp4"])
def test_mastering_metadata_in_the_stream_makes_pq_hdr10(in_process: AvProber, tmp_path: Path, name: str) -> None:
    options = FRAGMENTED if name == "f.mp4" else {}
    found = in_process.probe(make(tmp_path / name, attrs.evolve(HDR10, options=options)))
    assert [track.hdr for track in found.video] == ["HDR10"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "f.mp4"])
@pytest.mark.parametrize(("body", "hdr"), [(HDR10_PLUS, "HDR10+"), (OTHER_T35, "PQ")], ids=["its own", "other"])
def test_dynamic_metadata_makes_it_hdr10_plus(
    prober: AvProber, tmp_path: Path, name: str, body: bytes, hdr: str
) -> None:
    path = _film(tmp_path / name, _sei(4, body), options=FRAGMENTED if name == "f.mp4" else {})
    found = prober.probe(path)
    assert [(track.codec, track.hdr) for track in found.video] == [("hevc", hdr)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_dynamic_metadata_of_av1(in_process: AvProber, tmp_path: Path, name: str) -> None:
    path = _film(tmp_path / name, _obu(5, b"\4" + HDR10_PLUS + b"\x80"), codec="libsvtav1")
    assert [(track.codec, track.hdr) for track in in_process.probe(path).video] == [("av1", "HDR10+")]


def test_a_film_without_pq_costs_no_look_at_its_frames(in_process: AvProber, clip: Path) -> None:
    found = in_process.probe(clip)
    assert (found.video[0].hdr, found.round_trips) == (None, 1)


def test_names_of_hdr() -> None:
    assert hdr_name("smpte2084", mastering=True, dynamic=True, dolby="Dolby Vision 8.1 level 6") is not None
    assert hdr_name("smpte2084", mastering=True, dynamic=True) == "HDR10+"
    assert hdr_name("smpte2084", mastering=True) == "HDR10"
    assert hdr_name("smpte2084") == "PQ"
    assert hdr_name("arib-std-b67", mastering=True, dynamic=True) == "HLG"
    assert hdr_name("bt709", mastering=True, dynamic=True) is None


def test_metadata_behind_the_picture_does_not_count() -> None:
    picture = b"\0\0\0\1" + bytes([19 << 1, 1]) + b"picture"
    assert frame_hdr("hevc", b"", _sei(4, HDR10_PLUS) + picture) == FrameHdr(dynamic=True)
    assert frame_hdr("hevc", b"", picture + _sei(4, HDR10_PLUS)) == FrameHdr()
    frame = _obu(6, b"picture")
    metadata = _obu(5, b"\2" + bytes(24))
    assert frame_hdr("av1", b"", metadata + frame) == FrameHdr(mastering=True)
    assert frame_hdr("av1", b"", frame + metadata) == FrameHdr()


@pytest.mark.parametrize("codec", ["hevc", "av1"])
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff" * 100, b"\x4e\1" + b"\xff" * 50, b"\0\0\1\x4e\1\4\xff", b"\x2a\xff"]
)
def test_damage_says_nothing(codec: str, data: bytes) -> None:
    for config in (b"", b"\1" + bytes(21) + b"\xff" + b"\xa7\xff\xff\0", b"\1" * 30, b"\x81\0\0\0\x2a"):
        assert frame_hdr(codec, config, data) == FrameHdr()


def test_units_with_lengths_are_found_behind_an_hvcc_box() -> None:
    unit = _sei(137, bytes(range(1, 25)))[4:]
    config = b"\1" + bytes(20) + b"\3" + b"\1" + b"\xa7" + struct.pack(">HH", 1, len(unit)) + unit
    assert frame_hdr("hevc", config, b"") == FrameHdr(mastering=True)
    plain = b"\1" + bytes(20) + b"\3" + b"\0"
    assert frame_hdr("hevc", plain, struct.pack(">I", len(unit)) + unit) == FrameHdr(mastering=True)
