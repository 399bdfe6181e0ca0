"""Dates, places and timecodes as cameras spell them."""

from __future__ import annotations

import pytest

from media_watch_tasks.model.metadata import GeoPoint
from media_watch_tasks.probe.movie_samples import timecode_text
from media_watch_tasks.probe.tags import common_tags, iso_date, parse_iso6709, tidy


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-05-06T07:08:09.000000Z", "2024-05-06T07:08:09Z"),
        ("2024-05-06T09:08:09+0200", "2024-05-06T09:08:09+02:00"),
        ("2024-05-06T09:08:09-03:30", "2024-05-06T09:08:09-03:30"),
        ("2024:05:06 07:08:09", "2024-05-06T07:08:09"),
        ("2024-05-06 07:08", "2024-05-06T07:08:00"),
        ("2024-05-06T07:08:09.250Z", "2024-05-06T07:08:09.25Z"),
        ("1904-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00.000000Z", None),
        ("0000:00:00 00:00:00", None),
        ("2024-13-06T07:08:09Z", None),
        ("2024", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates(text: str | None, iso: str | None) -> None:
    assert iso_date(text) == iso


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("+48.8577+002.2950+035.000/", GeoPoint(latitude=48.8577, longitude=2.295, altitude=35.0)),
        ("-33.8568+151.2153/", GeoPoint(latitude=-33.8568, longitude=151.2153)),
        ("+4851.462+00217.7/", GeoPoint(latitude=48 + 51.462 / 60, longitude=2 + 17.7 / 60)),
        ("+485127.72-0021742.0/", GeoPoint(latitude=48 + 51 / 60 + 27.72 / 3600, longitude=-(2 + 17 / 60 + 42 / 3600))),
        ("+00.0000+000.0000/", None),
        ("+91.0000+000.0000/", None),
        ("nowhere", None),
        (None, None),
    ],
)
def test_places(text: str | None, point: GeoPoint | None) -> None:
    found = parse_iso6709(text)
    if point is None or found is None:
        assert found is point
    else:
        assert found.latitude == pytest.approx(point.latitude)
        assert found.longitude == pytest.approx(point.longitude)
        assert found.altitude == point.altitude


def test_the_date_with_its_zone_wins() -> None:
    tags = {"creation_time": "2024-05-06T07:08:09Z", "com.apple.quicktime.creationdate": "2024-05-06T09:08:09+0200"}
    assert common_tags(tags)["created"] == "2024-05-06T09:08:09+02:00"
    assert common_tags({"date": "1999"})["created"] is None, "the year of a song is no creation date"
    assert (
        common_tags({"origination_date": "2024-05-06", "origination_time": "07:08:09"})["created"]
        == "2024-05-06T07:08:09"
    )


def test_tags_have_limits() -> None:
    kept = tidy({**{f"tag{number}": "x" * 10_000 for number in range(1_000)}, "empty": " \0"})
    assert len(kept) == 100
    assert max(map(len, kept.values())) == 2_000
    assert "empty" not in kept


@pytest.mark.parametrize(
    ("frame", "per_second", "drop", "text"),
    [
        (0, 25, False, "00:00:00:00"),
        (90_000 + 25, 25, False, "01:00:01:00"),
        (1_799, 30, True, "00:00:59;29"),
        (1_800, 30, True, "00:01:00;02"),
        (17_982, 30, True, "00:10:00;00"),
        (107_892, 30, True, "01:00:00;00"),
    ],
)
def test_timecodes(frame: int, per_second: int, text: str, *, drop: bool) -> None:
    assert timecode_text(frame, per_second, drop=drop) == text
