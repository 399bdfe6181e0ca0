"""What the codec configuration of a video track says: picture size, pixel format, profile, colour.

Sources: avcC and hvcC in ISO/IEC 14496-15, SPS in ITU-T H.264 7.3.2.1 and H.265 7.3.2.2, av1C in the AV1-ISOBMFF
binding, vpcC in the VP9-ISOBMFF binding, dvcC in the Dolby Vision streams within ISOBMFF specification.
"""

from __future__ import annotations

from typing import Any

import attrs

from media_watch_tasks.probe.bits import BitReader, without_emulation
from media_watch_tasks.probe.colour import colour_fields

__all__ = ["VideoConfig", "dolby_vision", "read_config"]

_CHROMA = {0: "gray", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}
_AVC_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_AVC_PROFILES = {
    44: "CAVLC 4:4:4", 66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 118: "Multiview High",
    122: "High 4:2:2", 128: "Stereo High", 244: "High 4:4:4 Predictive",
}  # fmt: skip
_HEVC_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Rext", 6: "Multiview Main"}
_AV1_PROFILES = {0: "Main", 1: "High", 2: "Professional"}
_ASPECTS = {
    1: (1, 1), 2: (12, 11), 3: (10, 11), 4: (16, 11), 5: (40, 33), 6: (24, 11), 7: (20, 11), 8: (32, 11), 9: (80, 33),
    10: (18, 11), 11: (15, 11), 12: (64, 33), 13: (160, 99), 14: (4, 3), 15: (3, 2), 16: (2, 1),
}  # fmt: skip
_EXTENDED_SAR = 255
_EIGHT = 8


@attrs.frozen(kw_only=True)
class VideoConfig:
    """What is known; None what is not."""

    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    profile: str | None = None
    level: str | None = None
    aspect: tuple[int, int] | None = None
    colour: dict[str, str | None] = attrs.field(factory=dict)


def read_config(boxes: dict[bytes, bytes]) -> VideoConfig | None:
    """From the boxes of a visual sample entry; None where there is no configuration, or none that can be read."""
    for kind, parse in ((b"avcC", _avcc), (b"hvcC", _hvcc), (b"av1C", _av1c), (b"vpcC", _vpcc)):
        if body := boxes.get(kind):
            try:
                return parse(body)
            except (ValueError, IndexError):
                return None
    return None


def dolby_vision(boxes: dict[bytes, bytes]) -> str | None:
    """`Dolby Vision 8.4 level 9` where a dvcC, dvvC or dvwC box says so."""
    body = boxes.get(b"dvcC") or boxes.get(b"dvvC") or boxes.get(b"dvwC") or b""
    if len(body) < 5:  # noqa: PLR2004 - two version bytes and the bit fields
        return None
    bits = BitReader(body[2:5])
    profile, level = bits.u(7), bits.u(6)
    bits.u(3)
    compatibility = bits.u(4)
    dotted = f"{profile}.{compatibility}" if profile in {7, 8, 9, 10} else str(profile)
    return f"Dolby Vision {dotted} level {level}"


def _pixel_format(chroma: int, depth: int) -> str | None:
    base = _CHROMA.get(chroma)
    if base is None or depth == _EIGHT:
        return base
    return f"{base}{depth}le"


def _avcc(body: bytes) -> VideoConfig:
    if not body[5] & 0x1F:
        raise ValueError("no parameter set")
    length = int.from_bytes(body[6:8], "big")
    return _avc_sps(without_emulation(body[9 : 8 + length]))


def _avc_sps(data: bytes) -> VideoConfig:
    bits = BitReader(data)
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue()
    chroma, depth, separate = 1, 8, False
    if profile in _AVC_HIGH:
        chroma = bits.ue()
        separate = chroma == 3 and bits.flag()  # noqa: PLR2004 - 4:4:4
        depth = bits.ue() + 8
        bits.ue()
        bits.u(1)
        if bits.flag():
            _skip_scaling_lists(bits, 8 if chroma != 3 else 12)  # noqa: PLR2004 - as above
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue()
    bits.u(1)
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.flag()
    if not frames_only:
        bits.u(1)
    bits.u(1)
    width, height = columns * 16, rows * 16 * (1 if frames_only else 2)
    if bits.flag():
        left, right, top, bottom = (bits.ue() for _ in range(4))
        across = 2 if chroma in {1, 2} and not separate else 1
        down = (2 if chroma == 1 and not separate else 1) * (1 if frames_only else 2)
        width, height = width - across * (left + right), height - down * (top + bottom)
    name = _AVC_PROFILES.get(profile)
    if profile == 66 and constraints & 0x40:  # noqa: PLR2004 - profile_idc of Baseline
        name = "Constrained Baseline"
    elif profile in {110, 122} and constraints & 0x10:
        name = f"{name} Intra"
    return VideoConfig(
        width=width,
        height=height,
        pixel_format=_pixel_format(chroma, depth),
        bit_depth=depth,
        profile=name,
        level=f"{level / 10:.1f}",
        **_vui(bits),
    )


def _vui(bits: BitReader) -> dict[str, Any]:
    """Aspect ratio and colour of the video usability information; a broken one says nothing."""
    found: dict[str, Any] = {}
    try:
        if not bits.flag():
            return found
        if bits.flag():
            code = bits.u(8)
            found["aspect"] = (bits.u(16), bits.u(16)) if code == _EXTENDED_SAR else _ASPECTS.get(code)
        if bits.flag():
            bits.u(1)
        if bits.flag():
            bits.u(3)
            full = bits.flag()
            codes = (bits.u(8), bits.u(8), bits.u(8)) if bits.flag() else (2, 2, 2)
            found["colour"] = colour_fields(*codes, full_range=full)
    except ValueError:
        return {}
    return found


def _skip_scaling_lists(bits: BitReader, count: int) -> None:
    for number in range(count):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):  # noqa: PLR2004 - six 4x4 lists come first
            if following:
                following = (last + bits.se() + 256) % 256
            last = following or last


def _hvcc(body: bytes) -> VideoConfig:
    at = 23
    for _ in range(body[22]):
        kind, count = body[at] & 0x3F, int.from_bytes(body[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            length = int.from_bytes(body[at : at + 2], "big")
            if kind == 33:  # noqa: PLR2004 - SPS_NUT
                return _hevc_sps(without_emulation(body[at + 4 : at + 2 + length]))
            at += 2 + length
    profile = body[1] & 0x1F
    depth = (body[17] & 7) + 8
    return VideoConfig(
        pixel_format=_pixel_format(body[16] & 3, depth),
        bit_depth=depth,
        profile=_HEVC_PROFILES.get(profile),
        level=f"{body[12] / 30:.1f}",
    )


def _hevc_sps(data: bytes) -> VideoConfig:
    bits = BitReader(data)
    bits.u(4)
    layers = bits.u(3)
    bits.u(1)
    bits.u(3)
    profile = bits.u(5)
    bits.u(32 + 48)
    level = bits.u(8)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:  # noqa: PLR2004 - 4:4:4
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.flag():
        left, right, top, bottom = (bits.ue() for _ in range(4))
        width -= (2 if chroma in {1, 2} else 1) * (left + right)
        height -= (2 if chroma == 1 else 1) * (top + bottom)
    depth = bits.ue() + 8
    return VideoConfig(
        width=width,
        height=height,
        pixel_format=_pixel_format(chroma, depth),
        bit_depth=depth,
        profile=_HEVC_PROFILES.get(profile),
        level=f"{level / 30:.1f}",
    )


def _av1c(body: bytes) -> VideoConfig:
    profile, level = body[1] >> 5, body[1] & 0x1F
    high, twelve, mono = body[2] & 0x40, body[2] & 0x20, body[2] & 0x10
    depth = (12 if twelve else 10) if high else 8
    chroma = 0 if mono else {(1, 1): 1, (1, 0): 2}.get((body[2] >> 3 & 1, body[2] >> 2 & 1), 3)
    return VideoConfig(
        pixel_format=_pixel_format(chroma, depth),
        bit_depth=depth,
        profile=_AV1_PROFILES.get(profile),
        level=f"{2 + (level >> 2)}.{level & 3}",
    )


def _vpcc(body: bytes) -> VideoConfig:
    profile, level, packed = body[4], body[5], body[6]
    depth, chroma = packed >> 4, {0: 1, 1: 1, 2: 2, 3: 3}.get(packed >> 1 & 7)
    return VideoConfig(
        pixel_format=_pixel_format(chroma, depth) if chroma else None,
        bit_depth=depth or None,
        profile=f"Profile {profile}",
        level=f"{level / 10:.1f}" if level else None,
        colour=colour_fields(*body[7:10], full_range=bool(packed & 1)) if len(body) >= 10 else {},  # noqa: PLR2004 - optional end
    )
