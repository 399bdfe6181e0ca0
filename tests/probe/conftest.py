"""Fixtures of the probe room: a prober per way of isolation, and folders of made files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # the makers of media files stand in a module beside the tests
    sys.path.insert(0, ROOT)

from tests.probe import media_files  # noqa: E402 - as above

from media_watch_tasks.probe import AvProber  # noqa: E402 - after the path is set, as in the test modules


@pytest.fixture(scope="session")
def in_process() -> Iterator[AvProber]:
    with AvProber(isolation="none") as prober:
        yield prober


@pytest.fixture(scope="session")
def in_workers() -> Iterator[AvProber]:
    with AvProber(workers=2) as prober:
        yield prober


@pytest.fixture(params=["in_process", "in_workers"])
def prober(request: pytest.FixtureRequest) -> AvProber:
    found: AvProber = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of H.264 and AAC, the index at the end."""
    return media_files.encode(tmp_path_factory.mktemp("clip") / "clip.mp4", video="libx264")
