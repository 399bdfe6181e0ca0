"""A small soak: descriptors stay flat and the log bounded while workers die and uploads fail."""

from __future__ import annotations

import statistics
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.crash.soak import Sample, Soak, soaking
from tests.crash.soak_plot import drawing
from tests.crash.zygote import Zygote

FILES = 2_000
_MB = 1_000_000


def assert_flat(soak: Soak, *, log: int) -> None:
    """`log`: bytes that it may hold at most."""
    samples = soak.samples
    assert len(samples) >= 4, "too few to tell"
    half = len(samples) // 2
    earlier, later = (
        [each.descriptors for each in samples[:half]],
        [each.descriptors for each in samples[half:]],
    )
    # Each hand that uploads has a few open for a moment.
    assert statistics.median(later) <= statistics.median(earlier) + 8, samples
    assert max(later) <= max(earlier) + 16, samples
    assert samples[-1].rss <= samples[half].rss + 8 * _MB, samples
    assert max(each.log for each in samples) <= log, samples


def test_the_plot_of_a_long_soak_keeps_its_peaks() -> None:
    samples = [Sample(at=n, rss=90 * _MB, descriptors=20 + 30 * (n == 4_321), log=n, done=n) for n in range(10_000)]
    lines = ET.fromstring(drawing(samples, "a soak")).findall("{http://www.w3.org/2000/svg}polyline")
    points = [[float(point.split(",")[1]) for point in line.attrib["points"].split()] for line in lines]
    assert all(len(each) <= 280 for each in points)
    top = min(points[2])
    assert points[2].count(top) == 1, "the moment of many descriptors is there"


def test_soak_on_sqlite(tmp_path: Path, zygote: Zygote) -> None:
    with soaking(tmp_path, zygote, files=FILES) as soak:
        # Carried over into the database at 1,000 pages (4 MB); those who read meanwhile let it grow somewhat further.
        assert_flat(soak, log=32 * _MB)
        assert f"{soak.kills} workers killed" in soak.table()
