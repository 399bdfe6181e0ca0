"""How work on a task ends: one value per line of the state machine. Stores write them, the manager chooses."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import attrs

from media_watch_tasks.clock import from_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.tasks import Claim, ClaimRef, WaitReason
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.model.values import Value

__all__ = [
    "Cancelled",
    "Dead",
    "Delivered",
    "Failed",
    "Interrupt",
    "Pause",
    "PauseScope",
    "Released",
    "ReservationState",
    "SettleResult",
    "Settlement",
    "Superseded",
]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Delivered(Value):
    """`success`: receipt and state are one transaction; receipts of earlier versions of the asset become `replaced`."""

    ref: ClaimRef
    receipt: UploadReceipt
    action: str | None = None
    """Name of the after-upload action that is owed from now on; `settle` is then called with `durable`."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Failed(Value):
    """`failed`: retried at `retry_ns` (wall time)."""

    ref: ClaimRef
    retry_ns: int
    error: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dead(Value):
    """`dead`: kept with its reason until somebody retries or purges it."""

    ref: ClaimRef
    reason: str
    error: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Released(Value):
    """Back to what it was, the attempt given back; eligible again at `due_ns` (None: at once)."""

    ref: ClaimRef
    due_ns: int | None = None
    wait: WaitReason = WaitReason.SNOOZED
    note: str | None = None
    """Why, for people."""
    untouched: bool = False
    """Work on it never began: it is as if the task had not been claimed, and the same run may take it again."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Cancelled(Value):
    """`cancelled`, with a stable word as its reason."""

    ref: ClaimRef
    reason: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Superseded(Value):
    """`cancelled: superseded`, and the version that was found is enqueued in the same transaction.

    The new task keeps priority, tags and constraints; no attempts, no resume state.
    """

    ref: ClaimRef
    found: Fingerprint
    due_ns: int


Settlement = Delivered | Failed | Dead | Released | Cancelled | Superseded
"""How work on a task ends."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SettleResult(Value):
    """What `settle` did: ids not in `settled` had lost their lease, and nothing was written for them."""

    settled: frozenset[int]
    claims: tuple[Claim, ...] = ()
    """What `then_claim` claimed in the same commit."""


class PauseScope(StrEnum):
    """What a pause stops."""

    ALL = "all"
    TAG = "tag"
    SOURCE = "source"
    DESTINATION = "destination"

    @classmethod
    def party(cls, *, tag: str | None, source: str | None, destination: str | None) -> tuple[PauseScope, str]:
        """The scope and value that one of the arguments names; `ALL` if none is given.

        Raises:
            ConfigurationError: more than one is given.
        """
        named = {cls.TAG: tag, cls.SOURCE: source, cls.DESTINATION: destination}
        given = [(scope, value) for scope, value in named.items() if value is not None]
        if len(given) > 1:
            raise ConfigurationError("name one of tag, source and destination")
        return given[0] if given else (cls.ALL, "")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Pause(Value):
    """Something is paused; `until_ns` None: until somebody resumes it.

    A pause that the library set itself (`automatic`) for a destination ends half-open: when its time is over one task,
    if possible another than `task_id`, is tried alone, and the rest follows once that one was delivered.
    """

    scope: PauseScope
    value: str = ""
    """The tag, source id or destination id; empty for `all`."""
    until_ns: int | None = None
    reason: str = ""
    automatic: bool = False
    rounds: int = 1
    """How many times in a row it was paused automatically: the back-off grows with it."""
    task_id: int | None = None
    """The task on which it was noticed."""

    @property
    def until(self) -> datetime | None:
        """The end, None: open."""
        return None if self.until_ns is None else from_ns(self.until_ns)

    @property
    def summary(self) -> str:
        """One line for people: until when it is paused (UTC, to the second), what, and why."""
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M:%S} UTC"
        what = f"{self.scope} {self.value}".rstrip()
        return f"paused{until}: {what}: {' '.join(self.reason.split()) or 'by a call'}"


@attrs.frozen(eq=False, repr=False)
class Interrupt(Value):
    """Somebody, in whatever process, wants a running task to stop."""

    ref: ClaimRef
    paused: bool
    """True: its tag, source or destination was paused (release it); False: it was cancelled."""


class ReservationState(StrEnum):
    """The answer to `reserve_content`."""

    RESERVED = "reserved"
    """This claim sends the content."""
    BUSY = "busy"
    """Another live claim is sending equal content: wait for it."""
    DELIVERED = "delivered"
    """Equal content was delivered: share its receipt."""
