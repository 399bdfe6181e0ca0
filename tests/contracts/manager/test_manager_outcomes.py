"""What each class of exception makes of a task, its attempts and its parties: a row of the table each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from media_watch_tasks.errors import (
    AlreadyExists,
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    PermanentError,
    RateLimited,
    Snooze,
    TransientError,
)
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.events import AssetMissing, Paused, TaskDead, TaskFailed
from media_watch_tasks.model.settlements import PauseScope
from media_watch_tasks.model.tasks import TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import RetryOptions


def _after_one_attempt(rig: Any, *steps: Any, **options: Any) -> tuple[Any, Any]:
    manager = rig.watching(**options)
    rig.tree.put("a.mp4", b"footage")
    rig.destination.script = list(steps)
    rig.deliver(manager)
    return manager, rig.only_task(manager)


@pytest.mark.parametrize(
    "error", [TransientError("busy"), TimeoutError("slow"), OSError("reset"), ValueError("unknown")]
)
def test_transient_and_unknown_errors_fail_and_spend_an_attempt(rig: Any, error: Exception) -> None:
    _, task = _after_one_attempt(rig, error)
    assert (task.state, task.attempts, task.waits_for) == (TaskState.FAILED, 1, WaitReason.BACKOFF)
    assert str(error) in (task.error or "")
    assert len(rig.heard(TaskFailed)) == 1


def test_failed_task_is_retried_when_its_backoff_is_over(rig: Any) -> None:
    manager, task = _after_one_attempt(rig, TransientError("busy"), retry=RetryOptions(jitter=0))
    assert task.due_ns == rig.clock.now_ns() + 30 * 10**9
    rig.clock.advance(29)
    assert manager.process().taken == 0
    rig.clock.advance(1)
    assert manager.process().succeeded == 1
    assert rig.destination.attempts == [1, 2]


def test_backoff_doubles_and_the_last_attempt_makes_the_task_dead(rig: Any) -> None:
    options = RetryOptions(jitter=0, attempts=3, maximum=timedelta(seconds=45))
    manager, _ = _after_one_attempt(rig, *[TransientError("busy")] * 5, retry=options)
    delays = []
    for _ in range(2):
        task = rig.only_task(manager)
        delays.append((task.due_ns - rig.clock.now_ns()) / 10**9)
        rig.clock.advance(delays[-1])
        manager.process()
    task = rig.only_task(manager)
    assert delays == [30, 45]
    assert (task.state, task.reason, task.attempts) == (TaskState.DEAD, "attempts_exhausted", 3)
    rig.clock.advance(timedelta(days=30))
    assert manager.process().taken == 0, "exhausted work is never retried by itself"
    assert manager.retry().retried == 1
    rig.destination.script.clear()
    assert manager.process().succeeded == 1
    assert rig.destination.attempts == [1, 2, 3, 1]


def test_retry_after_wins_over_the_backoff_up_to_a_cap(rig: Any) -> None:
    retry = RetryOptions(retry_after_cap=timedelta(hours=1))
    manager, task = _after_one_attempt(rig, TransientError("later", retry_after=timedelta(minutes=7)), retry=retry)
    assert task.due_ns - rig.clock.now_ns() == 7 * 60 * 10**9
    rig.clock.advance(timedelta(minutes=7))
    rig.destination.script = [TransientError("much later", retry_after=timedelta(days=9))]
    manager.process()
    assert rig.only_task(manager).due_ns - rig.clock.now_ns() == 3600 * 10**9


@pytest.mark.parametrize(
    ("error", "reason"), [(PermanentError("too large"), "permanent"), (ConfigurationError("301"), "configuration")]
)
def test_permanent_and_configuration_errors_are_dead_at_once(rig: Any, error: Exception, reason: str) -> None:
    _, task = _after_one_attempt(rig, error)
    assert (task.state, task.reason, task.error) == (TaskState.DEAD, reason, str(error))
    assert [event.reason for event in rig.heard(TaskDead)] == [reason]


def test_snooze_waits_and_spends_no_attempt(rig: Any) -> None:
    manager, task = _after_one_attempt(rig, Snooze(timedelta(minutes=2), "in use"))
    assert (task.state, task.attempts, task.waits_for) == (TaskState.PENDING, 0, WaitReason.SNOOZED)
    assert manager.process(force=True).taken == 0, "force skips back-off only"
    rig.clock.advance(timedelta(minutes=2))
    assert manager.process().succeeded == 1
    assert rig.destination.attempts == [1, 1]


@pytest.mark.parametrize("error", [DestinationFull("no room"), AuthenticationRequiredError("token expired")])
def test_destination_in_trouble_pauses_and_no_attempt_is_spent(rig: Any, error: Exception) -> None:
    manager, task = _after_one_attempt(rig, error, workers=1)
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    (pause,) = rig.tasks.pauses()
    assert (pause.scope, pause.value, pause.automatic) == (PauseScope.DESTINATION, "shelf", True)
    assert [event.pause.value for event in rig.heard(Paused)] == ["shelf"]
    assert manager.process().taken == 0
    rig.clock.advance(timedelta(seconds=30))
    assert manager.process().succeeded == 1
    assert not rig.tasks.pauses()


def test_pause_of_a_destination_grows_until_a_delivery_ends_it(rig: Any) -> None:
    manager, _ = _after_one_attempt(rig, *[DestinationFull("no room")] * 3, workers=1)
    lengths = []
    for _ in range(3):
        (pause,) = rig.tasks.pauses()
        lengths.append((pause.until_ns - rig.clock.now_ns()) / 10**9)
        rig.clock.advance(lengths[-1])
        manager.process()
    assert lengths == [30, 60, 120]
    assert rig.destination.held, "the fourth look found room"


def test_after_a_pause_another_task_is_tried_first(rig: Any) -> None:
    manager = rig.watching(workers=1)
    rig.tree.put("a.mp4")
    rig.tree.put("b.mp4")
    rig.destination.script = [DestinationFull("no room for this one")]
    rig.deliver(manager)
    rig.clock.advance(timedelta(seconds=30))
    manager.process()
    assert rig.destination.sent == [b"b.mp4", b"a.mp4"]


def test_rate_limit_pauses_until_the_time_that_was_named(rig: Any) -> None:
    until = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    manager, _ = _after_one_attempt(rig, RateLimited("slow down", until=until))
    (pause,) = rig.tasks.pauses()
    assert pause.until == until
    assert manager.credentials_refreshed() == 1
    assert manager.process().succeeded == 1


def test_source_that_goes_offline_pauses_the_source_alone(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    manager.scan_and_enqueue_new()
    rig.settle()
    with rig.tree.taken_offline():
        report = manager.process()
        assert (report.released, report.failed) == (1, 0)
        (pause,) = rig.tasks.pauses()
        assert (pause.scope, pause.value) == (PauseScope.SOURCE, rig.tree.source_id)
        assert rig.only_task(manager).attempts == 0
    rig.clock.advance(timedelta(seconds=30))
    assert manager.process().succeeded == 1


def test_credentials_that_the_source_asks_for_pause_the_source(rig: Any) -> None:
    def open_stream(offset: int, length: int | None) -> Any:
        raise AuthenticationRequiredError("the share wants a new ticket")

    resolve = rig.resolver.resolve_for_upload

    def resolved(*arguments: Any, **named: Any) -> Any:
        import attrs  # noqa: PLC0415 - a detail of this one fake

        return attrs.evolve(resolve(*arguments, **named), open_stream=open_stream)

    rig.resolver.resolve_for_upload = resolved
    _, task = _after_one_attempt(rig)
    (pause,) = rig.tasks.pauses()
    assert (pause.scope, task.attempts) == (PauseScope.SOURCE, 0)


def test_file_that_is_gone_ends_cancelled_and_is_sent_when_it_reappears(rig: Any) -> None:
    manager = rig.watching()
    asset = rig.tree.put("a.mp4", b"footage")
    manager.scan_and_enqueue_new()
    rig.settle()
    rig.tree.remove("a.mp4")
    assert manager.process().cancelled == 1
    task = rig.only_task(manager)
    assert (task.state, task.reason) == (TaskState.CANCELLED, "source_gone")
    assert [event.asset_id for event in rig.heard(AssetMissing)] == [b"a.mp4"]
    rig.tree.put("a.mp4", b"footage", mtime_ns=asset.mtime_ns)
    rig.deliver(manager)
    assert rig.destination.held == {b"a.mp4": b"footage"}


def test_empty_mount_point_is_not_taken_for_a_removed_file(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    manager.scan_and_enqueue_new()
    rig.settle()
    rig.tree.remove("a.mp4")
    rig.tree.identity = RootIdentity(strong="the disk below the mount point", weak="7")
    report = manager.process()
    assert (report.cancelled, report.released) == (0, 1)
    assert rig.only_task(manager).state is TaskState.PENDING
    assert rig.tasks.pauses()[0].scope is PauseScope.SOURCE


def test_name_conflict_without_proof_is_dead(rig: Any) -> None:
    _, task = _after_one_attempt(rig, AlreadyExists("409"))
    assert (task.state, task.reason) == (TaskState.DEAD, "name_conflict")


def test_existing_object_of_another_size_or_hash_is_no_success(rig: Any) -> None:
    wrong_hash = UploadReceipt("a", size=7, sha256="0" * 64)
    _, task = _after_one_attempt(rig, AlreadyExists("there", receipt=wrong_hash))
    assert (task.state, task.reason) == (TaskState.DEAD, "name_conflict")


def test_existing_object_with_equal_size_and_hash_is_success(rig: Any) -> None:
    import hashlib  # noqa: PLC0415 - a detail of this one test

    receipt = UploadReceipt("a", size=7, sha256=hashlib.sha256(b"footage").hexdigest())
    _, task = _after_one_attempt(rig, AlreadyExists("there", receipt=receipt))
    assert (task.state, task.receipt.remote_id) == (TaskState.SUCCESS, "a")


def test_conflict_that_find_existing_confirms_is_success(rig: Any) -> None:
    def stored_but_answer_lost(media: Any, context: Any) -> None:
        rig.destination.by_key[context.key] = b"footage"
        raise AlreadyExists("409")

    _, task = _after_one_attempt(rig, stored_but_answer_lost)
    assert task.state is TaskState.SUCCESS


def test_secrets_in_error_texts_reach_neither_database_nor_log(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    secret = "https://user:hunter2@host/put?X-Amz-Signature=deadbeef"
    _, task = _after_one_attempt(rig, RuntimeError(f"PUT {secret} with Authorization: Bearer abcdefgh12345678 failed"))
    text = f"{task.error} {caplog.text} {rig.events}"
    assert "PUT https://host/put" in (task.error or "")
    for word in ("hunter2", "deadbeef", "abcdefgh12345678"):
        assert word not in text


def test_task_that_has_failed_expires_and_one_that_never_ran_does_not(rig: Any) -> None:
    manager, _ = _after_one_attempt(rig, TransientError("busy"), expires_after=timedelta(hours=1))
    rig.tree.put("late.mp4")
    manager.scan_and_enqueue_new()
    rig.clock.advance(timedelta(hours=2))
    report = manager.process()
    assert (report.dead, report.succeeded) == (1, 1)
    assert [task.reason for task in manager.tasks(states=["dead"])] == ["expired"]
