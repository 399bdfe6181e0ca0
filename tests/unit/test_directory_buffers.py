"""The buffers that files pass through."""

from __future__ import annotations

import ctypes
import mmap
import threading

from media_watch_tasks.uploaders.directory.buffers import BUFFER_SIZE, borrowed


def _address(buffer: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def test_a_thread_gets_its_buffer_again_and_it_begins_with_a_page() -> None:
    with borrowed() as first:
        assert len(first) == BUFFER_SIZE
        assert _address(first) % mmap.PAGESIZE == 0
    with borrowed() as second:
        assert second is first


def test_a_buffer_in_use_is_nobody_elses() -> None:
    others: list[memoryview] = []

    def borrow() -> None:
        with borrowed() as buffer:
            others.append(buffer)

    with borrowed() as mine, borrowed() as inner:
        thread = threading.Thread(target=borrow)
        thread.start()
        thread.join()
        assert len({_address(buffer) for buffer in (mine, inner, *others)}) == 3
