"""What the codec configuration of a video track says: picture size, pixel format, profile, colour.

Sources: avcC and hvcC in ISO/IEC 14496-15, av1C in the AV1-ISOBMFF
binding, vpcC in the VP9-ISOBMFF binding, dvcC in the Dolby Vision streams within ISOBMFF specification.
"""

from __future__ import annotations

from media_watch_tasks.probe.bits import BitReader, without_emulation
from media_watch_tasks.probe.colour import colour_fields
from media_watch_tasks.probe.sps import HEVC_PROFILES, avc_sps, hevc_sps
from media_watch_tasks.probe.video_config import VideoConfig, pixel_format

__all__ = ["dolby_vision", "read_config", "read_extradata"]

_AV1_PROFILES = {0: "Main", 1: "High", 2: "Professional"}


def read_extradata(codec: str, data: bytes) -> VideoConfig | None:
    """From what FFmpeg hands to a decoder: the box of an mp4 file, or parameter sets with start codes (Annex B)."""
    kind, wanted, header = (b"avcC", 7, 1) if codec == "h264" else (b"hvcC", 33, 2)
    if data[:1] == b"\1":
        return read_config({kind: data})
    for unit in data.split(b"\0\0\1")[1:]:
        if unit and (unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F) == wanted:
            try:
                payload = without_emulation(unit[header:])
                return avc_sps(payload) if codec == "h264" else hevc_sps(payload)
            except ValueError:
                return None
    return None


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


def _avcc(body: bytes) -> VideoConfig:
    if not body[5] & 0x1F:
        raise ValueError("no parameter set")
    length = int.from_bytes(body[6:8], "big")
    return avc_sps(without_emulation(body[9 : 8 + length]))


def _hvcc(body: bytes) -> VideoConfig:
    at = 23
    for _ in range(body[22]):
        kind, count = body[at] & 0x3F, int.from_bytes(body[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            length = int.from_bytes(body[at : at + 2], "big")
            if kind == 33:  # noqa: PLR2004 - SPS_NUT
                return hevc_sps(without_emulation(body[at + 4 : at + 2 + length]))
            at += 2 + length
    profile = body[1] & 0x1F
    depth = (body[17] & 7) + 8
    return VideoConfig(
        pixel_format=pixel_format(body[16] & 3, depth),
        bit_depth=depth,
        profile=HEVC_PROFILES.get(profile),
        level=f"{body[12] / 30:.1f}",
    )


def _av1c(body: bytes) -> VideoConfig:
    profile, level = body[1] >> 5, body[1] & 0x1F
    high, twelve, mono = body[2] & 0x40, body[2] & 0x20, body[2] & 0x10
    depth = (12 if twelve else 10) if high else 8
    chroma = 0 if mono else {(1, 1): 1, (1, 0): 2}.get((body[2] >> 3 & 1, body[2] >> 2 & 1), 3)
    return VideoConfig(
        pixel_format=pixel_format(chroma, depth),
        bit_depth=depth,
        profile=_AV1_PROFILES.get(profile),
        level=f"{2 + (level >> 2)}.{level & 3}",
    )


def _vpcc(body: bytes) -> VideoConfig:
    profile, level, packed = body[4], body[5], body[6]
    depth, chroma = packed >> 4, {0: 1, 1: 1, 2: 2, 3: 3}.get(packed >> 1 & 7)
    return VideoConfig(
        pixel_format=pixel_format(chroma, depth) if chroma else None,
        bit_depth=depth or None,
        profile=f"Profile {profile}",
        level=f"{level / 10:.1f}" if level else None,
        colour=colour_fields(*body[7:10], full_range=bool(packed & 1)) if len(body) >= 10 else {},  # noqa: PLR2004 - optional end
    )
