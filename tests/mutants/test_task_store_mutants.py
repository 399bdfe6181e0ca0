"""Wrong queues, each of which the TaskStore suite finds out: mutants of the memory store, which states it plainly."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from tests.mutants.registered import Mutants

from media_watch_tasks.model.identity import split
from media_watch_tasks.model.settlements import Delivered, Released, ReservationState
from media_watch_tasks.model.tasks import ClaimRequest, EnqueueOutcome, EnqueueResult, NewTask, TaskState, WaitReason
from media_watch_tasks.stores.memory import claiming, enqueueing, settling, task_control, task_sequel, task_store
from media_watch_tasks.stores.memory.task_book import TaskBook
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.memory.task_store import MemoryTaskStore
from media_watch_tasks.stores.pauses import PauseBook
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.testing.contracts.task_store_base import OTHER_DESTINATION, OTHER_SOURCE, ROUTE

SUITE = "tests/contracts/test_task_store_memory.py::TestMemoryTaskStore"
Patch = pytest.MonkeyPatch
Mutate = Callable[[Patch], None]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


def _wrap(patch: Patch, owner: object, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by `around(original, *arguments)`."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


# ---- leases


@killed_by("test_a_claim_that_nobody_touched_leaves_no_trace")
def claims_that_nobody_touched_count_as_begun(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, item: Any) -> bool:
        return bool(original(book, attrs.evolve(item, untouched=False) if isinstance(item, Released) else item))

    _wrap(patch, settling, "settle", around)


@killed_by("test_a_claim_takes_back_what_dead_workers_held", "test_a_reboot_ends_all_leases")
def expired_claims_are_never_taken(patch: Patch) -> None:
    patch.setattr(claiming, "_is_over", lambda *_: False)


@killed_by("test_leases_do_not_follow_the_wall_clock")
def leases_follow_the_wall_clock(patch: Patch) -> None:
    patch.setattr(claiming, "_is_over", lambda book, row: book.now_ns - row.updated_ns >= 600 * 10**9)


@killed_by("test_a_reboot_ends_all_leases")
def leases_survive_a_reboot(patch: Patch) -> None:
    patch.setattr(claiming, "_is_over", lambda book, row: row.lease_end <= book.clock.boot_ns())


@killed_by("test_a_worker_never_takes_back_its_own_work")
def a_worker_claims_what_it_works_on(patch: Patch) -> None:
    _wrap(
        patch, claiming, "take_back", lambda original, *args, **kwargs: original(*args, **(kwargs | {"asking": None}))
    )


@killed_by("test_a_crash_gives_the_attempt_back_and_is_counted_apart")
def a_crash_costs_an_attempt(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, **kwargs: Any) -> int:
        for row in book.running():
            row.attempts += row.begun and claiming._is_over(book, row)
        return int(original(book, **kwargs))

    _wrap(patch, claiming, "take_back", around)


@killed_by("test_work_that_was_not_begun_is_eligible_at_once")
def work_that_was_not_begun_counts_as_a_crash(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, **kwargs: Any) -> int:
        for row in book.running():
            claiming.begin(row)
        return int(original(book, **kwargs))

    _wrap(patch, claiming, "take_back", around)


@killed_by("test_a_task_that_two_workers_died_on_is_given_out_alone", "test_alone_takes_one_task_and_no_healthy_one")
def deadly_tasks_run_beside_others(patch: Patch) -> None:
    patch.setattr(claiming, "CRASHES_BEFORE_ALONE", 99)


@killed_by("test_a_task_that_its_workers_keep_dying_on_is_dead")
def deadly_tasks_run_for_ever(patch: Patch) -> None:
    _wrap(
        patch, claiming, "take_back", lambda original, book, **kwargs: original(book, **(kwargs | {"dead_after": 99}))
    )


@killed_by("test_an_extension_is_refused_once_the_claim_is_lost", "test_a_lost_claim_settles_nothing")
def the_id_is_enough_to_write(patch: Patch) -> None:
    def claimed(book: TaskBook, ref: Any) -> Row | None:
        row = book.rows.get(ref.task_id)
        return row if row is not None and row.phase is Phase.RUNNING else None

    patch.setattr(TaskBook, "claimed", claimed)


@killed_by("test_a_claim_settles_once")
def ended_tasks_can_be_settled(patch: Patch) -> None:
    def claimed(book: TaskBook, ref: Any) -> Row | None:
        row = book.rows.get(ref.task_id)
        return row if row is not None and row.token == ref.token else None

    patch.setattr(TaskBook, "claimed", claimed)


@killed_by("test_tokens_grow_from_claim_to_claim", "test_tokens_grow_although_everything_was_purged")
def tokens_come_from_the_tasks(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, request: ClaimRequest) -> Any:
        book.token = max((row.token for row in book.running()), default=0)
        return original(book, request)

    _wrap(patch, claiming, "claim", around)


# ---- which task, and for whom


@killed_by("test_only_tasks_of_the_asked_routes_are_claimed")
def claims_know_no_routes(patch: Patch) -> None:
    everything = (ROUTE, OTHER_SOURCE, OTHER_DESTINATION)
    _wrap(patch, claiming, "claim", lambda original, book, r: original(book, attrs.evolve(r, routes=everything)))


@killed_by("test_only_tasks_of_the_asked_routes_are_claimed")
def claims_know_sources_alone(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, request: ClaimRequest) -> bool:
        sources = {route.source_id for route in request.routes}
        routes = tuple({other.route for other in book.rows.values() if other.route.source_id in sources})
        return bool(original(book, row, attrs.evolve(request, routes=routes)))

    _wrap(patch, claiming, "_is_eligible", around)


def _sorted_by(patch: Patch, key: Callable[[Row], Any]) -> None:
    def choose(_book: TaskBook, rows: list[Row], request: ClaimRequest) -> list[Row]:
        return sorted(rows, key=key)[: 1 if request.alone else request.limit]

    patch.setattr(claiming, "_choose", choose)


@killed_by("test_tasks_go_by_priority_then_due_time_then_id", "test_the_order_holds_across_routes_and_constraints")
def priorities_are_forgotten(patch: Patch) -> None:
    _sorted_by(patch, lambda row: (row.due_ns, row.id))


@killed_by("test_tasks_go_by_priority_then_due_time_then_id")
def due_times_are_forgotten(patch: Patch) -> None:
    _sorted_by(patch, lambda row: (-row.priority, row.id))


@killed_by("test_the_order_holds_across_routes_and_constraints")
def lanes_go_one_after_the_other(patch: Patch) -> None:
    _sorted_by(patch, lambda row: (sorted(row.constraints), -row.priority, row.due_ns, row.id))


@killed_by("test_no_more_than_the_limit_are_claimed")
def the_limit_is_forgotten(patch: Patch) -> None:
    _wrap(patch, claiming, "claim", lambda original, book, r: original(book, attrs.evolve(r, limit=max(r.limit, 4))))


@killed_by("test_tasks_with_an_unmet_constraint_are_passed_by")
def one_met_constraint_is_enough(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, request: ClaimRequest) -> bool:
        unmet = request.unmet if row.constraints <= request.unmet else frozenset[str]()
        return bool(original(book, row, attrs.evolve(request, unmet=unmet)))

    _wrap(patch, claiming, "_is_eligible", around)


@killed_by("test_tasks_that_are_not_due_stay", "test_a_failed_task_is_retried_when_due")
def due_times_do_not_matter(patch: Patch) -> None:
    patch.setattr(claiming, "_is_due", lambda row, force: row.phase in {Phase.READY, Phase.WAITING})


@killed_by("test_a_due_time_beyond_the_longest_delay_is_pulled_in")
def a_clock_that_jumps_back_stops_tasks(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, request: ClaimRequest) -> None:
        original(book, attrs.evolve(request, longest_delay_ns=2**62))

    _wrap(patch, claiming, "_promote", around)


@killed_by("test_force_skips_no_other_wait")
def force_takes_what_is_settling(patch: Patch) -> None:
    def is_due(row: Row, *, force: bool) -> bool:
        return row.phase is Phase.READY or (force and row.phase is Phase.WAITING)

    patch.setattr(claiming, "_is_due", is_due)


@killed_by("test_force_skips_no_other_wait")
def force_takes_what_is_held(patch: Patch) -> None:
    def around(original: Any, row: Row, *, force: bool) -> bool:
        return bool(original(row, force=force)) or (force and row.phase is Phase.HELD)

    _wrap(patch, claiming, "_is_due", around)


@killed_by("test_force_skips_back_off")
def force_changes_nothing(patch: Patch) -> None:
    _wrap(patch, claiming, "_is_due", lambda original, row, force: original(row, force=False))


@killed_by("test_a_run_takes_each_task_once")
def a_run_takes_tasks_again(patch: Patch) -> None:
    _wrap(patch, claiming, "claim", lambda original, book, r: original(book, attrs.evolve(r, floor=None)))


@killed_by("test_a_run_takes_each_task_once")
def a_run_leaves_what_others_have_had(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, request: ClaimRequest) -> bool:
        fresh = request.floor is None or row.token <= request.floor
        return fresh and bool(original(book, row, attrs.evolve(request, floor=None)))

    _wrap(patch, claiming, "_is_eligible", around)


@killed_by("test_a_worker_that_is_not_registered_gets_nothing")
def anybody_may_claim(patch: Patch) -> None:
    def around(original: Any, store: MemoryTaskStore, request: ClaimRequest) -> Any:
        store._workers.add(request.worker_id)
        return original(store, request)

    _wrap(patch, MemoryTaskStore, "_claim", around)


# ---- counting


@killed_by("test_an_attempt_that_is_not_begun_is_not_counted")
def every_claim_is_an_attempt(patch: Patch) -> None:
    _wrap(patch, claiming, "_give", lambda original, book, row, r: original(book, row, attrs.evolve(r, begin=True)))


@killed_by("test_an_attempt_that_is_not_begun_is_not_counted")
def an_attempt_counts_twice(patch: Patch) -> None:
    def begin(row: Row) -> None:
        row.begun = True
        row.attempts += 1

    patch.setattr(claiming, "begin", begin)


@killed_by("test_a_release_gives_the_attempt_back", "test_a_worker_that_leaves_releases_what_it_holds")
def a_release_costs_an_attempt(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, **kwargs: Any) -> None:
        row.attempts += row.begun
        original(book, row, **kwargs)

    _wrap(patch, TaskBook, "release", around)


@killed_by("test_a_release_of_an_unbegun_claim_gives_nothing_back")
def a_release_always_gives_an_attempt_back(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, **kwargs: Any) -> None:
        row.attempts -= not row.begun
        original(book, row, **kwargs)

    _wrap(patch, TaskBook, "release", around)


@killed_by("test_a_claim_says_whether_work_had_begun_before_it")
def a_claim_speaks_of_itself(patch: Patch) -> None:
    _wrap(patch, Row, "snapshot", lambda original, row, now, ever_begun=None: original(row, now))


@killed_by("test_a_claim_says_whether_work_had_begun_before_it")
def a_release_undoes_what_was_sent(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, **kwargs: Any) -> None:
        row.begins = 0
        original(book, row, **kwargs)

    _wrap(patch, TaskBook, "release", around)


@killed_by("test_work_on_a_key_is_remembered_by_its_next_task")
def a_new_task_forgets_what_was_sent(patch: Patch) -> None:
    _wrap(patch, TaskBook, "add", lambda original, *args, **kwargs: original(*args, **(kwargs | {"asks_first": False})))


@killed_by("test_force_sends_a_delivered_version_again")
def force_asks_first(patch: Patch) -> None:
    _wrap(patch, TaskBook, "add", lambda original, *args, **kwargs: original(*args, **(kwargs | {"asks_first": True})))


@killed_by("test_an_end_counts_as_an_attempt_although_nobody_called_begin")
def failures_without_begin_are_free(patch: Patch) -> None:
    patch.setattr(settling, "begin", lambda _row: None)


@killed_by("test_counts_are_exact_and_name_every_state")
def counts_leave_out_what_is_behind(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, routes: Any) -> Any:
        behind = sum(row.phase is Phase.BEHIND for row in book.rows.values())
        counts = original(book, routes)
        return counts | {TaskState.PENDING: counts[TaskState.PENDING] - behind}

    _wrap(patch, task_control, "counts", around)


# ---- enqueue


def _enqueue(patch: Patch, around: Callable[[Any, TaskBook, NewTask], EnqueueResult]) -> None:
    _wrap(patch, enqueueing, "enqueue", around)


@killed_by("test_a_newer_version_replaces_the_one_that_waits", "test_a_newer_version_waits_behind_the_one_that_runs")
def one_task_for_each_asset(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, new: NewTask) -> Any:
        current, _ = book.live(new.route, new.asset_id)
        return EnqueueResult(EnqueueOutcome.LIVE, current.id) if current is not None else original(book, new)

    _enqueue(patch, around)


@killed_by("test_a_newer_version_waits_behind_the_one_that_runs")
def a_newer_version_is_lost_beside_a_running_task(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, new: NewTask) -> Any:
        current, _ = book.live(new.route, new.asset_id)
        if current is not None and current.phase is Phase.RUNNING and current.key != new.key:
            return EnqueueResult(EnqueueOutcome.BEHIND, None)
        return original(book, new)

    _enqueue(patch, around)


@killed_by("test_a_third_version_takes_the_place_of_the_one_behind")
def two_versions_wait_behind_a_running_task(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, state: TaskState, reason: str | None = None) -> None:
        if row.phase is not Phase.BEHIND:
            original(book, row, state, reason)

    _wrap(patch, TaskBook, "end", around)


@killed_by("test_a_version_that_was_restored_is_sent_again")
def what_was_ever_delivered_is_not_sent_again(patch: Patch) -> None:
    def is_delivered(book: TaskBook, route: Any, asset_id: bytes, key: bytes) -> bool:
        return any(row.key == key and row.end is TaskState.SUCCESS for row in book.versions(route, asset_id))

    patch.setattr(TaskBook, "is_delivered", is_delivered)


@killed_by(
    "test_a_delivered_version_waits_behind_another_that_runs",
    "test_a_delivered_version_is_enqueued_once_work_on_another_has_begun",
    "test_a_found_version_that_was_delivered_is_sent_again_if_work_was_begun",
)
def what_was_delivered_can_not_be_overwritten(patch: Patch) -> None:
    def is_delivered(book: TaskBook, route: Any, asset_id: bytes, key: bytes) -> bool:
        latest = book.latest(route, asset_id)
        return latest is not None and latest.key == key

    patch.setattr(TaskBook, "is_delivered", is_delivered)


@killed_by(
    "test_a_delivered_version_stands_while_no_work_on_another_has_begun",
    "test_a_found_version_that_was_delivered_is_left_alone_if_nothing_was_begun",
)
def any_other_version_undoes_a_delivery(patch: Patch) -> None:
    def is_delivered(book: TaskBook, route: Any, asset_id: bytes, key: bytes) -> bool:
        newest = list(book.versions(route, asset_id))[-1:]
        return any(row.key == key and row.is_latest for row in newest)

    patch.setattr(TaskBook, "is_delivered", is_delivered)


@killed_by("test_a_newer_version_replaces_the_one_that_waits", "test_the_version_that_was_found_is_enqueued")
def parts_of_two_versions_meet(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, route: Any, asset_id: bytes, *args: Any, **kwargs: Any) -> Row:
        states = [row.resume_state for row in book.versions(route, asset_id)]
        row: Row = original(book, route, asset_id, *args, **kwargs)
        row.resume_state = next((state for state in reversed(states) if state), None)
        return row

    _wrap(patch, TaskBook, "add", around)


@killed_by("test_force_keeps_a_running_task_with_the_key")
def force_doubles_a_running_task(patch: Patch) -> None:
    _wrap(patch, enqueueing, "_same", lambda original, new, *rows: None if new.force else original(new, *rows))


@killed_by("test_names_come_back_byte_by_byte")
def names_are_decoded(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, new: NewTask) -> Any:
        return original(book, new._replace(asset_id=new.asset_id.decode("utf-8", "replace").encode()))

    _enqueue(patch, around)


@killed_by("test_ids_grow_and_are_never_used_again")
def ids_are_used_again(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, *args: Any, **kwargs: Any) -> Row:
        book._last_id = max(book.rows, default=0)
        row: Row = original(book, *args, **kwargs)
        return row

    _wrap(patch, TaskBook, "add", around)


# ---- settle


@killed_by(
    "test_the_version_behind_follows_however_the_work_ends", "test_cancelling_what_runs_lets_the_version_behind_follow"
)
def what_stands_behind_is_forgotten(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, state: TaskState, reason: str | None = None) -> None:
        _, behind = book.live(row.route, row.asset_id)
        original(book, row, state, reason)
        if behind is not None and behind.is_live:
            behind.phase = Phase.BEHIND

    _wrap(patch, TaskBook, "end", around)


@killed_by("test_the_version_behind_follows_however_the_work_ends")
def the_older_version_is_tried_again_first(patch: Patch) -> None:
    def back(book: TaskBook, row: Row, *, due_ns: int, wait: WaitReason | None) -> None:
        row.begun = False
        row.cancel_reason = None
        book.place(row, due_ns=due_ns, wait=wait)

    patch.setattr(TaskBook, "back", back)


@killed_by("test_what_somebody_cancelled_is_not_repeated", "test_what_somebody_cancelled_is_not_repeated_after_a_crash")
def cancelled_work_is_repeated(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, **kwargs: Any) -> None:
        row.cancel_reason = None
        original(book, row, **kwargs)

    _wrap(patch, TaskBook, "back", around)


@killed_by("test_a_newer_delivery_replaces_earlier_receipts", "test_replaced_content_is_not_shared")
def receipts_are_never_replaced(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, receipt: Any) -> None:
        original(book, row, receipt)
        for version in book.versions(row.route, row.asset_id):
            version.replaced = False

    _wrap(patch, TaskBook, "deliver", around)


@killed_by("test_other_assets_and_routes_keep_their_receipts")
def a_delivery_replaces_the_receipts_of_all(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, receipt: Any) -> None:
        for other in book.rows.values():
            other.replaced = other.end is TaskState.SUCCESS
        original(book, row, receipt)

    _wrap(patch, TaskBook, "deliver", around)


@killed_by("test_a_found_version_that_waits_already_is_not_enqueued_twice")
def a_found_version_is_always_enqueued(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row, settlement: Any) -> None:
        _, behind = book.live(row.route, row.asset_id)
        if behind is not None:
            behind.key = b"another"
        original(book, row, settlement)

    _wrap(patch, settling, "_supersede", around)


@killed_by("test_the_version_that_was_found_is_enqueued")
def a_found_version_is_left_to_the_next_scan(patch: Patch) -> None:
    patch.setattr(settling, "_supersede", lambda book, row, _: book.end(row, TaskState.CANCELLED, "superseded"))


@killed_by("test_settling_claims_the_next")
def settling_claims_nothing(patch: Patch) -> None:
    _wrap(
        patch,
        MemoryTaskStore,
        "settle",
        lambda original, store, items, durable=False, then_claim=None: original(store, items),
    )


@killed_by("test_the_first_of_two_settlements_of_a_claim_counts")
def the_last_settlement_of_a_claim_counts(patch: Patch) -> None:
    _wrap(
        patch,
        MemoryTaskStore,
        "settle",
        lambda original, store, items, **kwargs: original(store, tuple(reversed(items)), **kwargs),
    )


@killed_by("test_secrets_in_an_error_do_not_reach_the_store")
def errors_are_kept_as_they_are(patch: Patch) -> None:
    patch.setattr(settling, "redact", lambda text: text)


@killed_by("test_a_release_says_what_is_waited_for")
def every_release_is_a_snooze(patch: Patch) -> None:
    _wrap(
        patch,
        settling,
        "settle",
        lambda original, book, item: original(
            book, attrs.evolve(item, wait=WaitReason.SNOOZED) if isinstance(item, Released) else item
        ),
    )


# ---- content


@killed_by("test_delivered_content_shares_its_receipt")
def content_can_be_delivered_once(patch: Patch) -> None:
    def around(original: Any, store: MemoryTaskStore, ref: Any, sha256: str) -> Any:
        state, receipt = original(store, ref, sha256)
        return (ReservationState.BUSY, None) if state is ReservationState.DELIVERED else (state, receipt)

    _wrap(patch, MemoryTaskStore, "reserve_content", around)


@killed_by("test_one_claim_at_a_time_sends_a_content", "test_sources_share_the_contents_of_a_destination")
def everybody_may_send(patch: Patch) -> None:
    def around(original: Any, store: MemoryTaskStore, ref: Any, sha256: str) -> Any:
        state, receipt = original(store, ref, sha256)
        return (ReservationState.RESERVED, None) if state is ReservationState.BUSY else (state, receipt)

    _wrap(patch, MemoryTaskStore, "reserve_content", around)


@killed_by("test_the_content_is_free_again_when_its_claim_ends")
def reservations_stay(patch: Patch) -> None:
    def let_go(book: TaskBook, row: Row) -> None:
        row.begun = False
        row.cancel_reason = None
        row.updated_ns = book.now_ns

    patch.setattr(TaskBook, "_let_go", let_go)


@killed_by("test_a_shared_receipt_is_not_shared_again")
def shared_receipts_are_shared_on(patch: Patch) -> None:
    def around(original: Any, store: MemoryTaskStore, ref: Any, sha256: str) -> Any:
        for row in store._book.rows.values():
            if row.is_latest and row.receipt is not None and row.receipt.sha256 == sha256:
                return ReservationState.DELIVERED, row.receipt
        return original(store, ref, sha256)

    _wrap(patch, MemoryTaskStore, "reserve_content", around)


@killed_by("test_its_own_asset_is_no_other_content_of_its_size")
def its_own_size_counts(patch: Patch) -> None:
    def has(store: MemoryTaskStore, ref: Any, size: int) -> bool:
        return any(row.fingerprint.size == size and (row.is_live or row.is_latest) for row in store._book.rows.values())

    patch.setattr(MemoryTaskStore, "has_content_of_size", has)


@killed_by("test_a_live_task_of_the_size_counts")
def only_delivered_sizes_count(patch: Patch) -> None:
    patch.setattr(MemoryTaskStore, "has_content_of_size", lambda store, ref, size: False)


# ---- people


@killed_by("test_retry_skips_what_another_task_does", "test_retry_takes_the_newest_of_several_versions")
def retry_resurrects_beside_a_live_task(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row) -> str | None:
        why: str | None = original(book, row)
        return None if why == "live task" else why

    _wrap(patch, task_control, "_why_not", around)


@killed_by("test_retry_skips_what_a_newer_delivery_replaced")
def retry_sends_an_old_version_over_a_new_one(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row) -> str | None:
        why: str | None = original(book, row)
        return None if why == "newer version delivered" else why

    _wrap(patch, task_control, "_why_not", around)


def _retry(patch: Patch, spoil: Callable[[Row, Row], None]) -> None:
    def around(original: Any, book: TaskBook, row: Row) -> None:
        before = attrs.evolve(row)
        original(book, row)
        spoil(before, row)

    _wrap(patch, task_control, "_start_afresh", around)


@killed_by("test_failed_work_can_be_retried_at_once")
def retry_keeps_the_attempts(patch: Patch) -> None:
    def spoil(before: Row, row: Row) -> None:
        row.attempts = before.attempts

    _retry(patch, spoil)


@killed_by("test_ended_work_can_be_retried")
def retry_keeps_the_age(patch: Patch) -> None:
    def spoil(before: Row, row: Row) -> None:
        row.live_since_ns = before.live_since_ns

    _retry(patch, spoil)


@killed_by("test_retry_forgets_crashes")
def retry_keeps_the_crashes(patch: Patch) -> None:
    def spoil(before: Row, row: Row) -> None:
        row.crashes = before.crashes

    _retry(patch, spoil)


@killed_by("test_retry_remembers_what_was_sent")
def retry_forgets_what_was_sent(patch: Patch) -> None:
    def spoil(_before: Row, row: Row) -> None:
        row.begins = 0

    _retry(patch, spoil)


@killed_by("test_a_retried_task_of_a_paused_tag_is_held")
def retry_breaks_a_hold(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, row: Row) -> None:
        original(book, row)
        row.phase = Phase.READY

    _wrap(patch, task_control, "_start_afresh", around)
    patch.setattr(TaskBook, "apply_pauses", lambda _: None)


@killed_by("test_a_task_of_a_paused_tag_is_held", "test_what_comes_back_to_a_paused_tag_is_held")
def a_pause_of_a_tag_misses_what_comes_later(patch: Patch) -> None:
    apply_pauses = TaskBook.apply_pauses
    patch.setattr(TaskBook, "apply_pauses", lambda _: None)
    _wrap(
        patch,
        MemoryTaskStore,
        "pause",
        lambda original, store, pause: (original(store, pause), apply_pauses(store._book)),
    )

    def place(book: TaskBook, row: Row, *, due_ns: int, wait: WaitReason | None) -> None:
        row.due_ns, row.wait = due_ns, wait if due_ns > book.now_ns else None
        row.phase = Phase.WAITING if row.wait is not None else Phase.READY

    patch.setattr(TaskBook, "place", place)


@killed_by("test_resuming_gives_the_earlier_wait_back")
def resuming_makes_everything_ready(patch: Patch) -> None:
    def around(original: Any, store: MemoryTaskStore, *args: Any) -> Any:
        for row in store._book.rows.values():
            if row.phase is Phase.HELD:
                row.due_ns, row.wait = 0, None
        return original(store, *args)

    _wrap(patch, MemoryTaskStore, "resume", around)


@killed_by("test_a_paused_party_interrupts_what_runs")
def running_work_hears_of_no_pause(patch: Patch) -> None:
    _wrap(
        patch,
        MemoryTaskStore,
        "interrupts",
        lambda original, store, worker: tuple(item for item in original(store, worker) if not item.paused),
    )


@killed_by("test_a_cancelled_task_is_cancelled_although_it_is_paused_too", "test_cancelling_asks_what_runs")
def cancelled_work_is_released(patch: Patch) -> None:
    _wrap(
        patch,
        MemoryTaskStore,
        "interrupts",
        lambda original, store, worker: tuple(attrs.evolve(item, paused=True) for item in original(store, worker)),
    )


@killed_by("test_one_task_at_a_time_is_tried", "test_the_limit_counts_for_all_sources_of_the_destination")
def a_pause_ends_at_once_for_all(patch: Patch) -> None:
    patch.setattr(PauseBook, "half_open", lambda *_: None)


@killed_by("test_another_task_than_the_suspect_is_tried_first")
def the_suspect_is_tried_first(patch: Patch) -> None:
    def around(original: Any, *args: Any) -> Any:
        pause = original(*args)
        return None if pause is None else attrs.evolve(pause, task_id=None)

    _wrap(patch, PauseBook, "half_open", around)


@killed_by("test_a_delivery_before_the_end_leaves_the_pause")
def any_delivery_ends_a_pause(patch: Patch) -> None:
    _wrap(patch, PauseBook, "ended_by_delivery", lambda original, book, route, _now: original(book, route, 2**62))


@killed_by("test_a_shared_receipt_proves_nothing")
def a_shared_receipt_ends_a_pause(patch: Patch) -> None:
    _wrap(
        patch,
        settling,
        "_end_pauses",
        lambda original, book, route, receipt: original(book, route, attrs.evolve(receipt, deduplicated=False)),
    )


@killed_by("test_an_automatic_pause_is_listed_until_a_delivery")
def rounds_are_forgotten(patch: Patch) -> None:
    _wrap(
        patch,
        PauseBook,
        "listed",
        lambda original, book, now: tuple(p for p in original(book, now) if p.until_ns is None or p.until_ns > now),
    )


@killed_by("test_purge_keeps_the_latest_receipts")
def purge_forgets_receipts(patch: Patch) -> None:
    def purge(book: TaskBook, selection: Any, *, before_ns: int) -> int:
        old = [row for row in task_control.chosen(book, selection) if not row.is_live and row.updated_ns < before_ns]
        for row in old:
            book.forget(row)
        return len(old)

    patch.setattr(task_control, "purge", purge)


@killed_by("test_purge_keeps_what_may_have_overwritten_a_delivery")
def purge_forgets_doubts(patch: Patch) -> None:
    patch.setattr(task_control, "_casts_doubt", lambda *_: False)


@killed_by("test_purge_deletes_what_ended_before")
def purge_knows_no_age(patch: Patch) -> None:
    _wrap(patch, task_control, "purge", lambda original, book, s, before_ns: original(book, s, before_ns=2**62))


@killed_by("test_worker_ids_are_never_used_again")
def worker_ids_are_names(patch: Patch) -> None:
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))


@killed_by("test_threads_share_the_tasks_without_overlap")
def a_task_is_given_to_two(patch: Patch) -> None:
    calls: Iterator[int] = itertools.count()

    def around(original: Any, book: TaskBook, row: Row, request: ClaimRequest) -> Any:
        claim = original(book, row, request)
        if next(calls) % 10 == 0:
            row.phase = Phase.READY
        return claim

    _wrap(patch, claiming, "_give", around)


# ---- what follows a delivery


@killed_by("test_a_lost_claim_owes_nothing", "test_a_lost_claim_owes_nothing_beside_the_one_that_holds")
def a_lost_claim_owes_its_action(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, item: Any) -> bool:
        if isinstance(item, Delivered) and item.ref.task_id in book.rows:
            book.rows[item.ref.task_id].action = item.action
        return bool(original(book, item))

    _wrap(patch, settling, "settle", around)


@killed_by("test_a_delivery_owes_its_action_until_it_is_done")
def actions_are_never_done(patch: Patch) -> None:
    patch.setattr(MemoryTaskStore, "finish_action", lambda *_, **__: True)


@killed_by("test_a_task_that_ended_with_a_resume_state_is_unfinished_until_it_is_said_not_to_be")
def unfinished_uploads_stay_unfinished(patch: Patch) -> None:
    patch.setattr(MemoryTaskStore, "finish_unfinished", lambda *_: None)


@killed_by(
    "test_a_task_that_ended_with_a_resume_state_is_unfinished_until_it_is_said_not_to_be",
    "test_a_live_task_keeps_its_resume_state",
)
def waiting_uploads_count_as_unfinished(patch: Patch) -> None:
    patch.setattr(task_store, "_is_unfinished", lambda row: row.resume_state is not None)


@killed_by("test_a_newer_version_leaves_the_upload_of_the_older_one_unfinished")
def a_newer_version_forgets_the_older_upload(patch: Patch) -> None:
    right = TaskBook.end

    def end(self: TaskBook, row: Any, state: Any, reason: Any = None) -> None:
        right(self, row, state, reason)
        row.resume_state = None

    patch.setattr(TaskBook, "end", end)


@killed_by("test_actions_are_told_by_route")
def actions_know_no_routes(patch: Patch) -> None:
    everything = (ROUTE, OTHER_SOURCE, OTHER_DESTINATION)
    _wrap(
        patch,
        task_sequel,
        "pending_actions",
        lambda original, book, _, *, limit: original(book, everything, limit=limit),
    )


@killed_by("test_a_receipt_moves_under_the_key_of_the_new_path")
def a_receipt_keeps_its_old_key(patch: Patch) -> None:
    _wrap(patch, TaskBook, "move", lambda original, book, row, asset_id, _: original(book, row, asset_id, row.key))


@killed_by("test_a_receipt_that_stood_at_the_new_path_is_replaced")
def two_receipts_stand_at_one_path(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, route: Any, asset_id: bytes, to: bytes) -> Any:
        there = book.latest(route, to)
        moved = original(book, route, asset_id, to)
        if there is not None:
            there.replaced = False
        return moved

    _wrap(patch, task_sequel, "move", around)


@killed_by("test_a_task_that_runs_at_the_old_path_is_left_alone")
def a_move_ends_what_runs(patch: Patch) -> None:
    def around(original: Any, book: TaskBook, route: Any, asset_id: bytes, to: bytes) -> Any:
        current, _ = book.live(route, asset_id)
        if current is not None:
            book.end(current, TaskState.CANCELLED, "superseded")
        return original(book, route, asset_id, to)

    _wrap(patch, task_sequel, "move", around)


@killed_by("test_live_directories_of_too_many_tasks_are_not_told")
def live_directories_are_cut_off(patch: Patch) -> None:
    _wrap(
        patch, task_sequel, "live_directories", lambda original, book, source, limit: original(book, source, limit=99)
    )


@killed_by("test_live_directories_are_those_of_assets_with_live_tasks")
def ended_tasks_count_as_live(patch: Patch) -> None:
    patch.setattr(
        task_sequel,
        "live_directories",
        lambda book, source_id, limit: frozenset(split(row.asset_id)[0] for row in book.rows.values()),
    )


@killed_by("test_activity_counts_what_is_due_already_and_not_what_is_held")
def held_tasks_wait_for_a_worker(patch: Patch) -> None:
    def activity(book: TaskBook, routes: Any) -> Any:
        live = [row for row in book.rows.values() if row.is_live and row.route in routes]
        return min((row.due_ns for row in live), default=None), None

    patch.setattr(task_sequel, "activity", activity)


@MUTANTS.each()
def test_a_wrong_queue_is_found_out(mutant: Mutate, test: str, assert_killed: Callable[[Mutate, str], None]) -> None:
    assert_killed(mutant, f"{SUITE}::{test}")
