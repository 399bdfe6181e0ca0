"""The local scanner keeps to the contract of a MediaScanner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner, reading_ahead
from media_watch_tasks.local.reading_ahead import FolderListing, ReadingAhead
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
    """Every folder but the root is read by the second process, which otherwise only a large tree brings about."""

    read_ahead = 64

    @pytest.fixture(autouse=True)
    def every_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        right = ReadingAhead.answer

        def answer(
            self: ReadingAhead, directory: bytes, cancel: CancelToken, *, patience: float
        ) -> FolderListing | None:
            if self._process is not None and directory not in {*self._process.asked, *self._answers}:
                self._request([directory])
            return right(self, directory, cancel, patience=patience + 30)

        monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", 0)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
        monkeypatch.setattr(reading_ahead, "_computing", lambda: 1)
        monkeypatch.setattr(ReadingAhead, "answer", answer)
