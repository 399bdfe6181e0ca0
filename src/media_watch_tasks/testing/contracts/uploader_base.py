"""What the suites for uploaders share: the hooks that a subclass fills in, and the files that are uploaded."""

# ruff: noqa: S101, PT017 - a suite asserts, also on what an exception carries

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Collection
from typing import ClassVar

import pytest

from media_watch_tasks.abc.uploader import Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AlreadyExists
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree

__all__ = ["UploaderSuite"]


class UploaderSuite:
    """The hooks. Every test gets a fresh, empty destination from the fixture `uploader`."""

    keeps_bytes: ClassVar[bool] = True
    """False where the destination keeps something else than the bytes: then objects are only counted."""
    several_parts: ClassVar[int] = 3 * 1024 * 1024 + 17
    """A size in bytes that the uploader sends in more than one piece."""
    hang_guard: ClassVar[float] = 60.0
    """Seconds after which a test that waits for a thread gives up."""

    @pytest.fixture
    def uploader(self) -> Uploader:
        """Override: the uploader under test, with an empty destination behind it, closed afterwards."""
        raise NotImplementedError("override the fixture `uploader`")

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        """Override: the bytes of every complete object that a reader of the destination can see now."""
        raise NotImplementedError("override `contents`")

    @pytest.fixture
    def tree(self) -> FakeTree:
        """The source of the files."""
        return FakeTree("contract:source")

    def payload(self, size: int, *, seed: int = 0) -> bytes:
        """Bytes that differ everywhere, the same at every run."""
        return random.Random(seed).randbytes(size)  # noqa: S311 - test data

    def resolve(self, tree: FakeTree, asset: MediaAsset) -> ResolvedMedia:
        """The asset as an uploader gets it."""
        return FakeResolver(tree).resolve_for_upload(asset, cancel=CancelToken())

    def new_media(self, tree: FakeTree, path: str | bytes, data: bytes) -> ResolvedMedia:
        """A new file, or a new version of one."""
        return self.resolve(tree, tree.put(path, data))

    def context(self, uploader: Uploader, media: ResolvedMedia, **settings: object) -> FakeContext:
        """A context with the key of this version at this destination."""
        return FakeContext.for_media(media, destination_id=uploader.destination_id, **settings)

    def deliver(self, uploader: Uploader, media: ResolvedMedia, context: FakeContext) -> UploadReceipt:
        """Upload; `AlreadyExists` with a receipt that proves equal content counts as delivered, as for a manager."""
        try:
            return uploader.upload(media, context)
        except AlreadyExists as found:
            with media.open() as body:
                sha256 = hashlib.sha256(body.read()).hexdigest()
            receipt = found.receipt
            assert receipt is not None, f"AlreadyExists without a receipt proves nothing: {found}"
            assert receipt.size == media.size
            assert found.by_key or receipt.sha256 == sha256
            return receipt

    def assert_holds(self, uploader: Uploader, *expected: bytes) -> None:
        """The destination shows exactly these objects."""
        found = list(self.contents(uploader))
        assert all(isinstance(data, bytes) for data in found)
        if self.keeps_bytes:
            assert _digests(found) == _digests(expected)
        else:
            assert len(found) == len(expected)

    def assert_receipt_fits(self, receipt: UploadReceipt, data: bytes) -> None:
        """What the receipt says is true of the bytes."""
        assert isinstance(receipt, UploadReceipt)
        assert receipt.size in {None, len(data)}
        assert receipt.sha256 in {None, hashlib.sha256(data).hexdigest()}


def _digests(objects: Collection[bytes]) -> Counter[tuple[int, str]]:
    """Sizes and hashes: a failure then shows a line, not megabytes."""
    return Counter((len(data), hashlib.sha256(data).hexdigest()[:12]) for data in objects)
