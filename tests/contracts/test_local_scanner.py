"""The local scanner keeps to the contract of a MediaScanner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner, reading_ahead
from media_watch_tasks.testing.contracts.scanner import MediaScannerContract
from media_watch_tasks.testing.places import DirectoryPlace


class LocalPlace(DirectoryPlace):
    def scanner(self) -> LocalMediaScanner:
        return LocalMediaScanner(self.root)

    def resolver(self) -> LocalMediaResolver:
        return LocalMediaResolver(self.root)


class TestLocalMediaScanner(MediaScannerContract):
    read_ahead = 1

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[LocalPlace]:
        with LocalPlace(tmp_path) as place:
            yield place


class TestLocalMediaScannerThatReadsAhead(TestLocalMediaScanner):
    """With the second process from the first folder on, which otherwise only a large tree brings about."""

    read_ahead = 64

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", 0)
