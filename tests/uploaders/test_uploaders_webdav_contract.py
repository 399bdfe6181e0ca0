"""What stands on a WebDAV server that is not ours, `rclone serve webdav`: under the file's name, and under another."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.rclone_webdav import READY_GUARD, running

from media_watch_tasks.abc import Uploader
from media_watch_tasks.errors import PermanentError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    RemovesUnfinishedContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeContext, FakeTree
from media_watch_tasks.uploaders import HttpUploader, WebdavUploader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("webdav")


@pytest.fixture(scope="module")
def webdav(folder: Path) -> Iterator[str]:
    """The URL of a server over the folder."""
    with running(folder) as url:
        yield url


class _Suite(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    @pytest.fixture(autouse=True)
    def empty(self, folder: Path) -> None:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.folder = folder

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def deliver(self, uploader: Uploader, media: ResolvedMedia, context: FakeContext) -> UploadReceipt:
        deadline = time.monotonic() + READY_GUARD
        while True:
            try:
                return super().deliver(uploader, media, context)
            except TransientError as error:
                # The file is locked until the server has noticed that the request before it broke off.
                if "423 Locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        (path,) = self.files()
        path.write_bytes(b"damaged" + path.read_bytes()[7:])


class TestWebdav(_Suite):
    """The server shows what came of a request that broke off. It is never whole, never called delivered, and the next
    attempt replaces it.
    """

    @pytest.fixture(autouse=True)
    def nothing_made(self) -> None:
        self.made: list[bytes] = []

    def new_media(self, tree: FakeTree, path: str | bytes, data: bytes) -> ResolvedMedia:
        self.made.append(data)
        return super().new_media(tree, path, data)

    def assert_holds(self, uploader: Uploader, *expected: bytes) -> None:
        parts = list(self.contents(uploader))
        for data in expected:
            assert data in parts, "an object is missing"
            parts.remove(data)
        for part in parts:
            assert part not in self.made, "a whole object stands where none must be"
            assert any(data.startswith(part) for data in self.made)

    @pytest.fixture
    def uploader(self, webdav: str) -> Iterator[Uploader]:
        with HttpUploader(webdav + "/{key}{ext}") as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> list[bytes]:
        return [path.read_bytes() for path in self.files()]


class TestWebdavUploader(_Suite, RemovesUnfinishedContract):
    """Under its own name a file is whole, or it is not there."""

    template = "/{path}"

    @pytest.fixture
    def uploader(self, webdav: str) -> Iterator[Uploader]:
        with WebdavUploader(webdav + self.template) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> list[bytes]:
        return [path.read_bytes() for path in self.files() if not path.name.startswith(".mwt-")]

    def leftovers(self, uploader: Uploader) -> int:
        return len([path for path in self.files() if path.name.startswith(".mwt-")])

    def test_half_a_file_stands_under_another_name_alone(self, uploader: Uploader, tree: FakeTree) -> None:
        self._cut_off(uploader, tree, seed=1)
        deadline = time.monotonic() + self.hang_guard
        while not self.files():
            assert time.monotonic() < deadline, "nothing of it had arrived"
            time.sleep(0.01)
        assert (self.leftovers(uploader), self.contents(uploader)) == (1, [])


class TestWebdavUploaderByKey(TestWebdavUploader):
    template = "/{key2}/{key}{ext}"


@pytest.mark.parametrize("name", ["line\r\nbreak.mov", "bell\x07.mov", "delete\x7f.mov"])
def test_a_name_that_servers_hide_is_refused_before_anything_is_sent(
    rig: Any, webdav: str, folder: Path, name: str
) -> None:
    media = rig.media(name, b"clip")
    earlier = sorted(folder.rglob("*"))
    with WebdavUploader(webdav + "/{path}") as uploader:
        with pytest.raises(PermanentError, match="control character"):
            uploader.upload(media, rig.context(media))
        assert sorted(folder.rglob("*")) == earlier
    with WebdavUploader(webdav + "/{key}") as uploader:
        assert uploader.upload(media, rig.context(media)).size == len(b"clip")
