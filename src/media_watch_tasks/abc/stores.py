"""MediaStateStore and TaskStore: what is known of the sources, and the durable queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from media_watch_tasks.clock import Clock
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.model.settlements import (
    Interrupt,
    Pause,
    PauseScope,
    ReservationState,
    Settlement,
    SettleResult,
)
from media_watch_tasks.model.sources import (
    AssetState,
    KnownListing,
    PageDiff,
    PageRecord,
    ScanLease,
    SourceState,
)
from media_watch_tasks.model.tasks import (
    Claim,
    ClaimRef,
    ClaimRequest,
    EnqueueResult,
    NewTask,
    Task,
    TaskSelection,
    TaskState,
)
from media_watch_tasks.model.uploads import UploadProgress, UploadReceipt

__all__ = ["KeepsTime", "MediaStateStore", "Reservation", "SharedTransaction", "TaskStore"]

_Result = TypeVar("_Result")

Reservation = tuple[ReservationState, UploadReceipt | None]
"""The answer to `reserve_content`: the state, and the receipt to share where the content was delivered."""


class SharedTransaction(ABC):
    """Capability of stores that live in one database: several writes become one transaction."""

    @abstractmethod
    def shares_with(self, other: object) -> bool:
        """True if `transaction` covers the writes of the other store too."""

    @abstractmethod
    def transaction(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """All writes of this thread to the sharing stores inside the block commit together, or not at all.

        Blocks may nest; the outermost commits. With `durable` the commit is on the disk when the block ends.
        """

    def run_together(self, work: Callable[[], _Result]) -> _Result:
        """The result of `work`, whose writes commit together; it is done again where others were in the way.

        So it may be called several times, and changes nothing but the stores; an exception takes back what it wrote.
        """
        with self.transaction():
            return work()


class KeepsTime(ABC):
    """Capability of a store whose times are not those of this machine: the manager goes by the same clock."""

    clock: Clock
    """Where the store takes its times from."""


class MediaStateStore(ABC):
    """What is known of each source. Thread-safe; all times come from the clock given at construction."""

    @abstractmethod
    def source(self, source_id: str) -> SourceState:
        """The record of a source; an empty one (`BaselineState.NONE`) if there is none yet."""

    @abstractmethod
    def sources(self) -> Sequence[SourceState]:
        """All sources that have a record or had a scan lease, by id."""

    @abstractmethod
    def save_source(self, state: SourceState, *, lease: ScanLease | None = None) -> bool:
        """Write the record whole. With a lease it acts only while that is held; False if it was lost."""

    @abstractmethod
    def acquire_scan(self, source_id: str, *, owner: str, lease_ns: int) -> ScanLease | None:
        """The right to scan the source, None while another scanner holds it and its lease has not ended.

        Its end is judged by the boot clock; a reboot ends it too. Every call asks as another scanner, whatever its
        `owner`, a name for people.
        """

    @abstractmethod
    def extend_scan(self, lease: ScanLease, *, lease_ns: int) -> bool:
        """Hold it for longer; False if it was lost to another scanner or given back. A late call is in time."""

    @abstractmethod
    def release_scan(self, lease: ScanLease) -> None:
        """Give it back. Nothing happens if it was lost."""

    @abstractmethod
    def diff_page(self, page: ScanPage, *, after: bytes | None = None) -> PageDiff:
        """Compare a page with what is known at one moment; writes nothing.

        `after` is the last name of the directory's previous page (None for its first): only names behind it and up to
        the page's last one (or the end, on a complete page) are compared, so that `missing` is right for each page.
        Of an `unchanged` page everything known counts as unchanged.
        """

    @abstractmethod
    def record_page(self, lease: ScanLease, record: PageRecord, *, baseline: bool = False) -> bool:
        """Write what was seen: new and changed assets, the completed directory, the checkpoint.

        False if the lease was lost; nothing is written then. A changed asset gets `unchanged_since` = now; an asset
        known as missing is present again. With `baseline` new assets (and missing ones that are back) are marked as
        baseline; without it a changed asset loses the mark. An empty record writes nothing. Idempotent.
        """

    @abstractmethod
    def known_listing(self, source_id: str, directory: bytes) -> KnownListing | None:
        """How the directory's last complete listing was recorded; None if it was not.

        It is not trusted while an asset of the directory is marked absent.
        """

    @abstractmethod
    def absent_assets(
        self, source_id: str, scan_number: int, *, after: bytes | None = None, limit: int = 1000
    ) -> Sequence[AssetState]:
        """Present assets that a scan up to this number marked absent, and that were not seen since.

        They come in a fixed order, behind the asset id `after`.
        """

    @abstractmethod
    def same_version(self, source_id: str, fingerprints: Sequence[Fingerprint]) -> Sequence[AssetState]:
        """Known assets of the source, present or missing, that have one of these fingerprints; at most 100 of each."""

    @abstractmethod
    def move_asset(self, source_id: str, asset_id: bytes, to: MediaAsset) -> bool:
        """Give what is known of an asset (first seen, baseline, metadata) to another path; False if it is not known.

        The earlier path is forgotten. What was known of the new path is replaced. The asset is present, and has been
        unchanged for as long as before.
        """

    @abstractmethod
    def sample_assets(self, source_id: str, count: int) -> Sequence[AssetState]:
        """Up to `count` present assets, chosen at random."""

    @abstractmethod
    def undescribed(self, source_id: str, *, after: bytes | None = None, limit: int = 1000) -> Sequence[AssetState]:
        """Present assets without metadata of their present version, in a fixed order, behind the asset id `after`."""

    @abstractmethod
    def forget_seen(self, source_id: str) -> None:
        """Forget every asset and directory of a source, its baseline and its last complete scan."""

    @abstractmethod
    def assets(self, source_id: str, asset_ids: Sequence[bytes]) -> Sequence[AssetState | None]:
        """What is known of these assets, in order; None where nothing is."""

    @abstractmethod
    def iterate_assets(self, source_id: str) -> Iterable[AssetState]:
        """All assets of a source that are present, in the order of a scan; read in portions: memory stays flat.

        What is written meanwhile may or may not be seen.
        """

    @abstractmethod
    def update_seen(self, source_id: str, found: Mapping[bytes, Fingerprint]) -> None:
        """A fresh look showed these fingerprints: record them as `record_page` would for changed assets.

        Assets that are not known are passed over, so that the next scan finds them new. File ids stay.
        """

    @abstractmethod
    def mark_missing(self, source_id: str, asset_ids: Sequence[bytes]) -> int:
        """Record that these assets are gone; the number that were present. A later scan that finds one says `new`."""

    @abstractmethod
    def save_metadata(self, source_id: str, asset_id: bytes, fingerprint: Fingerprint, metadata: MediaMetadata) -> None:
        """Keep what a prober found in this version.

        It replaces what is kept, unless that describes the version that stands there now and this does not. Nothing is
        kept of an asset that is not known.
        """

    @abstractmethod
    def save_identity(self, source_id: str, identity: RootIdentity) -> None:
        """Keep the root's identity as the accepted one."""

    @abstractmethod
    def count_assets(self, source_id: str) -> tuple[int, int]:
        """(present, missing)."""


class TaskStore(ABC):
    """The durable queue. Thread-safe; atomic between threads, processes and, where the database is shared, machines.

    Every method that acts on claims does so only where task id and token match a running task, in one transaction,
    and says which ones it acted on.
    """

    @abstractmethod
    def register_worker(self, name: str = "") -> str:
        """A new worker id, never used before. Its death is seen by its peers at once where the platform allows it."""

    @abstractmethod
    def unregister_worker(self, worker_id: str) -> None:
        """The worker ends in order; claims it still holds are released, with the attempt given back."""

    @abstractmethod
    def enqueue_if_absent(self, tasks: Sequence[NewTask], *, durable: bool = False) -> Sequence[EnqueueResult]:
        """Write the tasks that are not there yet, in one transaction; one result for each, in order.

        For each: a live task with the key makes `LIVE`; the key of the asset's latest delivered version makes
        `DELIVERED`, unless work on another version has begun since (it may have overwritten what was delivered). An
        older version that waits ends `cancelled: superseded`; beside a running one the new task waits until that has
        ended, in place of any other that waits there. A task whose tag is paused is held. With `force` neither a
        waiting task nor a delivery is in the way, and the new task forgets that work on its key has begun before.
        With `durable` the commit is on the disk before the call returns.
        """

    @abstractmethod
    def claim_batch(self, request: ClaimRequest) -> Sequence[Claim]:
        """Up to `limit` eligible tasks of the routes, by priority (high first), due time, id; never one twice.

        Eligible: due, not held, of no paused party, in no lane with an unmet constraint; running tasks whose lease has
        ended are taken back first (see `take_back`). Tasks of a destination whose automatic pause has run out: one at a
        time until one is delivered. Tasks that two workers died on are given only to `alone=True`. The claims of one
        call share a token. A lapsed lease of the asking worker itself is left alone: it may still be at work.

        Raises `ConfigurationError` if the worker is not registered.
        """

    @abstractmethod
    def begin(self, refs: Sequence[ClaimRef]) -> frozenset[int]:
        """Count the attempt of claims made with `begin=False`; the ids acted on."""

    @abstractmethod
    def extend(
        self, refs: Sequence[ClaimRef], *, lease_ns: int, progress: Mapping[int, UploadProgress] | None = None
    ) -> frozenset[int]:
        """Make the leases end `lease_ns` from now, or up to a 64th of it sooner; keep progress; the ids acted on."""

    @abstractmethod
    def settle(
        self, settlements: Sequence[Settlement], *, durable: bool = False, then_claim: ClaimRequest | None = None
    ) -> SettleResult:
        """Write how work ended, and claim the next, all in one commit.

        A task that waited behind a settled one becomes eligible. `Released` gives the attempt (`untouched`: the claim)
        back. Work to be repeated (`Failed`, `Released`, a lease taken back) ends `cancelled` instead if somebody
        cancelled it, or a newer version waits behind it. `Delivered` of a newer version marks earlier receipts of the
        asset as replaced, and ends automatic pauses of source and destination whose time is over (not if deduplicated:
        nothing was sent). `Failed`, `Delivered` and `Dead` count the attempt of a claim that was not begun.
        """

    @abstractmethod
    def save_resume_state(self, ref: ClaimRef, state: Mapping[str, object] | None) -> bool:
        """Keep a JSON object with the task; False if the claim was lost."""

    @abstractmethod
    def interrupts(self, worker_id: str) -> Sequence[Interrupt]:
        """Running tasks of this worker that shall stop: cancelled, or a party of theirs paused. Cheap to ask."""

    @abstractmethod
    def take_back(self, *, dead_after: int, backoff_ns: Sequence[int], asking: str | None = None) -> int:
        """Take back running tasks whose lease has ended, or whose worker is known to be dead; how many.

        Those of the worker `asking` are left alone: it knows better what it still works on.

        One that was not begun becomes eligible. For one that was begun `crashes` grows, the attempt is given back, and
        it waits `backoff_ns[crashes - 1]` (the last one for all further). With `crashes` = `dead_after` it becomes
        `dead: crashed`. The claims that follow go by the same two, when they find more to take back.
        """

    @abstractmethod
    def last_token(self) -> int:
        """The highest token that this object has given out, 0 before the first: a `floor` for `ClaimRequest`."""

    @abstractmethod
    def next_due_ns(self, routes: Sequence[Route]) -> int | None:
        """The earliest wall time at which a waiting task of the routes becomes eligible; None if none waits."""

    @abstractmethod
    def delivered(self, route: Route, asset_ids: Sequence[bytes]) -> Sequence[Task | None]:
        """The task of each asset's latest delivered version, in order, with its receipt; None where there is none."""

    @abstractmethod
    def has_content_of_size(self, ref: ClaimRef, size: int) -> bool:
        """True if another asset of the destination with this size is delivered (and not replaced) or live."""

    @abstractmethod
    def reserve_content(self, ref: ClaimRef, sha256: str) -> Reservation:
        """Reserve content for the destination of this claim until it settles, or say who has it.

        A receipt that was itself shared (`deduplicated`) answers nothing: the object is another task's.
        Raises `LeaseLost` if the claim was lost.
        """

    @abstractmethod
    def cancel(self, selection: TaskSelection, *, reason: str = "user") -> tuple[int, int]:
        """End waiting tasks `cancelled`, and ask running ones to stop; (ended, asked)."""

    @abstractmethod
    def retry(self, selection: TaskSelection) -> tuple[Sequence[int], Mapping[int, str]]:
        """Make `dead`, `cancelled` and `failed` tasks eligible now, with attempts, crashes and TTL afresh.

        Of several versions of an asset the newest is taken; a task in back-off counts as failed. Returns the ids, and
        for each one skipped why: `live task`, `newer version delivered`, `not ended`, `delivered` (the last two only
        where the selection names tasks, keys or assets).
        """

    @abstractmethod
    def pause(self, pause: Pause) -> None:
        """Set or replace a pause. Waiting tasks of a paused tag become held; running ones get an interrupt."""

    @abstractmethod
    def resume(self, scope: PauseScope, value: str = "") -> bool:
        """End a pause; False if there was none."""

    @abstractmethod
    def pauses(self) -> Sequence[Pause]:
        """The pauses in force, automatic ones whose time is over included until a delivery ends them."""

    @abstractmethod
    def tasks(self, selection: TaskSelection, *, limit: int = 100, after_id: int = 0) -> Sequence[Task]:
        """Tasks by id, above `after_id`, at most `limit`."""

    @abstractmethod
    def live_directories(self, source_id: str, *, limit: int) -> frozenset[bytes] | None:
        """Directories with an asset that has a live task; None if there are more than `limit` live tasks."""

    @abstractmethod
    def move(self, route: Route, asset_id: bytes, to: bytes) -> Task | None:
        """Give an asset's receipts to another path, under the keys of that path; the latest delivered task, if any.

        A waiting task of the old path ends `cancelled: superseded`. A running one is left alone: it will find that its
        file is gone.
        """

    @abstractmethod
    def pending_actions(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """Delivered tasks whose after-upload action is not done, by id."""

    def acting(self, task_id: int) -> AbstractContextManager[bool]:  # noqa: ARG002 - for stores that many hosts share
        """The right to do the after-upload action of a task, until the block ends or the process dies.

        The context is true where the action is still owed and no other process is at it: the caller does it and
        finishes it inside of the block. Otherwise the caller leaves it alone. Actions of different tasks go on side by
        side, but for a few that may share a lock. By default always true, for stores that have no way to tell.
        """
        return nullcontext(enter_result=True)

    @abstractmethod
    def finish_action(self, task_id: int, *, error: str | None = None) -> bool:
        """The after-upload action of a task is done, or was given up for the reason `error`.

        False if it was not owed any more: another host has finished it.
        """

    @abstractmethod
    def unfinished(self, routes: Sequence[Route], *, limit: int = 100) -> Sequence[Task]:
        """Tasks that have ended without a delivery and still have a resume state, by id, whatever ended them.

        What the state names may stand at the destination, and nobody goes on with it.
        """

    @abstractmethod
    def finish_unfinished(self, task_id: int) -> None:
        """Forget the resume state of a task that has ended; that of a live one stays."""

    @abstractmethod
    def activity(self, routes: Sequence[Route]) -> tuple[int | None, int | None]:
        """(the earliest due time of a task that waits for a worker, the time of the latest delivery), wall time."""

    @abstractmethod
    def counts(self, routes: Sequence[Route] | None = None) -> Mapping[TaskState, int]:
        """Exact numbers, one entry for each state; of all routes if None."""

    @abstractmethod
    def purge(self, selection: TaskSelection, *, before_ns: int) -> int:
        """Delete ended tasks that were updated before this wall time; how many.

        Latest receipts are kept, and so are later versions on which work has begun: they may have overwritten what was
        delivered, so that the delivered version, if it is restored, has to be sent again.
        """
