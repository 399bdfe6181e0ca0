"""Stills: sizes, cameras, dates and places, read from headers."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageOps
from tests.probe.boxes_made import box, full_box

from media_watch_tasks.probe import AvProber

GPS = {1: "N", 2: (48.0, 51.0, 27.72), 3: "W", 4: (2.0, 17.0, 42.0), 5: b"\0", 6: 35.0}


def _exif(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F], exif[0x0110] = "Canon", "EOS R5"
    exif[0x0132] = "2024:05:06 07:08:10"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x9011], details[0x9291] = "2024:05:06 07:08:09", "+02:00", "25"
    details[0xA434] = "RF24-70mm"
    exif.get_ifd(0x8825).update(GPS)
    return exif.tobytes()


def _picture(size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, 77)


def _saved(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    target = io.BytesIO()
    (image or _picture()).save(target, form, **options)
    return target.getvalue()


FORMATS = {
    "jpg": ("JPEG", "mjpeg"),
    "png": ("PNG", "png"),
    "webp": ("WEBP", "webp"),
    "tif": ("TIFF", "tiff"),
    "gif": ("GIF", "gif"),
    "bmp": ("BMP", "bmp"),
    "jp2": ("JPEG2000", "jpeg2000"),
    "avif": ("AVIF", "av1"),
}


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("size", [(48, 32), (33, 57), (1, 1), (3000, 17)])
def test_the_size_is_that_of_the_picture(prober: AvProber, extension: str, size: tuple[int, int]) -> None:
    form, codec = FORMATS[extension]
    found = prober.probe_bytes(_saved(form, _picture(size)), name=f"a.{extension}")
    assert found.error is None
    assert [(track.codec, track.width, track.height) for track in found.video] == [(codec, *size)]
    assert found.duration is None
    assert found.method == "header"


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "avif"])
def test_camera_date_and_place(prober: AvProber, extension: str) -> None:
    data = _saved(FORMATS[extension][0], exif=_exif())
    found = prober.probe_bytes(data, name=f"a.{extension}")
    assert (found.make, found.model) == ("Canon", "EOS R5")
    if extension != "tif":  # Pillow writes no sub-directories into a TIFF
        assert found.created == "2024-05-06T07:08:09.25+02:00"
        assert found.lens == "RF24-70mm"
        assert found.gps is not None
        assert found.gps.latitude == pytest.approx(48.8577, abs=1e-4)
        assert found.gps.longitude == pytest.approx(-2.295, abs=1e-4)
        assert found.gps.altitude == 35.0


@pytest.mark.parametrize(
    ("orientation", "rotation", "shown"), [(1, 0, (48, 32)), (3, 180, (48, 32)), (6, 90, (32, 48)), (8, 270, (32, 48))]
)
def test_orientation(prober: AvProber, orientation: int, rotation: int, shown: tuple[int, int]) -> None:
    track = prober.probe_bytes(_saved("JPEG", exif=_exif(orientation)), name="a.jpg").video[0]
    assert (track.width, track.height, track.rotation) == (48, 32, rotation)
    assert (track.display_width, track.display_height) == shown


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animations_have_frames_and_a_duration(prober: AvProber, form: str) -> None:
    frames = [_picture(mode="RGB") for _ in range(5)]
    for number, frame in enumerate(frames):
        frame.putpixel((number, 0), (255, 0, 0))
    data = _saved(form, frames[0], save_all=True, append_images=frames[1:], duration=200)
    found = prober.probe_bytes(data, name=f"a.{form.lower()}")
    assert found.video[0].frames == 5
    assert found.duration == pytest.approx(1.0)
    assert found.video[0].average_frame_rate == pytest.approx(5.0)


def test_heic_with_its_exif_and_without_decoding(prober: AvProber) -> None:
    target = io.BytesIO()
    pillow_heif.from_pillow(_picture((1300, 700))).save(target, exif=_exif(1))
    found = prober.probe_bytes(target.getvalue(), name="a.heic")
    assert found.container == "heif"
    assert [(track.codec, track.width, track.height, track.bit_depth) for track in found.video] == [
        ("hevc", 1300, 700, 8)
    ]
    assert found.model == "EOS R5"
    assert found.created == "2024-05-06T07:08:09.25+02:00"


def _heif(*, primary: int = 1, properties: bytes, count: int, kind: bytes = b"grid") -> bytes:
    """A HEIF index by hand: one item that owns the first `count` properties."""
    ipma = full_box(b"ipma", struct.pack(">IHB", 1, 1, count), bytes(range(1, count + 1)))
    meta = full_box(
        b"meta",
        full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        full_box(b"pitm", struct.pack(">H", primary)),
        full_box(b"iinf", struct.pack(">H", 1), full_box(b"infe", struct.pack(">HH4sB", 1, 0, kind, 0), version=2)),
        box(b"iprp", box(b"ipco", properties), ipma),
    )
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta


@pytest.mark.parametrize("kind", [b"hvc1", b"av01", b"grid"])
def test_heif_and_avif_are_stored_one_way_and_shown_cropped_and_turned(in_process: AvProber, kind: bytes) -> None:
    ispe = full_box(b"ispe", struct.pack(">II", 4032, 3024))
    clap = box(b"clap", struct.pack(">8I", 4000, 1, 3000, 1, 0, 1, 0, 1))
    data = _heif(properties=ispe + clap + box(b"irot", b"\3"), count=3, kind=kind)
    track = in_process.probe_bytes(data, name="a.heic").video[0]
    assert (track.width, track.height, track.rotation) == (4032, 3024, 90)
    assert (track.display_width, track.display_height) == (3000, 4000)


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "JPEG", "TIFF"])
def test_a_turned_still_is_described_alike_in_every_format(in_process: AvProber, form: str) -> None:
    pillow_heif.register_heif_opener()
    data = _saved(form, _picture((130, 70)), exif=_exif(6))
    track = in_process.probe_bytes(data, name=f"a.{form.lower()}").video[0]
    assert (track.width, track.height, track.rotation) == (130, 70, 90)
    with Image.open(io.BytesIO(data)) as image:
        shown = ImageOps.exif_transpose(image).size
    assert (track.display_width, track.display_height) == shown == (70, 130)


def test_a_primary_item_that_calls_itself_a_thumbnail_stands_for_its_master(in_process: AvProber) -> None:
    sizes = [full_box(b"ispe", struct.pack(">II", *size)) for size in ((160, 120), (4000, 3000))]
    infe = [full_box(b"infe", struct.pack(">HH4sB", item, 0, b"hvc1", 0), version=2) for item in (1, 2)]
    meta = full_box(
        b"meta",
        full_box(b"pitm", struct.pack(">H", 1)),
        full_box(b"iinf", struct.pack(">H", 2), *infe),
        full_box(b"iref", box(b"thmb", struct.pack(">3H", 1, 1, 2))),
        box(b"iprp", box(b"ipco", *sizes), full_box(b"ipma", struct.pack(">IHBBHBB", 2, 1, 1, 1, 2, 1, 2))),
    )
    found = in_process.probe_bytes(box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta, name="a.heic")
    assert [(track.width, track.height) for track in found.video] == [(4000, 3000)]


def test_a_heif_whose_primary_item_has_no_size_is_an_error(in_process: AvProber) -> None:
    ispe = full_box(b"ispe", struct.pack(">II", 4032, 3024))
    found = in_process.probe_bytes(_heif(primary=9, properties=ispe, count=1), name="a.heic")
    assert found.error is not None
    assert found.video == ()


def _jxl(width: int, height: int) -> bytes:
    """The start of a JPEG XL codestream: signature, SizeHeader, all other fields at their default."""
    bits: list[tuple[int, int]] = [(0, 1), (2, 2), (height - 1, 18), (0, 3), (2, 2), (width - 1, 18), (1, 1)]
    value = shift = 0
    for number, length in bits:
        value |= number << shift
        shift += length
    return b"\xff\x0a" + value.to_bytes(8, "little") + bytes(40)


def test_jpeg_xl_bare_and_in_boxes(in_process: AvProber) -> None:
    boxed = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl ", bytes(4), b"jxl ") + box(b"jxlc", _jxl(6000, 4000))
    for data in (_jxl(6000, 4000), boxed):
        track = in_process.probe_bytes(data, name="a.jxl").video[0]
        assert (track.codec, track.width, track.height, track.bit_depth) == ("jpegxl", 6000, 4000, 8)


def _tiff(
    entries: dict[int, tuple[int, int]], *, more: dict[int, dict[int, tuple[int, int]]], magic: int = 42
) -> bytes:
    """A TIFF of directories with one value an entry; `more`: tag -> the directory that it points at."""
    parts: list[bytes] = []
    at = 8 + 2 + 12 * (len(entries) + len(more)) + 4
    pointers: dict[int, tuple[int, int]] = {}
    for tag, directory in more.items():
        pointers[tag] = (4, at)
        body = struct.pack("<H", len(directory))
        body += b"".join(struct.pack("<HHII", t, kind, 1, value) for t, (kind, value) in sorted(directory.items()))
        parts.append(body + bytes(4))
        at += len(parts[-1])
    first = struct.pack("<H", len(entries) + len(more))
    first += b"".join(struct.pack("<HHII", t, k, 1, v) for t, (k, v) in sorted({**entries, **pointers}.items()))
    return b"II" + struct.pack("<HI", magic, 8) + first + bytes(4) + b"".join(parts) + bytes(5_000)


@pytest.mark.parametrize("extension", ["dng", "nef", "arw"])
def test_the_full_picture_of_a_raw_file_not_its_preview(in_process: AvProber, extension: str) -> None:
    preview = {254: (4, 1), 256: (4, 160), 257: (4, 120)}
    raw = {254: (4, 0), 256: (4, 8256), 257: (4, 5504), 258: (3, 14)}
    found = in_process.probe_bytes(_tiff(preview, more={330: raw}), name=f"a.{extension}")
    assert [(track.width, track.height, track.bit_depth) for track in found.video] == [(8256, 5504, 14)]
    assert found.container == extension


def test_panasonic_raw(in_process: AvProber) -> None:
    data = _tiff({2: (3, 5000), 3: (3, 4000), 4: (3, 8), 5: (3, 4), 6: (3, 3464), 7: (3, 4612)}, more={}, magic=0x55)
    assert [(track.width, track.height) for track in in_process.probe_bytes(data, name="a.rw2").video] == [(4608, 3456)]


def test_canon_cr3(in_process: AvProber) -> None:
    cmt1 = _tiff({256: (4, 6000), 257: (4, 4000)}, more={})
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + box(b"CMT1", cmt1)
    data = (
        box(b"ftyp", b"crx ", bytes(4), b"crx isom") + box(b"moov", box(b"uuid", canon)) + box(b"mdat", bytes(50_000))
    )
    found = in_process.probe_bytes(data, name="a.cr3")
    assert (found.container, [(track.width, track.height) for track in found.video]) == ("cr3", [(6000, 4000)])


def test_fuji_raf(in_process: AvProber) -> None:
    preview = _saved("JPEG", exif=_exif())
    table = struct.pack(">I", 2) + struct.pack(">4H", 0x100, 4, 4038, 6160) + struct.pack(">4H", 0x111, 4, 4000, 6000)
    head = b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(
        ">6I", 200, len(preview), 200 + len(preview), len(table), 0, 0
    )
    data = head.ljust(200, b"\0") + preview + table + bytes(50_000)
    found = in_process.probe_bytes(data, name="a.raf")
    assert (found.container, found.model) == ("raf", "EOS R5")
    assert [(track.width, track.height) for track in found.video] == [(6000, 4000)]


def test_photoshop(in_process: AvProber) -> None:
    data = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 1080, 1920, 16, 3) + bytes(100)
    track = in_process.probe_bytes(data, name="a.psd").video[0]
    assert (track.codec, track.width, track.height, track.bit_depth) == ("psd", 1920, 1080, 16)


def test_a_picture_bomb_costs_nothing(tmp_path: Path, in_workers: AvProber) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    body = zlib.compress(bytes(10_000_000))
    data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(body)) + b"IDAT" + body + bytes(4)
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    found = in_workers.probe(path)
    assert [(track.width, track.height) for track in found.video] == [(60_000, 60_000)]
    assert found.bytes_read is not None
    assert found.bytes_read <= 64 * 1024


def test_an_unusual_still_is_left_to_pillow(prober: AvProber) -> None:
    found = prober.probe_bytes(_saved("TGA", _picture((21, 13))), name="a.tga")
    assert found.method == "pillow"
    assert [(track.width, track.height) for track in found.video] == [(21, 13)]


def test_without_pillow_an_unusual_still_is_an_error() -> None:
    with AvProber(isolation="none", pillow=False) as prober:
        assert prober.probe_bytes(_saved("TGA", _picture((21, 13))), name="a.tga").error is not None


def test_the_head_of_a_large_still_is_enough(tmp_path: Path, prober: AvProber) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(_saved("JPEG", _picture((4000, 3000)), exif=_exif()) + bytes(9_000_000))
    found = prober.probe(path)
    assert found.bytes_read == 32 * 1024
    assert found.round_trips == 1
