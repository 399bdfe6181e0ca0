"""PendingStore by itself: whole or not at all, each content once, never more than allowed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.errors import AssetChanged, ConfigurationError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import Route
from media_watch_tasks.spool import PendingStore
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.faults import Fault, FaultPlan

ROUTE = Route("source", "destination")
KEY, OTHER = "1" * 64, "2" * 64
Make = Callable[..., PendingStore]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda **settings: PendingStore(tmp_path / "spool", **settings)


def media(data: bytes, name: str = "clip.mov") -> ResolvedMedia:
    tree = FakeTree()
    return FakeResolver(tree).resolve_for_upload(tree.put(name, data), cancel=FakeContext().cancel)


def test_what_was_kept_is_read_back_whole_and_in_ranges(make: Make) -> None:
    data = os.urandom(3_000_000)
    kept = make().put(KEY, ROUTE, media(data))
    assert kept is not None
    again = make().get(KEY)
    assert again is not None
    assert (again.size, again.sha256, again.mime_type) == (
        len(data),
        hashlib.sha256(data).hexdigest(),
        "video/quicktime",
    )
    with again.open_stream(0, None) as stream:
        assert stream.read() == data
    with again.open_stream(1_000, 70_000) as stream:
        assert stream.read() == data[1_000:71_000]


def test_equal_content_is_kept_once_and_goes_with_its_last_task(make: Make) -> None:
    store = make()
    store.put(KEY, ROUTE, media(b"x" * 1_000))
    store.put(OTHER, ROUTE, media(b"x" * 1_000, "copy.mov"))
    assert store.size == 1_000
    assert store.free(KEY) == 0
    assert store.get(OTHER) is not None
    assert store.free(OTHER) == 1_000
    assert (store.size, store.free(OTHER)) == (0, None)


def test_keys_are_told_by_route(make: Make) -> None:
    store = make()
    store.put(KEY, ROUTE, media(b"x"))
    store.put(OTHER, Route("source", "elsewhere"), media(b"y"))
    assert list(store.keys(ROUTE)) == [KEY]


def test_the_limit_counts_what_other_threads_are_copying(make: Make) -> None:
    store = make(max_bytes=1_500)
    copying, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        copying.set()
        go_on.wait(20)

    with FaultPlan([Fault("read", at_byte=500, calls=wait)]) as plan:
        thread = threading.Thread(target=store.put, args=(KEY, ROUTE, plan.media(media(b"x" * 1_000))))
        thread.start()
        assert copying.wait(20)
        assert store.put(OTHER, ROUTE, media(b"y" * 1_000)) is None
        go_on.set()
        thread.join(20)
    assert store.size == 1_000


@pytest.mark.parametrize("error", [TransientError("cut off"), OSError(5, "bad sector")])
def test_a_copy_that_fails_leaves_nothing(make: Make, tmp_path: Path, error: Exception) -> None:
    store = make()
    with FaultPlan([Fault("read", at_byte=500, raises=error)]) as plan, pytest.raises(type(error)):
        store.put(KEY, ROUTE, plan.media(media(b"x" * 1_000)))
    assert (store.get(KEY), os.listdir(tmp_path / "spool" / "bytes")) == (None, [])


def test_a_file_that_ends_early_is_not_kept(make: Make) -> None:
    store = make()
    with FaultPlan([Fault("read", at_byte=500, cut=True)]) as plan, pytest.raises(AssetChanged):
        store.put(KEY, ROUTE, plan.media(media(b"x" * 1_000)))
    assert store.size == 0


def test_bytes_of_another_length_are_not_given_out(make: Make) -> None:
    store = make()
    kept = store.put(KEY, ROUTE, media(b"x" * 1_000))
    assert kept is not None
    Path(store._bytes.path, kept.sha256).write_bytes(b"x" * 999)
    assert store.get(KEY) is None


def test_opening_removes_what_a_dead_process_was_writing(make: Make, tmp_path: Path) -> None:
    make().put(KEY, ROUTE, media(b"x" * 1_000))
    left = tmp_path / "spool" / "bytes" / "tmp-0123"
    left.write_bytes(b"half")
    orphan = tmp_path / "spool" / "bytes" / ("0" * 64)
    orphan.write_bytes(b"nobody's")
    store = make()
    assert not left.exists()
    assert not orphan.exists()
    assert store.get(KEY) is not None


def test_opening_leaves_what_a_living_process_is_writing(make: Make) -> None:
    store = make()
    opened: list[PendingStore] = []
    with FaultPlan([Fault("read", at_byte=500, calls=lambda: opened.append(make()))]) as plan:
        kept = store.put(KEY, ROUTE, plan.media(media(b"x" * 1_000)))
    assert kept is not None
    with kept.open_stream(0, None) as stream:
        assert stream.read() == b"x" * 1_000


def test_an_unreadable_note_is_no_note(make: Make) -> None:
    store = make()
    store.put(KEY, ROUTE, media(b"x"))
    Path(store._notes.path, KEY).write_text("{")
    assert store.get(KEY) is None
    assert list(store.keys(ROUTE)) == []


@pytest.mark.parametrize(
    "wrong",
    [{"keep": "sometimes"}, {"on_dead": "bury"}, {"max_bytes": 0}, {"max_bytes": 1.5}, {"ttl": timedelta(0)}],
)
def test_settings_that_make_no_sense_are_refused(make: Make, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make(**wrong)


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        PendingStore(tmp_path / "spool")
