"""Draws what a soak has seen: a panel for each quantity over the time, as an SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Protocol

__all__ = ["drawing"]

_LEFT, _WIDTH, _HEIGHT, _GAP = 60, 560, 80, 34
_POINTS = 280
"""A line has no more: of a longer run each is the highest of several."""
_MB = 1_000_000


class Seen(Protocol):
    """What is drawn of a sample."""

    @property
    def at(self) -> float: ...
    @property
    def rss(self) -> int: ...
    @property
    def descriptors(self) -> int: ...
    @property
    def log(self) -> int: ...
    @property
    def done(self) -> int: ...


_PANELS: tuple[tuple[str, Callable[[Seen], float]], ...] = (
    ("files delivered, thousands", lambda seen: seen.done / 1_000),
    ("memory of the scanner and the worker that live, MB", lambda seen: seen.rss / _MB),
    ("their open descriptors", lambda seen: seen.descriptors),
    ("write-ahead log (PostgreSQL: tables and indices), MB", lambda seen: seen.log / _MB),
)


def drawing(samples: Sequence[Seen], title: str) -> str:
    """An SVG with one line for each panel, from nothing to its highest value."""
    bottom = _GAP + len(_PANELS) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {bottom}" role="img">',
        f"<title>{escape(title)}</title>",
        "<style>text{font:12px sans-serif;fill:#555}.axis{stroke:#bbb}.line{fill:none;stroke:#c8643c;stroke-width:1.5}",
        "</style>",
    ]
    last = samples[-1].at
    together = -(-len(samples) // _POINTS)
    for number, (name, value) in enumerate(_PANELS):
        base = _GAP + number * (_HEIGHT + _GAP) + _HEIGHT
        highest = [max(samples[start : start + together], key=value) for start in range(0, len(samples), together)]
        most = max(1, *(value(sample) for sample in highest))
        points = " ".join(
            f"{_LEFT + _WIDTH * sample.at / last:.1f},{base - _HEIGHT * value(sample) / most:.1f}" for sample in highest
        )
        parts += [
            f'<text x="{_LEFT}" y="{base - _HEIGHT - 8}">{escape(name)}</text>',
            f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_LEFT + _WIDTH}" y2="{base}"/>',
            f'<text x="{_LEFT - 6}" y="{base - _HEIGHT + 4}" text-anchor="end">{most:,.0f}</text>',
            f'<text x="{_LEFT - 6}" y="{base + 4}" text-anchor="end">0</text>',
            f'<polyline class="line" points="{points}"/>',
        ]
    parts.append(f'<text x="{_LEFT + _WIDTH}" y="{bottom - 14}" text-anchor="end">{last:,.0f} s</text>')
    return "\n".join([*parts, "</svg>", ""])
