"""What the parts of a manager share: the interfaces it was given, its options, its identity as a worker."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from media_watch_tasks.abc.constraint import Constraint
from media_watch_tasks.abc.payloads import PayloadStore
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.abc.scanner import MediaScanner
from media_watch_tasks.abc.stores import MediaStateStore, SharedTransaction, TaskStore
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.manager.conditions import Conditions
from media_watch_tasks.manager.destinations import Destinations
from media_watch_tasks.manager.flight import Flights
from media_watch_tasks.manager.notifier import Notifier
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.tasks import NewTask
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.options import TaskManagerOptions

__all__ = ["ManagerCore"]

_Result = TypeVar("_Result")


class ManagerCore:
    """Holds no logic of its own beyond what several parts need in the same words."""

    def __init__(
        self,
        *,
        scanner: MediaScanner,
        resolver: MediaResolver,
        media_state: MediaStateStore,
        tasks: TaskStore,
        destinations: Destinations,
        options: TaskManagerOptions,
        clock: Clock,
        constraints: Sequence[Constraint],
        rng: random.Random,
        pending: PayloadStore | None = None,
    ) -> None:
        self.scanner = scanner
        self.resolver = resolver
        self.media_state = media_state
        self.tasks = tasks
        self.destinations = destinations
        self.options = options
        self.clock = clock
        self.conditions = Conditions(constraints, unknown_is_met=options.unknown_constraint == "met")
        self.rng = rng
        self.pending = pending
        self.notifier = Notifier(clock)
        self.flights = Flights()
        self.closing = CancelToken()
        self.lease_ns = to_ns(options.lease)
        self.settle_ns = to_ns(options.settle_for)
        self.longest_delay_ns = to_ns(options.longest_delay)
        self._worker_id: str | None = None
        self._worker_lock = threading.Lock()

    @property
    def source_id(self) -> str:
        """The source of this manager."""
        return self.scanner.source_id

    @property
    def worker_id(self) -> str:
        """This manager's name in the task store, registered when it is first needed."""
        with self._worker_lock:
            if self._worker_id is None:
                self._worker_id = self.tasks.register_worker(self.source_id)
            return self._worker_id

    def unregister_worker(self) -> None:
        """Leave the task store in order; nothing happens if the manager never worked."""
        with self._worker_lock:
            if self._worker_id is not None:
                self.tasks.unregister_worker(self._worker_id)
                self._worker_id = None

    def together(self, work: Callable[[bool], _Result]) -> _Result:
        """The result of `work(shared)`: where the stores share a database its writes are one transaction.

        It may be done several times, and changes nothing but the stores.
        """
        tasks = self.tasks
        if isinstance(tasks, SharedTransaction) and tasks.shares_with(self.media_state):
            return tasks.run_together(lambda: work(True))
        return work(False)

    def new_tasks(
        self, asset: MediaAsset, *, due_ns: int, priority: int | None = None, tags: frozenset[str] | None = None,
        force: bool = False,
    ) -> list[NewTask]:  # fmt: skip
        """The tasks of one version of an asset: one for each destination."""
        options = self.options
        chosen_tags = frozenset(options.tags(asset)) if tags is None else tags
        chosen_priority = options.priority(asset) if priority is None else priority
        fingerprint = Fingerprint(asset.size, asset.mtime_ns)
        constraints = frozenset(options.constraints)
        return [
            NewTask(
                route=route,
                asset_id=asset.asset_id,
                fingerprint=fingerprint,
                due_ns=due_ns,
                priority=chosen_priority,
                tags=chosen_tags,
                constraints=constraints,
                force=force,
            )
            for route in self.destinations.routes
        ]

    def owed_action(self, receipt: UploadReceipt) -> str | None:
        """The name of the after-upload action that a delivery with this receipt owes, None if it owes none."""
        action = self.options.after_upload
        if action is None:
            return None
        certain = receipt.verified and not receipt.deduplicated
        return action.name if certain or self.options.act_on_unverified else None

    def is_accepted_root(self, found: RootIdentity) -> bool:
        """True unless the root is known and `found` is another one, by a strong name or, without one, by a weak one."""
        accepted = self.media_state.source(self.source_id).identity
        if accepted is None:
            return True
        if accepted.strong and found.strong:
            return accepted.strong == found.strong
        return not (accepted.weak and found.weak) or accepted.weak == found.weak
