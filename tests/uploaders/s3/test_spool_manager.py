"""A manager with a PendingStore: a retry works although the source is gone, and bytes go when nobody needs them."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from media_watch_tasks.errors import (
    AssetChanged,
    AuthenticationRequiredError,
    DestinationFull,
    PermanentError,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.events import PayloadFreed, PayloadKept
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import RetryOptions
from media_watch_tasks.spool import PendingStore
from media_watch_tasks.testing.fakes import FakeUploader

DATA = b"footage of the day " * 10_000


@pytest.fixture
def spool(watch: Any, tmp_path: Path) -> Callable[..., PendingStore]:
    return lambda **settings: PendingStore(tmp_path / "spool", clock=watch.clock, **settings)


def heard(watch: Any, kind: type[Any]) -> list[Any]:
    return [event for event in watch.events if isinstance(event, kind)]


FAILURES = {
    "network": TransientError("the line dropped"),
    "unknown": RuntimeError("whatever"),
    "credentials": AuthenticationRequiredError("sign in", party="destination"),
    "full": DestinationFull("no room"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("vanished", ["deleted", "offline"])
def test_a_retry_works_although_the_source_is_gone(
    watch: Any, spool: Callable[..., PendingStore], failure: str, vanished: str
) -> None:
    store, uploader = spool(), FakeUploader(outcomes=[FAILURES[failure]])
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("card/clip.mov", DATA)
    assert watch.run(manager).state in {TaskState.FAILED, TaskState.PENDING}
    assert store.size == len(DATA)
    assert [event.size for event in heard(watch, PayloadKept)] == [len(DATA)]
    if vanished == "deleted":
        watch.tree.remove("card/clip.mov")
        task = watch.again(manager)
    else:
        with watch.tree.taken_offline():
            task = watch.again(manager)
    assert task.state is TaskState.SUCCESS
    assert uploader.delivered("card/clip.mov") == [DATA]
    assert store.size == 0
    assert [(event.reason, event.size) for event in heard(watch, PayloadFreed)] == [("delivered", len(DATA))]


def test_without_it_the_task_ends_with_its_source(watch: Any) -> None:
    uploader = FakeUploader(outcomes=[TransientError("the line dropped")])
    manager = watch.manager(uploader)
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    watch.tree.remove("clip.mov")
    assert watch.again(manager).reason == "source_gone"


@pytest.mark.parametrize(
    "failure", [PermanentError("no"), Snooze(timedelta(hours=1)), SourceOfflineError("away"), AssetChanged("other")]
)
def test_what_is_not_the_destinations_fault_keeps_nothing(
    watch: Any, spool: Callable[..., PendingStore], failure: Exception
) -> None:
    store = spool()
    manager = watch.manager(FakeUploader(outcomes=[failure]), parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.scan(manager)
    manager.process(limit=1)
    assert [event.size for event in heard(watch, PayloadKept)] in ([], [len(DATA)])
    kept_for = isinstance(failure, AssetChanged)  # the file looks as before: a failure like any other
    assert (store.size > 0) == kept_for


def test_off_keeps_nothing(watch: Any, spool: Callable[..., PendingStore]) -> None:
    store = spool(keep="off")
    manager = watch.manager(FakeUploader(outcomes=[TransientError("x")]), parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    assert store.size == 0


def test_always_keeps_before_anything_is_sent_and_sends_from_there(
    watch: Any, spool: Callable[..., PendingStore]
) -> None:
    store = spool(keep="always")
    seen: list[int] = []

    def look(_media: Any, _context: Any) -> UploadReceipt | None:
        seen.append(store.size)
        watch.tree.remove("clip.mov")
        return None

    uploader = FakeUploader(outcomes=[look])
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    assert watch.run(manager).state is TaskState.SUCCESS
    assert (seen, uploader.delivered("clip.mov"), store.size) == ([len(DATA)], [DATA], 0)


def test_a_newer_version_at_the_source_is_sent_and_not_what_was_kept(
    watch: Any, spool: Callable[..., PendingStore]
) -> None:
    store, uploader = spool(), FakeUploader(outcomes=[TransientError("x")])
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    watch.tree.change("clip.mov", DATA + b"more")
    watch.clock.advance(timedelta(hours=1))
    manager.process()
    watch.clock.advance(timedelta(hours=1))
    manager.process()
    assert uploader.delivered("clip.mov") == [DATA + b"more"]
    assert store.size == 0
    assert "cancelled: superseded" in [event.reason for event in heard(watch, PayloadFreed)]


def test_bytes_read_while_the_source_changed_are_not_kept(watch: Any, spool: Callable[..., PendingStore]) -> None:
    store = spool()
    uploader = FakeUploader()

    def fail(_media: Any, _context: Any) -> None:
        watch.tree.change("clip.mov", b"y" * len(DATA))
        raise TransientError("x")

    uploader._outcomes = iter([fail])
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.scan(manager)
    manager.process(limit=1)
    assert store.size == 0


@pytest.mark.parametrize("keep", ["on_failure", "always"])
def test_bytes_of_two_versions_are_not_kept(
    watch: Any, spool: Callable[..., PendingStore], monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    store, uploader = spool(keep=keep), FakeUploader(outcomes=[TransientError("x")])
    right, torn = store.put, []

    def put(key: str, route: Any, media: ResolvedMedia) -> Any:
        with media.open() as stream:
            half = stream.read(len(DATA) // 2)
            watch.tree.change("clip.mov", b"y" * len(DATA))
            torn.append(half + stream.read())
        return right(key, route, attrs.evolve(media, open_stream=lambda *_: io.BytesIO(torn[0])))

    monkeypatch.setattr(store, "put", put)
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.scan(manager)
    manager.process(limit=1)
    watch.tree.remove("clip.mov")  # nobody can look any more
    assert len(torn[0]) == len(DATA)
    assert store.size == 0
    watch.clock.advance(timedelta(hours=1))
    manager.process()
    assert uploader.delivered("clip.mov") == []


@pytest.mark.parametrize(("on_dead", "left"), [("keep", len(DATA)), ("free", 0)])
def test_bytes_of_dead_tasks_go_by_policy_and_never_silently(
    watch: Any,
    spool: Callable[..., PendingStore],
    caplog: pytest.LogCaptureFixture,
    on_dead: str,
    left: int,
) -> None:
    store = spool(on_dead=on_dead)
    uploader = FakeUploader(outcomes=[TransientError("x"), TransientError("x")])
    manager = watch.manager(uploader, parts={"pending": store}, retry=RetryOptions(attempts=2))
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    watch.tree.remove("clip.mov")
    assert watch.again(manager).state is TaskState.DEAD
    manager.process()
    assert store.size == left
    if on_dead == "free":
        assert "kept bytes freed: dead" in caplog.text
        assert [event.reason for event in heard(watch, PayloadFreed)] == ["dead"]
    else:
        manager.retry()
        assert watch.again(manager).state is TaskState.SUCCESS
        assert uploader.delivered("clip.mov") == [DATA]
        assert store.size == 0


def test_bytes_of_a_waiting_task_that_was_cancelled_go_with_the_next_run(
    watch: Any, spool: Callable[..., PendingStore]
) -> None:
    store = spool()
    manager = watch.manager(FakeUploader(outcomes=[TransientError("x")]), parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    manager.cancel(everything=True)
    manager.process()
    assert store.size == 0
    assert [event.reason for event in heard(watch, PayloadFreed)] == ["the task ended: cancelled"]


def test_what_is_too_old_goes_with_a_warning(
    watch: Any, spool: Callable[..., PendingStore], caplog: pytest.LogCaptureFixture
) -> None:
    store = spool(ttl=timedelta(days=2))
    uploader = FakeUploader(outcomes=[TransientError("x")] * 9)
    manager = watch.manager(uploader, parts={"pending": store}, retry=RetryOptions(attempts=9))
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    watch.again(manager, timedelta(days=1))
    assert store.size == len(DATA)
    uploader._outcomes = iter([])
    watch.again(manager, timedelta(days=2))
    assert "kept bytes freed: expired" in caplog.text
    assert uploader.delivered("clip.mov") == [DATA], "the source was still there"


def test_bytes_that_no_task_has_any_more_are_freed_and_those_of_other_sources_left(
    watch: Any, spool: Callable[..., PendingStore], caplog: pytest.LogCaptureFixture
) -> None:
    store = spool()
    manager = watch.manager(FakeUploader(outcomes=[TransientError("x")]), parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    (key,) = os.listdir(store._notes.path)
    note = Path(store._notes.path, key)
    Path(store._notes.path, "ab" * 32).write_bytes(note.read_bytes())
    Path(store._notes.path, "cd" * 32).write_bytes(note.read_bytes().replace(b"fake:tree", b"else:where"))
    manager.process()
    assert sorted(os.listdir(store._notes.path)) == sorted([key, "cd" * 32])
    assert "no task has their key" in caplog.text


def test_no_room_is_said_and_the_task_goes_on(
    watch: Any, spool: Callable[..., PendingStore], caplog: pytest.LogCaptureFixture
) -> None:
    store = spool(max_bytes=len(DATA) - 1)
    uploader = FakeUploader(outcomes=[TransientError("x")])
    manager = watch.manager(uploader, parts={"pending": store})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    assert "there is no room" in caplog.text
    assert watch.again(manager).state is TaskState.SUCCESS


def test_kept_files_are_private_and_hold_no_secret(
    watch: Any, spool: Callable[..., PendingStore], tmp_path: Path
) -> None:
    uploader = FakeUploader(outcomes=[TransientError("https://u:canary@host/x?sig=canary said no; token=canary")])
    manager = watch.manager(uploader, parts={"pending": spool()})
    watch.tree.put("clip.mov", DATA)
    watch.run(manager)
    found = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert not [path for path in found if b"canary" in path.read_bytes()]


class TestKilled:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
        (tmp_path / "card").mkdir()
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "mounted").write_text("yes")
        script = Path(__file__).with_name("spool_victim.py")
        places = [str(tmp_path / name) for name in ("card", "watch.db", "spool", "target")]

        def run(dies_at: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, str(script), *places, dies_at]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

        return run

    def test_between_keeping_and_the_settlement(
        self, run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        (tmp_path / "card" / "clip.mov").write_bytes(DATA)
        assert run("put").returncode == -9
        (tmp_path / "card" / "clip.mov").unlink()
        done = run("never")
        assert "'success': 1" in done.stdout, done.stderr
        assert (tmp_path / "target" / "clip.mov").read_bytes() == DATA
        assert os.listdir(tmp_path / "spool" / "bytes") == []

    def test_between_the_settlement_and_the_freeing(
        self, run: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        (tmp_path / "card" / "clip.mov").write_bytes(DATA)
        assert run("settled").returncode == -9
        assert len(os.listdir(tmp_path / "spool" / "bytes")) == 1
        done = run("never")
        assert "'success': 1" in done.stdout, done.stderr
        assert os.listdir(tmp_path / "spool" / "bytes") == []
