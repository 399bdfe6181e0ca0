"""A small AsyncUploader against the contracts of uploaders."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator
from contextlib import aclosing

import pytest

from media_watch_tasks.abc import UploadContext, Uploader
from media_watch_tasks.errors import AssetChanged
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.uploaders import AsyncUploader, iter_chunks


class Shelf(AsyncUploader):
    """Keeps bytes by key, as a server with an asynchronous client would."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def upload_async(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        parts = []
        async with aclosing(iter_chunks(media, context=context, chunk_size=100_000)) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                await asyncio.sleep(0)
        data = b"".join(parts)
        if len(data) != media.size:
            raise AssetChanged(f"{len(data)} bytes instead of {media.size}")
        await asyncio.to_thread(context.confirm)
        self.objects[context.key] = data
        return UploadReceipt(context.key, size=len(data), sha256=hashlib.sha256(data).hexdigest())


class TestAsyncUploader(UploaderContract):
    @pytest.fixture
    def uploader(self) -> Iterator[Shelf]:
        with Shelf() as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> Collection[bytes]:
        assert isinstance(uploader, Shelf)
        return uploader.objects.values()
