"""Describe every media file of a folder: python examples/probe_folder.py FOLDER [--json] [--workers N]."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe import AvProber

MEDIA = {MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMAGE}


def row(path: Path, found: MediaMetadata) -> list[str]:
    """The cells of one file; what is not known stays empty."""
    if found.error is not None:
        return [path.name, "", "", "", "", f"[red]{found.error}"]
    picture = found.video[0] if found.video else None
    return [
        path.name,
        found.container or "",
        f"{picture.display_width} x {picture.display_height}" if picture else "",
        "" if found.duration is None else f"{found.duration:.2f}",
        " ".join([each.codec or "?" for each in found.video] + [each.codec or "?" for each in found.audio]),
        "" if found.confidence == "exact" else found.confidence,
    ]


def main() -> int:
    """Print a table, or with --json one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file() and kind_of(bytes(path)) in MEDIA)
    table = Table("name", "container", "size", "seconds", "codecs", "")
    with AvProber() as prober:
        answers = prober.probe_many(paths, workers=options.workers)
        bar = track(answers, "probing", len(paths), console=Console(stderr=True), disable=not sys.stderr.isatty())
        for path, found in zip(paths, bar, strict=True):
            if options.json:
                print(json.dumps({"path": str(path), **json.loads(found.to_json())}))
            else:
                table.add_row(*row(path, found))
    if not options.json:
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
