"""The size at which a picture is shown."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["display_size", "ratio_text"]


def display_size(
    width: int | None, height: int | None, *, aspect: Fraction | None, rotation: int | None
) -> tuple[int | None, int | None]:
    """Width and height as a player shows them: square pixels, turned by the rotation."""
    if not width or not height:
        return None, None
    if aspect:
        width = round(width * aspect)
    return (height, width) if rotation in {90, 270} else (width, height)


def ratio_text(ratio: Fraction | None) -> str | None:
    """`16:9`, None where there is none."""
    return f"{ratio.numerator}:{ratio.denominator}" if ratio else None
