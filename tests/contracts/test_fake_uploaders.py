"""The fakes keep the contract of the interface that they stand for."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

from media_watch_tasks.abc import Uploader
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    BatchUploaderContract,
    ChecksContract,
    FindsExistingContract,
    ResumableContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import (
    FakeBatchUploader,
    FakeUploader,
    RecordingUploader,
    ResumableFakeUploader,
)


class TestFakeUploader(UploaderContract):
    @pytest.fixture
    def uploader(self) -> FakeUploader:
        return FakeUploader()

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return cast("FakeUploader", uploader).objects.values()


class TestRecordingUploader(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    @pytest.fixture
    def uploader(self) -> RecordingUploader:
        return RecordingUploader()

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return cast("RecordingUploader", uploader).objects.values()

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        cast("RecordingUploader", uploader).objects[receipt.remote_id or ""] += b"!"


class TestFakeBatchUploader(UploaderContract, BatchUploaderContract):
    @pytest.fixture
    def uploader(self) -> FakeBatchUploader:
        return FakeBatchUploader()

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return cast("FakeBatchUploader", uploader).inner.objects.values()


class TestResumableFakeUploader(UploaderContract, ResumableContract):
    @pytest.fixture
    def uploader(self) -> ResumableFakeUploader:
        return ResumableFakeUploader()

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return cast("ResumableFakeUploader", uploader).objects.values()

    def leftovers(self, uploader: Uploader) -> int:
        return len(cast("ResumableFakeUploader", uploader).unfinished)
