"""Sequence parameter sets of H.264 (ITU-T H.264, 7.3.2.1) and H.265 (ITU-T H.265, 7.3.2.2)."""

from __future__ import annotations

from typing import Any

from media_watch_tasks.probe.bits import BitReader
from media_watch_tasks.probe.colour import colour_fields
from media_watch_tasks.probe.video_config import VideoConfig, pixel_format

__all__ = ["HEVC_PROFILES", "avc_sps", "hevc_sps"]

_AVC_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_AVC_PROFILES = {
    44: "CAVLC 4:4:4", 66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 118: "Multiview High",
    122: "High 4:2:2", 128: "Stereo High", 244: "High 4:4:4 Predictive",
}  # fmt: skip
HEVC_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Rext", 6: "Multiview Main"}
_ASPECTS = {
    1: (1, 1), 2: (12, 11), 3: (10, 11), 4: (16, 11), 5: (40, 33), 6: (24, 11), 7: (20, 11), 8: (32, 11), 9: (80, 33),
    10: (18, 11), 11: (15, 11), 12: (64, 33), 13: (160, 99), 14: (4, 3), 15: (3, 2), 16: (2, 1),
}  # fmt: skip
_EXTENDED_SAR = 255
_MOST_REFERENCE_SETS = 64


def avc_sps(data: bytes) -> VideoConfig:
    """From the payload behind the header of the NAL unit, without emulation prevention.

    Raises:
        ValueError: it is cut off or damaged.
    """
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
        pixel_format=pixel_format(chroma, depth),
        bit_depth=depth,
        profile=name,
        level=f"{level / 10:.1f}",
        progressive=frames_only,
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


def hevc_sps(data: bytes) -> VideoConfig:
    """As `avc_sps`."""
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
    _skip_to_usability(bits, layers)
    return VideoConfig(
        width=width,
        height=height,
        pixel_format=pixel_format(chroma, depth),
        bit_depth=depth,
        profile=HEVC_PROFILES.get(profile),
        level=f"{level / 30:.1f}",
        **_vui(bits),
    )


def _skip_to_usability(bits: BitReader, layers: int) -> None:
    """From behind the bit depths to the usability information, which begins as that of H.264 does."""
    bits.ue()
    order_bits = bits.ue() + 4
    for _ in range(layers + 1 if bits.flag() else 1):
        bits.skip_ue(3)
    bits.skip_ue(6)
    if bits.flag() and bits.flag():
        _skip_hevc_scaling_lists(bits)
    bits.u(2)
    if bits.flag():
        bits.u(8)
        bits.skip_ue(2)
        bits.u(1)
    _skip_reference_sets(bits)
    if bits.flag():
        for _ in range(bits.ue()):
            bits.u(order_bits + 1)
    bits.u(2)


def _skip_hevc_scaling_lists(bits: BitReader) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):  # noqa: PLR2004 - of 32x32 there are two
            if not bits.flag():
                bits.ue()
                continue
            if size > 1:
                bits.se()
            bits.skip_ue(min(64, 16 << 2 * size))


def _skip_reference_sets(bits: BitReader) -> None:
    pictures = 0
    count = bits.ue()
    if count > _MOST_REFERENCE_SETS:
        raise ValueError("an impossible number of reference picture sets")
    for number in range(count):
        if number and bits.flag():
            bits.u(1)
            bits.ue()
            pictures = sum(bits.flag() or bits.flag() for _ in range(pictures + 1))
        else:
            pictures = bits.ue() + bits.ue()
            for _ in range(pictures):
                bits.ue()
                bits.u(1)
