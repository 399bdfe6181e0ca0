"""An event loop in a thread of its own, on which other threads run coroutines and wait for them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, TransientError
from media_watch_tasks.model.values import Value

__all__ = ["PrivateLoop"]

_Result = TypeVar("_Result")

_THREADS = 32
"""For blocking reads beside the loop: threads are made as they are needed."""


@attrs.frozen(eq=False, repr=False)
class _Ending(Value):
    """`SystemExit` or `KeyboardInterrupt` of a coroutine: let through, they would end the loop for all others."""

    error: BaseException


class PrivateLoop:
    """Runs from its construction to `close`. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(
            concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix=f"{name}-read")
        )
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{name}-loop", daemon=True)
        self._thread.start()

    def run(self, make: Callable[[], Awaitable[_Result]], cancel: CancelToken) -> _Result:
        """Run a coroutine, cancel it with the token, and return what it returns once it has ended.

        Raises:
            OperationCancelled: the token was cancelled, and the coroutine ended by that.
            TransientError: it was cancelled by something else, or the loop is closed.
            ConfigurationError: called on the loop itself.
            whatever the coroutine raises, unchanged.
        """
        if threading.current_thread() is self._thread:
            raise ConfigurationError("upload() was called on the uploader's own event loop: await upload_async() there")
        with self._lock:
            # What is scheduled here comes before what `close` schedules: it is ended by that, and never forgotten.
            if self._closing:
                raise TransientError("the uploader is closed")
            future = asyncio.run_coroutine_threadsafe(self._cancelled_with(make, cancel), self._loop)
        try:
            result = future.result()
        except concurrent.futures.CancelledError as error:
            if cancel.reason is not None:
                raise OperationCancelled(cancel.reason) from error
            raise TransientError("the upload was cancelled, by its own code or because the uploader closes") from error
        except BaseException:
            # An interrupt of the waiting thread; for what the coroutine raised there is nothing left to cancel.
            future.cancel()
            raise
        if isinstance(result, _Ending):
            raise result.error
        return result

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what runs and wait for it, run a last coroutine, and end the thread."""
        with self._lock:
            self._closing = True
            future = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        try:
            future.result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _cancelled_with(self, make: Callable[[], Awaitable[_Result]], cancel: CancelToken) -> _Result | _Ending:
        task = asyncio.current_task()

        def cancel_soon(_reason: object) -> None:
            # The loop may be closed by the time that a token is cancelled.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(task.cancel)  # type: ignore[union-attr]  # a coroutine runs in a task

        forget = cancel.on_cancel(cancel_soon)
        try:
            return await make()
        except (KeyboardInterrupt, SystemExit) as error:
            return _Ending(error)
        finally:
            forget()

    async def _end(self, last: Callable[[], Awaitable[None]]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        try:
            await last()
        finally:
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()
