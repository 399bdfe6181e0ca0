"""The hash of bytes on their way is that of all of them, in order, whether a thread takes it or not."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest

from media_watch_tasks.http.bodies import MediaBody
from media_watch_tasks.http.passing_hash import PassingHash
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree

MIB = 1 << 20


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mwt-hash")]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 21 * MIB + 3])
@pytest.mark.parametrize("piece", [MIB, 3 * MIB + 1])
def test_it_is_the_hash_of_all_bytes_in_order(size: int, piece: int) -> None:
    data = random.Random(size).randbytes(size)
    with PassingHash() as digest:
        for start in range(0, size, piece):
            digest.update(memoryview(data)[start : start + piece])
            assert digest.hexdigest() == hashlib.sha256(data[: start + piece]).hexdigest()
        assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    assert _threads() == []


def test_a_small_file_needs_no_thread_and_a_large_one_has_one_until_its_end() -> None:
    with PassingHash() as digest:
        digest.update(bytes(8 * MIB))
        assert _threads() == []
        digest.update(b"more")
        assert len(_threads()) == 1
    assert _threads() == []


def test_a_body_that_is_left_in_its_middle_leaves_no_thread() -> None:
    tree = FakeTree()
    media = FakeResolver(tree).resolve_for_upload(tree.put("clip.mov", bytes(32 * MIB)), cancel=FakeContext().cancel)
    pieces = iter(MediaBody(media, FakeContext.for_media(media)))
    for _ in range(12):
        next(pieces)
    assert len(_threads()) == 1
    pieces.close()  # type: ignore[attr-defined]  # a generator
    assert (_threads(), tree.open_streams) == ([], 0)
