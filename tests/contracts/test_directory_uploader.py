"""DirectoryUploader against the contracts of uploaders, with each of its ways to verify and to keep versions."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from media_watch_tasks.abc import Uploader
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.uploaders import DirectoryUploader


def visible_files(root: str) -> dict[str, bytes]:
    """What somebody who opens the folder sees: everything but hidden temporary files."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith("."):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, root)] = file.read()
    return found


class TestDirectoryUploader(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    settings: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        target = tmp_path / "backup"
        target.mkdir()
        return target

    @pytest.fixture
    def uploader(self, target: Path) -> Iterator[DirectoryUploader]:
        with DirectoryUploader(target, **self.settings) as uploader:  # type: ignore[arg-type]  # told by the subclass
            yield uploader
            assert self.left_behind(target) == []

    def left_behind(self, target: Path) -> list[Path]:
        return [path for path in target.rglob("*") if path.name.startswith(".mwt-")]

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        assert isinstance(uploader, DirectoryUploader)
        return visible_files(uploader.target).values()

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        assert isinstance(uploader, DirectoryUploader)
        assert receipt.remote_id is not None
        with open(os.path.join(uploader.target, receipt.remote_id), "r+b") as file:
            file.seek(10)
            file.write(b"damaged")


class TestDirectoryUploaderWithVersions(TestDirectoryUploader):
    settings: ClassVar[dict[str, object]] = {"on_newer": "version", "verify": "size"}


class TestDirectoryUploaderByDate(TestDirectoryUploader):
    settings: ClassVar[dict[str, object]] = {"template": "{year}/{month}/{name}", "verify": "none", "fsync": False}


class TestDirectoryUploaderByKey(TestDirectoryUploader):
    settings: ClassVar[dict[str, object]] = {"template": "{key2}/{key}{ext}"}
