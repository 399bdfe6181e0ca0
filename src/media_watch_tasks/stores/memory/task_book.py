"""The tasks of the memory store and the moves of a single task: the state machine, spelled out.

enqueue -> READY | WAITING | HELD | BEHIND        claim   -> RUNNING
RUNNING -> ENDED                                   (delivered, dead, cancelled)
RUNNING -> READY | WAITING | HELD                  (failed, released, taken back)
BEHIND  -> READY | WAITING | HELD                  (when the version before it has stopped running)
"""

from __future__ import annotations

from collections.abc import Iterator

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.identity import Fingerprint, Route, task_key
from media_watch_tasks.model.tasks import ClaimRef, TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.memory.task_row import Row
from media_watch_tasks.stores.pauses import PauseBook
from media_watch_tasks.stores.phases import Phase

__all__ = ["SUPERSEDED", "TaskBook"]

SUPERSEDED = "superseded"

_Asset = tuple[Route, bytes]


class TaskBook:
    """All tasks, by id and by asset. Not thread-safe: the store holds its lock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[int, Row] = {}
        self.pauses = PauseBook()
        self.token = 0
        self._last_id = 0
        self._by_asset: dict[_Asset, dict[int, Row]] = {}

    @property
    def now_ns(self) -> int:
        """Wall time."""
        return self.clock.now_ns()

    # ---- looking up

    def versions(self, route: Route, asset_id: bytes) -> Iterator[Row]:
        """All tasks of an asset, the oldest first."""
        yield from self._by_asset.get((route, asset_id), {}).values()

    def live(self, route: Route, asset_id: bytes) -> tuple[Row | None, Row | None]:
        """The task of the asset that runs or may run next, and the one behind it."""
        rows = [row for row in self.versions(route, asset_id) if row.is_live]
        behind = next((row for row in rows if row.phase is Phase.BEHIND), None)
        return next((row for row in rows if row is not behind), None), behind

    def latest(self, route: Route, asset_id: bytes) -> Row | None:
        """The task of the asset's latest delivered version."""
        return next((row for row in self.versions(route, asset_id) if row.is_latest), None)

    def is_delivered(self, route: Route, asset_id: bytes, key: bytes) -> bool:
        """True if the key is the latest delivered version, and no work on another one can have overwritten it since."""
        latest = self.latest(route, asset_id)
        if latest is None or latest.key != key:
            return False
        later = (row for row in self.versions(route, asset_id) if row.id > latest.id)
        return not any(row.begins or row.phase is Phase.RUNNING for row in later)

    def claimed(self, ref: ClaimRef) -> Row | None:
        """The running task of a claim, None if the claim was lost."""
        row = self.rows.get(ref.task_id)
        return row if row is not None and row.phase is Phase.RUNNING and row.token == ref.token else None

    def running(self) -> list[Row]:
        """All tasks that somebody holds."""
        return [row for row in self.rows.values() if row.phase is Phase.RUNNING]

    # ---- adding and removing

    def add(
        self,
        route: Route,
        asset_id: bytes,
        fingerprint: Fingerprint,
        *,
        due_ns: int,
        priority: int,
        tags: frozenset[str],
        constraints: frozenset[str],
        asks_first: bool = True,
    ) -> Row:
        """Write a new task; it goes behind a running one. With `asks_first` it remembers earlier work on its key."""
        now = self.now_ns
        current, _ = self.live(route, asset_id)
        key = task_key(route, asset_id, fingerprint)
        begun_before = asks_first and any(row.begins for row in self.versions(route, asset_id) if row.key == key)
        self._last_id += 1
        row = Row(
            id=self._last_id,
            route=route,
            asset_id=asset_id,
            fingerprint=fingerprint,
            key=key,
            priority=priority,
            tags=tags,
            constraints=constraints,
            due_ns=due_ns,
            enqueued_ns=now,
            live_since_ns=now,
            updated_ns=now,
            begins=int(begun_before),
        )
        self.rows[row.id] = row
        self._by_asset.setdefault((route, asset_id), {})[row.id] = row
        self.place(row, due_ns=due_ns, wait=WaitReason.SETTLING)
        if current is not None:
            row.phase = Phase.BEHIND
        return row

    def forget(self, row: Row) -> None:
        """Delete an ended task. Its id is never given again."""
        del self.rows[row.id]
        versions = self._by_asset[row.route, row.asset_id]
        del versions[row.id]
        if not versions:
            del self._by_asset[row.route, row.asset_id]

    def move(self, row: Row, asset_id: bytes, key: bytes) -> None:
        """Give an ended task to another path."""
        versions = self._by_asset[row.route, row.asset_id]
        del versions[row.id]
        if not versions:
            del self._by_asset[row.route, row.asset_id]
        row.asset_id, row.key = asset_id, key
        self._by_asset.setdefault((row.route, asset_id), {})[row.id] = row

    # ---- moving

    def place(self, row: Row, *, due_ns: int, wait: WaitReason | None) -> None:
        """Put a live task that does not run where its due time and its tags say."""
        now = self.now_ns
        row.due_ns = due_ns
        row.wait = wait if due_ns > now else None
        if row.tags & self.pauses.held_tags(now):
            row.phase = Phase.HELD
        else:
            row.phase = Phase.WAITING if row.wait is not None else Phase.READY

    def end(self, row: Row, state: TaskState, reason: str | None = None) -> None:
        """End a task, and let the version behind it follow."""
        was_running = row.phase is Phase.RUNNING
        _, behind = self.live(row.route, row.asset_id)
        self._let_go(row)
        row.phase, row.end, row.reason = Phase.ENDED, state, reason
        row.wait = None
        if was_running and behind is not None:
            self.place(behind, due_ns=behind.due_ns, wait=behind.wait)

    def deliver(self, row: Row, receipt: UploadReceipt) -> None:
        """Success: the earlier receipt of the asset answers nothing any more."""
        earlier = self.latest(row.route, row.asset_id)
        if earlier is not None:
            earlier.replaced = True
        row.receipt, row.delivered_ns = receipt, self.now_ns
        row.error = row.resume_state = row.progress = None
        self.end(row, TaskState.SUCCESS)

    def back(self, row: Row, *, due_ns: int, wait: WaitReason | None) -> None:
        """A running task stops running and is to be done again: unless somebody cancelled it, or a newer one waits."""
        _, behind = self.live(row.route, row.asset_id)
        if row.cancel_reason is not None:
            self.end(row, TaskState.CANCELLED, row.cancel_reason)
        elif behind is not None:
            self.end(row, TaskState.CANCELLED, SUPERSEDED)
        else:
            self._let_go(row)
            self.place(row, due_ns=due_ns, wait=wait)

    def release(self, row: Row, *, due_ns: int | None, wait: WaitReason | None) -> None:
        """Back, with the attempt given back."""
        if row.begun:
            row.attempts -= 1
        self.back(row, due_ns=row.due_ns if due_ns is None else due_ns, wait=wait)

    def apply_pauses(self, *, let_go: bool = False) -> None:
        """Forget the pauses that have ended by themselves, and put every waiting task where the tags say now.

        Held tasks are looked at when a pause has ended, or `let_go` says so: until then nothing depends on their time.
        """
        now = self.now_ns
        past = self.pauses.past(now)
        for pause in past:
            self.pauses.remove(pause.scope, pause.value)
        let_go = let_go or bool(past)
        held = self.pauses.held_tags(now)
        for row in self.rows.values():
            if row.phase is Phase.HELD and not let_go:
                continue
            if row.phase is Phase.HELD or (row.phase in {Phase.READY, Phase.WAITING} and row.tags & held):
                self.place(row, due_ns=row.due_ns, wait=row.wait)

    def _let_go(self, row: Row) -> None:
        row.begun = False
        row.cancel_reason = row.reserved = None
        row.updated_ns = self.now_ns
