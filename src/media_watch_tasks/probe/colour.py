"""Names of colour properties, as FFmpeg prints them, for the code points of ISO/IEC 23091-2 (H.273)."""

from __future__ import annotations

__all__ = ["FIELD_ORDERS", "MATRICES", "PRIMARIES", "RANGES", "TRANSFERS", "colour_fields", "hdr_name"]

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
RANGES = {1: "tv", 2: "pc"}
"""FFmpeg's AVColorRange, not a code point."""
FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
"""FFmpeg's AVFieldOrder."""


def colour_fields(primaries: int, transfer: int, matrix: int, *, full_range: bool | None) -> dict[str, str | None]:
    """The four colour fields of a video track; unspecified code points (2) are None."""
    return {
        "color_primaries": PRIMARIES.get(primaries),
        "color_transfer": TRANSFERS.get(transfer),
        "color_matrix": MATRICES.get(matrix),
        "color_range": None if full_range is None else ("pc" if full_range else "tv"),
    }


def hdr_name(
    transfer: str | None, *, mastering: bool = False, dynamic: bool = False, dolby: str | None = None
) -> str | None:
    """The kind of HDR: Dolby Vision wins; PQ is HDR10 only where mastering metadata was seen, else `PQ`."""
    if dolby is not None:
        return dolby
    if transfer == "smpte2084":
        return "HDR10+" if dynamic else "HDR10" if mastering else "PQ"
    return "HLG" if transfer == "arib-std-b67" else None
