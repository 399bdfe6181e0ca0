"""The local resolver changes files as `ChangesSource` promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.testing.contracts.changes_source import ChangesSourceContract
from media_watch_tasks.testing.places import DirectoryPlace


class LocalPlace(DirectoryPlace):
    def scanner(self) -> LocalMediaScanner:
        return LocalMediaScanner(self.root)

    def resolver(self) -> LocalMediaResolver:
        return LocalMediaResolver(self.root)


class TestLocalChanges(ChangesSourceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[LocalPlace]:
        with LocalPlace(tmp_path) as place:
            yield place
