"""A large cover is known of and not read."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs
import pytest
from tests.probe.media_files import encode

from media_watch_tasks.probe import AvProber

LARGE = 2_000_000


def _with_flac_picture(data: bytes, length: int) -> bytes:
    picture = struct.pack(">II", 3, 9) + b"image/png" + bytes(20) + struct.pack(">I", length) + bytes(length)
    block = b"\x06" + len(picture).to_bytes(3, "big") + picture
    return data[:4] + bytes([data[4] & 0x7F]) + data[5:42] + block + data[42:]


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _with_id3_picture(data: bytes, length: int, *, version: int) -> bytes:
    if data[:3] == b"ID3":
        data = data[10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)) :]
    body = b"\0image/png\0\3\0" + b"\x89PNG\r\n\x1a\n" + bytes(length)
    if version == 2:
        body = b"\0PNG\3\0" + bytes(length)
        frames = b"PIC" + len(body).to_bytes(3, "big") + body + b"TT2" + (5).to_bytes(3, "big") + b"\0Song"
    else:
        size = _synchsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
        frames = b"APIC" + size + b"\0\0" + body + b"TIT2" + (5).to_bytes(4, "big") + b"\0\0\0Song"
    return b"ID3" + bytes([version, 0, 0]) + _synchsafe(len(frames)) + frames + data


def test_the_cover_of_a_flac(prober: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.flac", video=None, audio="flac").read_bytes()
    found = prober.probe_bytes(_with_flac_picture(data, LARGE), name="a.flac")
    plain = prober.probe_bytes(data, name="a.flac")
    assert (found.has_cover, plain.has_cover) == (True, False)
    assert found.video == ()
    assert (found.audio, found.duration) == (plain.audio, plain.duration)
    assert found.bytes_read is not None
    assert found.bytes_read < 150_000


def _picture(length: int) -> bytes:
    mime = "image/png\0".encode("utf-16-le")
    return b"\3" + struct.pack("<I", length) + mime + b"\0\0" + b"\x89PNG\r\n\x1a\n" + bytes(length - 8)


def _with_asf_picture(data: bytes, length: int, *, record: bool) -> bytes:
    """With a picture in the extended content description, or as a record of the metadata library."""
    name, value = "WM/Picture\0".encode("utf-16-le"), _picture(length)
    if record:
        identity = bytes.fromhex("941c23449894d149a1411d134e457054")
        body = struct.pack("<HHHHHI", 1, 0, 0, len(name), 1, len(value)) + name + value
    else:
        identity = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
        body = struct.pack("<HH", 1, len(name)) + name + struct.pack("<HH", 1, len(value)) + value
    added = identity + struct.pack("<Q", 24 + len(body)) + body
    if record:  # inside the header extension object
        at = data.index(bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365"))
        size, inside = struct.unpack_from("<Q", data, at + 16)[0], struct.unpack_from("<I", data, at + 42)[0]
        head = struct.pack("<Q", size + len(added)) + data[at + 24 : at + 42] + struct.pack("<I", inside + len(added))
        data = data[: at + 16] + head + data[at + 46 : at + size] + added + data[at + size :]
    else:
        data = data[:30] + added + data[30:]
    header, count = struct.unpack_from("<QI", data, 16)
    data = data[:16] + struct.pack("<QI", header + len(added), count + (not record)) + data[28:]
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 40
    return data[:at] + struct.pack("<Q", len(data)) + data[at + 8 :]


@pytest.mark.parametrize(("length", "record"), [(60_000, False), (LARGE, True)])
def test_the_cover_of_an_asf(prober: AvProber, tmp_path: Path, length: int, *, record: bool) -> None:
    data = encode(tmp_path / "a.wmv", video="wmv2", audio="libmp3lame").read_bytes()
    found = prober.probe_bytes(_with_asf_picture(data, length, record=record), name="a.wmv")
    plain = prober.probe_bytes(data, name="a.wmv")
    assert (found.has_cover, plain.has_cover) == (True, False)
    assert (found.video, found.audio, found.duration) == (plain.video, plain.audio, plain.duration)
    assert (found.bytes_read or 0) < 150_000
    small = prober.probe_bytes(_with_asf_picture(data, 2_000, record=record), name="a.wmv")
    assert (small.has_cover, small.video) == (True, plain.video)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_cover_of_an_mp3(prober: AvProber, tmp_path: Path, version: int) -> None:
    data = encode(tmp_path / "a.mp3", video=None, audio="libmp3lame").read_bytes()
    found = prober.probe_bytes(_with_id3_picture(data, LARGE, version=version), name="a.mp3")
    plain = prober.probe_bytes(data, name="a.mp3")
    assert found.has_cover
    assert found.title == "Song", "what stands behind the picture is read"
    assert found.duration == pytest.approx(plain.duration, abs=0.05)
    assert [attrs.evolve(track, bit_rate=None) for track in found.audio] == [
        attrs.evolve(track, bit_rate=None) for track in plain.audio
    ]
    assert found.bytes_read is not None
    assert found.bytes_read < 150_000


def test_a_small_cover_is_left_to_ffmpeg(prober: AvProber, tmp_path: Path) -> None:
    data = encode(tmp_path / "a.mp3", video=None, audio="libmp3lame").read_bytes()
    found = prober.probe_bytes(_with_id3_picture(data, 2_000, version=3), name="a.mp3")
    assert found.has_cover
    assert found.video == ()
