"""TusUploader keeps the promises of uploaders at the reference server for Node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.uploaders.tus.real_server import TusServer, running

from media_watch_tasks.abc import Uploader
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import ChecksContract, ResumableContract
from media_watch_tasks.uploaders import TusUploader

pytestmark = pytest.mark.xdist_group("tus")  # one server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TusServer]:
    with running(tmp_path_factory.mktemp("tus")) as server:
        yield server


class TestTus(UploaderContract, ResumableContract, ChecksContract):
    @pytest.fixture(autouse=True)
    def empty(self, server: TusServer) -> None:
        for name in server.folder.iterdir():
            name.unlink()
        self.server = server

    @pytest.fixture
    def uploader(self, server: TusServer) -> Iterator[Uploader]:
        with TusUploader(server.url, chunk_size=512 * 1024) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> list[bytes]:
        return self.server.complete()

    def leftovers(self, uploader: Uploader) -> int:
        return len(self.server.uploads()) - len(self.server.complete())


class TestTusInOneChunk(UploaderContract):
    """Files that fit into one chunk are sent with their creation."""

    @pytest.fixture(autouse=True)
    def empty(self, server: TusServer) -> None:
        for name in server.folder.iterdir():
            name.unlink()
        self.server = server

    def test_every_capability_comes_with_its_suite(self, uploader: Uploader) -> None:
        """They are tested above; here only the way that files take differs."""

    @pytest.fixture
    def uploader(self, server: TusServer) -> Iterator[Uploader]:
        with TusUploader(server.url) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> list[bytes]:
        return self.server.complete()
