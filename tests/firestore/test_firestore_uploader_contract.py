"""FirestoreUploader keeps to the contracts of uploaders, alone and behind another uploader."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from google.cloud import firestore

from media_watch_tasks.abc import Uploader
from media_watch_tasks.firestore import CatalogMapping, DocumentMapping, FirestoreUploader
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    BatchUploaderContract,
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.uploaders import DirectoryUploader, Then


class TestFirestoreUploader(
    UploaderContract, BatchUploaderContract, FindsExistingContract, VerifiesContract, ChecksContract
):
    keeps_bytes = False
    mapping: ClassVar[DocumentMapping] = DocumentMapping()
    place: ClassVar[str] = "files"

    @pytest.fixture
    def uploader(self, client: firestore.Client) -> Iterator[FirestoreUploader]:
        self.client = client
        with FirestoreUploader(client, mapping=self.mapping, hash_content=True) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return [str(document.to_dict()).encode() for document in self.client.collection_group(self.place).stream()]

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        self.client.document(receipt.remote_id).update({"size": 1})


class TestFirestoreUploaderInCatalogs(TestFirestoreUploader):
    mapping = CatalogMapping("{catalog}/{series}", otherwise=DocumentMapping("contents"))
    place = "contents"


class TestFirestoreUploaderBehindAFolder(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    """The bytes go into a folder first; what is looked at are the documents."""

    keeps_bytes = False

    @pytest.fixture
    def uploader(self, client: firestore.Client, tmp_path: Path) -> Iterator[Then]:
        self.client = client
        with Then(DirectoryUploader(tmp_path / "bytes", create=True), FirestoreUploader(client)) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        return [str(document.to_dict()).encode() for document in self.client.collection("files").stream()]

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        self.client.document(receipt.remote_id).update({"size": 1})
