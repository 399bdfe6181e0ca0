"""A pause tells people in one line what it stops, until when, and why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from media_watch_tasks.clock import to_ns
from media_watch_tasks.model.settlements import Pause, PauseScope


@pytest.mark.parametrize(
    ("pause", "line"),
    [
        (Pause(scope=PauseScope.ALL), "paused: all: by a call"),
        (Pause(scope=PauseScope.TAG, value="raw", reason="moving house"), "paused: tag raw: moving house"),
        (
            Pause(
                scope=PauseScope.DESTINATION,
                value="DirectoryUploader:/mnt/my  disk",
                until_ns=to_ns(datetime(2026, 3, 1, 9, 30, 5, 999_999, tzinfo=UTC)),
                reason="no room left:\n  0 bytes",
            ),
            "paused until 2026-03-01 09:30:05 UTC: destination DirectoryUploader:/mnt/my  disk: no room left: 0 bytes",
        ),
    ],
)
def test_a_pause_is_one_line(pause: Pause, line: str) -> None:
    assert pause.summary == line
