"""Probing large files: what is read of 500 MB films and of recordings of many hours, and what latency costs.

    python tests/benchmarks/bench_probe_large.py FOLDER

FOLDER holds real mp4 and mov files. Each one that is not fragmented is made 500 MB large by a sparse box; seven of
ten get their index at the end, the others keep it where it is. The recordings are muxed for the purpose: every packet
is one of a short film. Latency is a sleep of 5 ms before each round trip.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.probe.media_files import encode, inflate, long_recording

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.local import LocalByteSource
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe import AvProber

KINDS = {".mp4", ".mov", ".m4v"}
SIZE = 500_000_000
LATENCY = 0.005


class Far(ByteSource):
    """A local file behind a round trip of 5 ms."""

    def __init__(self, path: Path) -> None:
        self._file = LocalByteSource(path)

    @property
    def size(self) -> int:
        return self._file.size

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        time.sleep(LATENCY)
        return [self._file.read_at(offset, length) for offset, length in ranges]

    def close(self) -> None:
        self._file.close()


def inflated(folder: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """(small, large) of each file that lends itself to it."""
    number = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in KINDS:
            large = target / path.name
            if inflate(path, large, size=SIZE, index_last=number % 10 < 7):
                number += 1
                yield path, large


def same(small: MediaMetadata, large: MediaMetadata) -> bool:
    """True if size made no difference."""
    return (small.video, small.audio, small.duration) == (large.video, large.audio, large.duration)


def row(name: str, found: Sequence[MediaMetadata], right: int) -> tuple[float, float]:
    """Print a row; returns kilobytes and round trips a file."""
    kilobytes = sum(each.bytes_read or 0 for each in found) / len(found) / 1000
    trips = sum(each.round_trips or 0 for each in found) / len(found)
    print(f"| {name} | {len(found)} | {right} | {kilobytes:.0f} | {trips:.2f} |", flush=True)
    return kilobytes, trips


def recordings(folder: Path, prober: AvProber) -> list[float]:
    """The rows of the long recordings; returns kilobytes of each."""
    template = encode(folder / "template.mp4", video="libx264", seconds=4, size=(640, 360), rate=30)
    fragments = "frag_keyframe+empty_moov+default_base_moof"
    kinds = {
        "10 h, index last": (10, "a.mp4", {}),
        "10 h, index first": (10, "b.mp4", {"movflags": "faststart"}),
        "10 h, fragmented": (10, "c.mp4", {"movflags": fragments}),
        "2 h, MKV": (2, "d.mkv", {}),
        "2 h, MPEG-TS": (2, "e.ts", {}),
    }
    read: list[float] = []
    for name, (hours, file, options) in kinds.items():
        path = long_recording(folder / file, hours=hours, template=template, options=options)
        found = prober.probe(path)
        right = found.duration is not None and abs(found.duration - hours * 3600) < 1 and bool(found.video)
        read.append(row(f"recording of {name}, {path.stat().st_size >> 20} MiB", [found], int(right))[0])
        path.unlink()
    return read


def latency(paths: Sequence[Path], prober: AvProber) -> float:
    """How many times faster 16 workers are than one, each round trip costing 5 ms."""

    def opener(path: Path) -> Callable[[], ByteSource]:
        return lambda: Far(path)

    def seconds(workers: int) -> float:
        start = time.perf_counter()
        found = list(prober.probe_many([opener(path) for path in paths], workers=workers))
        took = time.perf_counter() - start
        trips = sum(each.round_trips or 0 for each in found)
        print(f"| {workers} workers | {len(paths) / took:.0f} files/s | {trips / len(found):.2f} round trips a file |")
        return took

    seconds(16)  # the worker processes start
    return seconds(1) / seconds(16)


def main() -> int:
    """Print the tables; 1 if a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print("| files | number | described as the small one | KB a file | round trips a file |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch, AvProber() as prober:
        pairs = list(inflated(options.folder, Path(scratch)))
        small = [prober.probe(path) for path, _ in pairs]
        large = [prober.probe(path) for _, path in pairs]
        right = sum(same(a, b) for a, b in zip(small, large, strict=True))
        kilobytes, trips = row("mp4 and mov of 500 MB", large, right)
        longest = max(recordings(Path(scratch), prober)[:3])
        print()
        gain = latency([large for _, large in pairs] * 8, prober)
    goals = {
        f"<= 90 KB a file of 500 MB: {kilobytes:.0f}": kilobytes <= 90,
        f"<= 1.3 round trips: {trips:.2f}": trips <= 1.3,
        f"a recording of 10 h <= 200 KB: {longest:.0f}": longest <= 200,
        f"16 workers >= 8 x one at 5 ms: {gain:.1f}": gain >= 8,
    }
    print()
    for text, met in goals.items():
        print(f"goal {text}: {'met' if met else 'MISSED'}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
