"""The private loop of an AsyncUploader: one for all threads, cancelled by the token, gone after close."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from media_watch_tasks.abc import UploadContext
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, RateLimited, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.uploaders import AsyncUploader, iter_chunks

HANG_GUARD = 30.0
Body = Callable[["Scripted", ResolvedMedia, UploadContext], Awaitable[UploadReceipt]]


class Scripted(AsyncUploader):
    """Does what the test says; it calls no constructor of its base class."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.ended = threading.Event()
        self.started = threading.Event()
        self.closed_on: list[threading.Thread] = []

    async def upload_async(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        self.started.set()
        try:
            return await self.body(self, media, context)
        finally:
            self.ended.set()

    async def close_async(self) -> None:
        self.closed_on.append(threading.current_thread())


async def _deliver(_self: Scripted, _media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
    await asyncio.sleep(0)
    return UploadReceipt(context.key)


async def _wait_for_ever(_self: Scripted, _media: ResolvedMedia, _context: UploadContext) -> UploadReceipt:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree()


@pytest.fixture
def media(tree: FakeTree) -> ResolvedMedia:
    return FakeResolver(tree).resolve_for_upload(tree.put("clip.mov", b"0123456789"), cancel=CancelToken())


def test_all_threads_share_one_loop_in_one_thread(media: ResolvedMedia) -> None:
    seen: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []
    together = threading.Barrier(4, timeout=HANG_GUARD)

    async def body(_self: Scripted, _media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        # All four are on the loop at once: none waits for another to end.
        await asyncio.to_thread(together.wait)
        seen.append((asyncio.get_running_loop(), threading.current_thread()))
        return UploadReceipt(context.key)

    with Scripted(body) as uploader, ThreadPoolExecutor(4) as pool:
        keys = [f"{number}" * 64 for number in range(4)]
        receipts = pool.map(lambda key: uploader.upload(media, FakeContext(key)).remote_id, keys)
        assert list(receipts) == keys
    assert len(set(seen)) == 1
    assert seen[0][1] not in {threading.current_thread(), threading.main_thread()}


def test_no_thread_is_made_before_the_first_upload(media: ResolvedMedia) -> None:
    before = threading.active_count()
    uploader = Scripted(_deliver)
    assert threading.active_count() == before
    uploader.upload(media, FakeContext())
    assert threading.active_count() == before + 1
    uploader.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("later", until=datetime(2026, 1, 1, tzinfo=UTC)),
        TransientError("no"),
        ZeroDivisionError("x"),
        SystemExit(3),
        KeyboardInterrupt(),
    ],
)
def test_what_the_coroutine_raises_comes_unchanged_and_the_loop_lives(
    media: ResolvedMedia, error: BaseException
) -> None:
    errors = [error]

    async def body(self: Scripted, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        if errors:
            raise errors.pop()
        return await _deliver(self, media, context)

    with Scripted(body) as uploader:
        with pytest.raises(type(error)) as caught:
            uploader.upload(media, FakeContext())
        assert caught.value is error
        assert uploader.upload(media, FakeContext()).remote_id is not None


def test_a_cancelled_token_cancels_the_coroutine_and_waits_for_it(media: ResolvedMedia) -> None:
    tidied: list[str] = []

    async def body(_self: Scripted, _media: ResolvedMedia, _context: UploadContext) -> UploadReceipt:
        try:
            await asyncio.Event().wait()
        finally:
            # Whoever does not wait has returned by the time that this is over.
            await asyncio.sleep(0.05)
            tidied.append("up")
        raise AssertionError("cancelled above")

    with Scripted(body) as uploader, ThreadPoolExecutor(1) as pool:
        context = FakeContext()
        pending = pool.submit(uploader.upload, media, context)
        assert uploader.started.wait(HANG_GUARD)
        context.cancel.cancel(CancelReason.STALL)
        with pytest.raises(OperationCancelled) as caught:
            pending.result(HANG_GUARD)
        assert caught.value.reason is CancelReason.STALL
        assert tidied == ["up"]


def test_a_token_cancelled_before_starts_nothing(media: ResolvedMedia) -> None:
    context = FakeContext()
    context.cancel.cancel()
    with Scripted(_deliver) as uploader:
        with pytest.raises(OperationCancelled):
            uploader.upload(media, context)
        assert not uploader.started.is_set()


def test_a_receipt_that_comes_in_spite_of_the_cancellation_counts(media: ResolvedMedia) -> None:
    async def body(_self: Scripted, _media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        context.cancel.cancel(CancelReason.SHUTDOWN)
        return UploadReceipt("delivered")

    with Scripted(body) as uploader:
        assert uploader.upload(media, FakeContext()).remote_id == "delivered"


def test_a_coroutine_that_cancels_itself_is_retried(media: ResolvedMedia) -> None:
    async def body(_self: Scripted, _media: ResolvedMedia, _context: UploadContext) -> UploadReceipt:
        raise asyncio.CancelledError

    with Scripted(body) as uploader, pytest.raises(TransientError, match="cancelled"):
        uploader.upload(media, FakeContext())


def test_the_token_of_a_finished_upload_is_forgotten(media: ResolvedMedia) -> None:
    context = FakeContext()
    uploader = Scripted(_deliver)
    uploader.upload(media, context)
    uploader.close()
    context.cancel.cancel()


def test_close_cancels_what_runs_closes_on_the_loop_and_ends_the_thread(media: ResolvedMedia) -> None:
    uploader = Scripted(_wait_for_ever)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(uploader.upload, media, FakeContext())
        assert uploader.started.wait(HANG_GUARD)
        uploader.close()
        with pytest.raises(TransientError):
            pending.result(HANG_GUARD)
    assert uploader.ended.is_set()
    (thread,) = uploader.closed_on
    assert thread is not threading.current_thread()
    assert not thread.is_alive()
    uploader.close()
    assert len(uploader.closed_on) == 1
    with pytest.raises(TransientError, match="closed"):
        uploader.upload(media, FakeContext())


def test_an_uploader_never_used_is_closed_without_a_loop() -> None:
    uploader = Scripted(_deliver)
    uploader.close()
    assert uploader.closed_on == []


def test_an_error_of_close_async_is_told_and_the_thread_ends(media: ResolvedMedia) -> None:
    class Stubborn(Scripted):
        async def close_async(self) -> None:
            raise ZeroDivisionError

    before = threading.active_count()
    uploader = Stubborn(_deliver)
    uploader.upload(media, FakeContext())
    with pytest.raises(ZeroDivisionError):
        uploader.close()
    assert threading.active_count() == before


def test_upload_on_the_private_loop_is_refused(media: ResolvedMedia) -> None:
    async def body(self: Scripted, media: ResolvedMedia, _context: UploadContext) -> UploadReceipt:
        return self.upload(media, FakeContext())

    with Scripted(body) as uploader, pytest.raises(ConfigurationError, match="upload_async"):
        uploader.upload(media, FakeContext())


def test_uploads_that_race_with_close_all_end(media: ResolvedMedia) -> None:
    uploader = Scripted(_deliver)
    ended: list[str] = []

    def work() -> None:
        try:
            while True:
                uploader.upload(media, FakeContext())
        except TransientError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert uploader.started.wait(HANG_GUARD)
    uploader.close()
    for thread in threads:
        thread.join(HANG_GUARD)
    assert len(ended) == 4


class TestChunks:
    def test_they_are_read_beside_the_loop(self, media: ResolvedMedia, tree: FakeTree) -> None:
        reading, release = threading.Event(), threading.Event()

        def block() -> None:
            reading.set()
            assert release.wait(HANG_GUARD)

        async def body(_self: Scripted, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            async def collect() -> bytes:
                async with aclosing(iter_chunks(media, context=context, chunk_size=4)) as chunks:
                    return b"|".join([chunk async for chunk in chunks])

            pending = asyncio.ensure_future(collect())
            # The loop turns while the source is stuck in a read.
            while not reading.is_set():  # noqa: ASYNC110 - that it turns is what is tested
                await asyncio.sleep(0)
            release.set()
            return UploadReceipt((await pending).decode())

        context = FakeContext()
        with FaultPlan([Fault("read", at_byte=4, calls=block)]) as plan, Scripted(body) as uploader:
            assert uploader.upload(plan.media(media), context).remote_id == "0123|4567|89"
        assert context.bytes_read == 10
        assert tree.open_streams == 0

    @pytest.mark.parametrize("at", ["opening", "reading"])
    def test_a_cancelled_read_is_waited_for_and_the_stream_closed(
        self, media: ResolvedMedia, tree: FakeTree, at: str
    ) -> None:
        reading, release = threading.Event(), threading.Event()

        def block() -> None:
            reading.set()
            assert release.wait(HANG_GUARD)

        async def body(_self: Scripted, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
            async with aclosing(iter_chunks(media, context=context, chunk_size=4)) as chunks:
                async for _ in chunks:
                    pass
            raise AssertionError("cancelled above")

        context = FakeContext()
        fault = Fault("read", calls=block, at_byte=None if at == "opening" else 4)
        with FaultPlan([fault]) as plan, Scripted(body) as uploader, ThreadPoolExecutor(1) as pool:
            pending = pool.submit(uploader.upload, plan.media(media), context)
            assert reading.wait(HANG_GUARD)
            context.cancel.cancel(CancelReason.USER)
            release.set()
            with pytest.raises(OperationCancelled):
                pending.result(HANG_GUARD)
        assert tree.open_streams == 0

    def test_a_reader_that_stops_early_closes_the_stream(self, media: ResolvedMedia, tree: FakeTree) -> None:
        async def body(_self: Scripted, media: ResolvedMedia, _context: UploadContext) -> UploadReceipt:
            async with aclosing(iter_chunks(media, chunk_size=4)) as chunks:
                async for chunk in chunks:
                    return UploadReceipt(chunk.decode())
            raise AssertionError("there is a first chunk")

        with Scripted(body) as uploader:
            assert uploader.upload(media, FakeContext()).remote_id == "0123"
            assert tree.open_streams == 0
