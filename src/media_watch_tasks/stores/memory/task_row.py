"""One task as the memory store holds it: a record that changes, and the snapshot of it that callers get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import Task, TaskSelection, TaskState, WaitReason
from media_watch_tasks.model.uploads import UploadProgress, UploadReceipt
from media_watch_tasks.stores.phases import Phase

__all__ = ["Row"]


@attrs.define(kw_only=True, eq=False)
class Row:
    """A task. The fields that `Task` has too mean the same."""

    id: int
    route: Route
    asset_id: bytes
    fingerprint: Fingerprint
    key: bytes
    priority: int
    tags: frozenset[str]
    constraints: frozenset[str]
    due_ns: int
    enqueued_ns: int
    live_since_ns: int
    updated_ns: int
    phase: Phase = Phase.READY
    wait: WaitReason | None = None
    """Why it waits where its due time lies ahead; kept while the task is held or stands behind another."""
    end: TaskState | None = None
    """The state of an ended task."""
    attempts: int = 0
    crashes: int = 0
    begins: int = 0
    """How many times work on this key has begun."""
    action: str | None = None
    """The after-upload action that is owed."""
    reason: str | None = None
    error: str | None = None
    resume_state: Mapping[str, Any] | None = None
    progress: UploadProgress | None = None
    receipt: UploadReceipt | None = None
    delivered_ns: int | None = None
    replaced: bool = False

    token: int = 0
    """Of its latest claim."""
    worker: str = ""
    """Who made its latest claim."""
    begun: bool = False
    """The attempt of the running claim is counted."""
    lease_end: int = 0
    """Boot clock."""
    boot_id: str = ""
    cancel_reason: str | None = None
    """Somebody asked the running task to stop."""
    reserved: str | None = None
    """The content that the running claim sends (SHA-256)."""

    @property
    def state(self) -> TaskState:
        """The public state."""
        if self.end is not None:
            return self.end
        if self.phase is Phase.RUNNING:
            return TaskState.UPLOADING
        return TaskState.FAILED if self.attempts else TaskState.PENDING

    @property
    def is_live(self) -> bool:
        """True until it has ended."""
        return self.phase is not Phase.ENDED

    @property
    def is_latest(self) -> bool:
        """True for the asset's latest delivered version."""
        return self.end is TaskState.SUCCESS and not self.replaced

    def waits_for(self, now_ns: int) -> WaitReason | None:
        """Why it is not eligible now."""
        match self.phase:
            case Phase.HELD:
                return WaitReason.HELD
            case Phase.BEHIND:
                return WaitReason.BEHIND
            case Phase.WAITING if self.due_ns > now_ns:
                return self.wait
            case _:
                return None

    def is_chosen_by(self, selection: TaskSelection) -> bool:
        """True if every given field of the selection fits."""
        return (
            (selection.routes is None or self.route in selection.routes)
            and (selection.ids is None or self.id in selection.ids)
            and (selection.keys is None or self.key in selection.keys)
            and (selection.asset_ids is None or self.asset_id in selection.asset_ids)
            and (selection.states is None or self.state in selection.states)
            and (selection.tag is None or selection.tag in self.tags)
        )

    def snapshot(self, now_ns: int, *, ever_begun: bool | None = None) -> Task:
        """The task as it is now; `ever_begun` where it is to tell of the time before a claim."""
        return Task(
            id=self.id,
            route=self.route,
            asset_id=self.asset_id,
            fingerprint=self.fingerprint,
            key_bytes=self.key,
            state=self.state,
            waits_for=self.waits_for(now_ns),
            priority=self.priority,
            tags=self.tags,
            constraints=self.constraints,
            due_ns=self.due_ns,
            enqueued_ns=self.enqueued_ns,
            live_since_ns=self.live_since_ns,
            updated_ns=self.updated_ns,
            attempts=self.attempts,
            crashes=self.crashes,
            ever_begun=self.begins > 0 if ever_begun is None else ever_begun,
            reason=self.reason,
            error=self.error,
            resume_state=self.resume_state,
            progress=self.progress,
            receipt=self.receipt,
            delivered_ns=self.delivered_ns,
            replaced=self.replaced,
        )
