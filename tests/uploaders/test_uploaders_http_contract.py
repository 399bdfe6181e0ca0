"""HttpUploader keeps the promises of uploaders, at servers that know digests and conditions, and at others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.uploaders.fault_server import FaultServer

from media_watch_tasks.abc import Uploader
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeTree
from media_watch_tasks.uploaders import HttpUploader


class _HttpSuite(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    knows_digests = True
    knows_conditions = True

    @pytest.fixture
    def server(self) -> Iterator[FaultServer]:
        with FaultServer(digests=self.knows_digests, conditions=self.knows_conditions) as server:
            self.world = server
            yield server

    def contents(self, uploader: Uploader) -> list[bytes]:
        return self.world.bodies

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        (path,) = self.world.objects
        self.world.put(path, b"damaged" + self.world.objects[path].data[7:])


class TestPut(_HttpSuite):
    @pytest.fixture
    def uploader(self, server: FaultServer) -> Iterator[Uploader]:
        with HttpUploader(server.url + "/{path}") as uploader:
            yield uploader


class TestPutToAPlainServer(TestPut):
    """It knows neither digests nor conditions: what stands there is read again."""

    knows_digests = False
    knows_conditions = False


class TestPutByKeyHashedBefore(_HttpSuite):
    @pytest.fixture
    def uploader(self, server: FaultServer) -> Iterator[Uploader]:
        with HttpUploader(server.url + "/{key}{ext}", digest="always", if_exists="replace") as uploader:
            yield uploader


class TestPost(_HttpSuite):
    """The server names what it gets, and tells repetitions by the idempotency key."""

    field: str | None = None

    @pytest.fixture
    def uploader(self, server: FaultServer) -> Iterator[Uploader]:
        with HttpUploader(server.url + "/upload", method="POST", field_name=self.field) as uploader:
            yield uploader

    def test_what_was_delivered_is_found(self, uploader: Uploader, tree: FakeTree) -> None:
        media = self.new_media(tree, "clip.mov", self.payload(1_000))
        assert isinstance(uploader, HttpUploader)
        uploader.upload(media, self.context(uploader, media))
        assert uploader.find_existing(media, self.context(uploader, media)) is None, (
            "nobody knows its URL without an answer"
        )


class TestPostAForm(TestPost):
    field = "file"
