"""Mistakes that are put into the processes of the crash tests before they are forked, see `tests/crash/zygote.py`."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from media_watch_tasks import DirectoryUploader
from media_watch_tasks.manager.attempt import Attempt
from media_watch_tasks.manager.context import ManagedContext
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.page_commit import PageCommit
from media_watch_tasks.model.tasks import ClaimRef
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.stores.postgres.task_store import PostgresTaskStore
from media_watch_tasks.stores.relational.task_store import RelationalTaskStore
from media_watch_tasks.stores.sqlite.task_store import SqliteTaskStore
from media_watch_tasks.uploaders.directory.decision import Decision, Place
from media_watch_tasks.uploaders.directory.writing import FileWriter


def _patch(owner: Any, name: str, value: object) -> None:
    setattr(owner, name, value)


def receipts_come_before_the_bytes() -> None:
    def upload(self: Any, media: Any, context: Any) -> UploadReceipt:
        with media.open() as stream:
            content = stream.read()

        def later() -> None:
            time.sleep(0.05)
            Path(self.target, media.asset.display).write_bytes(content)

        context.confirm()
        threading.Thread(target=later, daemon=True).start()
        sha256 = hashlib.sha256(content).hexdigest()
        return UploadReceipt(media.asset.display, size=len(content), sha256=sha256, verified=True)

    _patch(DirectoryUploader, "upload", upload)


def sources_are_deleted_before_the_settlement() -> None:
    success = Attempt.success

    def too_early(self: Any, receipt: UploadReceipt) -> Any:
        outcome = success(self, receipt)
        self._core.resolver.remove(self._asset.asset_id, cancel=self._flight.cancel)
        return outcome

    _patch(Attempt, "success", too_early)


def _place_over_anything(_self: object, chosen: Place, folder_fd: int, temporary: bytes) -> bool:
    os.rename(temporary, chosen.name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    return True


def copies_go_over_whatever_stands_there() -> None:
    _patch(Decision, "decide", lambda self, _folder_fd: Place(self._name))
    _patch(Decision, "find", lambda _self, _folder_fd: None)
    _patch(FileWriter, "_place", _place_over_anything)


def nobody_asks_before_the_name_is_taken() -> None:
    # An uploader that cannot look at what it replaces has nothing but the question.
    _patch(FileWriter, "_place", _place_over_anything)
    _patch(ManagedContext, "confirm", lambda _self: None)


def settlements_go_by_the_task_alone() -> None:
    settle = SqliteTaskStore.settle

    def by_id(self: SqliteTaskStore, settlements: Any, **named: Any) -> Any:
        changed = []
        for each in settlements:
            ((token,),) = self.database.execute("SELECT token FROM task WHERE id = ?", (each.ref.task_id,))
            changed.append(attrs.evolve(each, ref=ClaimRef(each.ref.task_id, token)))
        return settle(self, changed, **named)

    _patch(SqliteTaskStore, "settle", by_id)


def settlements_are_not_synced_before_the_action() -> None:
    settle = SqliteTaskStore.settle

    def lazy(self: SqliteTaskStore, settlements: Any, *, durable: bool = False, then_claim: Any = None) -> Any:
        return settle(self, settlements, then_claim=then_claim)

    _patch(SqliteTaskStore, "settle", lazy)


def files_count_as_seen_before_their_tasks_are_written() -> None:
    commit = PageCommit._commit

    def in_two(self: Any, page: Any, diff: Any, moves: Any, **parts: Any) -> int:
        self._walk.record(page, diff, (*diff.new, *diff.changed))
        # Other work in between: the small battery that has to find this out dies at few places only.
        for _ in range(20):
            self._core.media_state.extend_scan(self._walk._lease, lease_ns=self._core.lease_ns)
        return commit(self, page, diff, moves, **parts)

    _patch(PageCommit, "_commit", in_two)


def _let_claims_take_what_others_hold(store: type[RelationalTaskStore]) -> None:
    claim_batch = store.claim_batch

    def greedy(self: Any, request: Any) -> Any:
        with self.transaction():
            self.database.execute("UPDATE task SET phase = 0, due_ns = 0 WHERE phase = 4")
        return claim_batch(self, request)

    _patch(store, "claim_batch", greedy)


def claims_take_what_others_hold() -> None:
    _let_claims_take_what_others_hold(SqliteTaskStore)


def claims_on_postgres_take_what_others_hold() -> None:
    _let_claims_take_what_others_hold(PostgresTaskStore)


def pages_of_a_lost_lease_are_kept() -> None:
    @contextmanager
    def apart(_self: object) -> Iterator[bool]:
        yield False

    _patch(ManagerCore, "together", apart)
