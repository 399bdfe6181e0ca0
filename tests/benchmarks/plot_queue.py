"""Draws the queue's table of `docs/explanation/performance.md` as `docs/explanation/queue.svg`.

    python tests/benchmarks/plot_queue.py

It draws what stands in the page: bars of the tasks that one worker claims and settles in a second, one by one.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "explanation"
COLUMN = "claim + settle 1"
LEFT, BAR, GAP, WIDTH = 190, 22, 10, 420


def table(page: str) -> dict[str, float]:
    """The rates of the first table with this column, by the name of the row; ratios are left out."""
    rates: dict[str, float] = {}
    place = None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if place is None:
            place = cells.index(COLUMN) if COLUMN in cells else None
        elif not line.startswith("|"):
            break
        elif "/" not in cells[0] and cells[place].replace(",", "").isdigit():
            rates[cells[0]] = float(cells[place].replace(",", ""))
    return rates


def drawing(rates: dict[str, float]) -> str:
    """An SVG of horizontal bars, the longest first."""
    height = GAP + len(rates) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 80} {height}" role="img">',
        f"<title>{COLUMN}: tasks a second</title>",
        "<style>text{font:13px sans-serif;fill:#555}.bar{fill:#8aa4c8}.ours{fill:#c8643c}</style>",
    ]
    most = max(rates.values())
    for row, (name, rate) in enumerate(sorted(rates.items(), key=lambda item: -item[1])):
        top = GAP + row * (BAR + GAP)
        length = round(WIDTH * rate / most)
        kind = "ours" if name == "ours" else "bar"
        parts += [
            f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{length}" height="{BAR}"/>',
            f'<text x="{LEFT + length + 6}" y="{top + 16}">{rate:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the drawing."""
    page = (FOLDER / "performance.md").read_text(encoding="utf-8")
    (FOLDER / "queue.svg").write_text(drawing(table(page)), encoding="utf-8")


if __name__ == "__main__":
    main()
