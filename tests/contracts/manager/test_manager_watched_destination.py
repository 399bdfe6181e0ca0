"""A destination in sight of its own source is refused: every file delivered would be found as a new one, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import (
    AllOf,
    DirectoryUploader,
    LocalMediaResolver,
    LocalMediaScanner,
    MediaFilter,
    MediaKind,
    TaskManager,
    TaskManagerOptions,
)
from media_watch_tasks.actions import MoveSource
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.stores.memory import MemoryMediaStateStore, MemoryTaskStore
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.uploaders import DryRun


def _manager(source: Path, uploader: Any, *, filter: MediaFilter | None = None, **options: Any) -> TaskManager:  # noqa: A002
    clock = FakeClock()
    return TaskManager(
        media_scanner=LocalMediaScanner(source, filter=filter),
        media_resolver=LocalMediaResolver(source),
        media_state_store=MemoryMediaStateStore(clock),
        task_store=MemoryTaskStore(clock),
        uploader=uploader,
        options=TaskManagerOptions(**options),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "backup").mkdir(parents=True)
    (tmp_path / "source" / ".backup").mkdir()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize(
    "wrapped", [lambda each: each, DryRun, lambda each: AllOf([each])], ids=["bare", "wrapped", "all"]
)
@pytest.mark.parametrize("below", ["", "backup"])
def test_a_destination_in_the_watched_folder_is_refused(source: Path, below: str, wrapped: Any) -> None:
    with pytest.raises(ConfigurationError, match="lies inside of the watched folder"):
        _manager(source, wrapped(DirectoryUploader(source / below)))


@pytest.mark.parametrize("target", [".backup", "../elsewhere", ".."])
def test_a_destination_out_of_sight_is_taken(source: Path, target: str) -> None:
    with _manager(source, DirectoryUploader(source / target)):
        pass


def test_an_excluded_folder_is_out_of_sight(source: Path) -> None:
    with _manager(source, DirectoryUploader(source / "backup"), filter=MediaFilter(exclude_paths=("backup",))):
        pass


@pytest.mark.parametrize(
    "filter", [MediaFilter(kinds={MediaKind.IMAGE}), MediaFilter(min_size=1 << 40)], ids=["kinds", "size"]
)
def test_a_filter_of_files_hides_no_folder(source: Path, filter: MediaFilter) -> None:  # noqa: A002
    with pytest.raises(ConfigurationError, match="lies inside of the watched folder"):
        _manager(source, DirectoryUploader(source / "backup"), filter=filter)
    with pytest.raises(ConfigurationError, match="which the scanner lists"):
        _manager(
            source, DirectoryUploader(source / "../elsewhere"), filter=filter, after_upload=MoveSource("delivered")
        )
