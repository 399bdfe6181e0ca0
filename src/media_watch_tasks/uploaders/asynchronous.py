"""AsyncUploader: for applications whose client is asynchronous."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any, BinaryIO, Self, TypeVar

from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.lazy_loop import LazyLoop

__all__ = ["CHUNK_SIZE", "AsyncUploader", "iter_chunks"]

_Result = TypeVar("_Result")

CHUNK_SIZE = 1 << 20
"""Bytes that `iter_chunks` reads at a time by default."""


class AsyncUploader(Uploader):
    """Runs `upload_async` of a subclass on one private event loop, in a thread of its own made at the first upload.

        class MyUploader(AsyncUploader):
            async def upload_async(self, media, context):
                async with aclosing(iter_chunks(media, context=context)) as chunks:
                    response = await self.client.put(f"/media/{context.key}", content=chunks)
                await asyncio.to_thread(context.confirm)
                …

    Uploads from several threads run beside one another on that loop, so a client that belongs to a loop can be made in
    `upload_async` and kept. What the coroutine raises, the caller gets unchanged. When the context's token is
    cancelled, the coroutine is; `upload` returns once it has ended. `confirm` and `save_resume_state` ask the database:
    call them through `asyncio.to_thread`, so that they do not block the loop. Thread-safe.
    """

    # Set by `__new__` and out of the way of the subclass's names, so that its `__init__` need not know of it.
    __loop: LazyLoop

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:  # noqa: ANN401 - what the subclass's constructor takes
        """Set up the loop that the first upload starts."""
        self = super().__new__(cls)
        self.__loop = LazyLoop(cls.__name__)
        return self

    @abstractmethod
    async def upload_async(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Deliver the file, as `Uploader.upload` says; runs on the private loop."""

    async def close_async(self) -> None:
        """Release what belongs to the loop. `close` runs it there, if there has ever been an upload."""

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Run the coroutine on the private loop, and wait for it.

        Raises:
            OperationCancelled: the context's token was cancelled, and the coroutine ended by that.
            TransientError: the uploader was closed, or the coroutine was cancelled by something else.
            ConfigurationError: called from the private loop itself, which would wait for ever.
        """
        context.cancel.raise_if_cancelled()
        return self.__loop.started().run(lambda: self.upload_async(media, context), context.cancel)

    def close(self) -> None:
        """Cancel what still runs, run `close_async`, and end the loop and its thread. May be called again."""
        self.__loop.close(self.close_async)


async def iter_chunks(
    media: ResolvedMedia, *, context: UploadContext | None = None, chunk_size: int = CHUNK_SIZE
) -> AsyncGenerator[bytes, None]:
    """The bytes of the file, read in a thread, so that the loop is never blocked by a slow source.

    Wrap it in `contextlib.aclosing`, so that the source's stream is closed at once also where not all of it is read. A
    cancelled read is waited for: a stream cannot be closed under the thread that reads it.

    Args:
        media: the file.
        context: reports what is read as progress of the transfer.
        chunk_size: bytes of a chunk, at most.
    """
    opened: list[BinaryIO] = []
    try:
        await _in_thread(lambda: opened.append(media.open()))
        stream = opened[0] if context is None else context.watch(opened[0])
        while chunk := await _in_thread(lambda: stream.read(chunk_size)):
            yield chunk
    finally:
        for stream in opened:
            await _in_thread(stream.close)


async def _in_thread(call: Callable[[], _Result]) -> _Result:
    import asyncio  # noqa: PLC0415 - only a program that runs a loop has paid for it

    pending = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(pending)
    except asyncio.CancelledError:
        await asyncio.wait([pending])
        # Looked at, so that the loop does not report an error that nobody wants any more.
        if not pending.cancelled():
            pending.exception()
        raise
