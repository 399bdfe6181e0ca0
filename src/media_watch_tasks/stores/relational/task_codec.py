"""Tasks, receipts and tags as the columns hold them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from media_watch_tasks.model.identity import Fingerprint, Route
from media_watch_tasks.model.tasks import Task, TaskState, WaitReason
from media_watch_tasks.model.uploads import Stage, UploadProgress, UploadReceipt
from media_watch_tasks.stores.phases import Phase
from media_watch_tasks.stores.relational.task_database import Row
from media_watch_tasks.stores.relational.text_codec import from_sql, to_sql

__all__ = [
    "CANCELLED",
    "DEAD",
    "FAILED",
    "NO_TAGS",
    "PENDING",
    "RECEIPT_COLUMNS",
    "STATES",
    "SUCCESS",
    "TASK_COLUMNS",
    "UPLOADING",
    "WAITS",
    "Digest",
    "json_of_ids",
    "progress_to_sql",
    "receipt_from_row",
    "receipt_to_row",
    "sha256_to_sql",
    "state_number",
    "tag_to_sql",
    "tags_from_sql",
    "tags_to_sql",
    "task_from_row",
    "wait_number",
]

STATES = (
    TaskState.PENDING,
    TaskState.FAILED,
    TaskState.UPLOADING,
    TaskState.SUCCESS,
    TaskState.DEAD,
    TaskState.CANCELLED,
)
"""A state's place is its number in the database."""
PENDING, FAILED, UPLOADING, SUCCESS, DEAD, CANCELLED = range(6)

WAITS = (WaitReason.SETTLING, WaitReason.BACKOFF, WaitReason.SNOOZED)
"""A wait's place is its number in the database. Held and behind are phases."""

_STATE_NUMBERS = {state: number for number, state in enumerate(STATES)}
_WAIT_NUMBERS = {wait: number for number, wait in enumerate(WAITS)}
_SNOOZED = _WAIT_NUMBERS[WaitReason.SNOOZED]
_DIGEST_LENGTH = 32

NO_TAGS: frozenset[str] = frozenset()


class Digest(bytes):
    """A SHA-256. SQLite keeps its 32 bytes."""

    __slots__ = ()


_OWN_COLUMNS = (
    "id, lane, asset_id, size, mtime_ns, key, phase, state, wait, priority, tags, due_ns, enqueued_ns, live_since_ns, "
    "updated_ns, attempts, crashes, begins, reason, error, resume_state, progress, slot"
)
RECEIPT_COLUMNS = "r.remote_id, r.size, r.sha256, r.etag, r.verified, r.deduplicated, r.details"
TASK_COLUMNS = ", ".join(f"t.{column}" for column in _OWN_COLUMNS.split(", ")) + ", r.task_id, " + RECEIPT_COLUMNS
"""What `task_from_row` takes, of `task AS t LEFT JOIN task_receipt AS r ON r.task_id = t.id`."""


def state_number(state: TaskState) -> int:
    """The number of a state."""
    return _STATE_NUMBERS[state]


def wait_number(wait: WaitReason) -> int:
    """The number of a wait; whether a task is held or stands behind another, the store finds out by itself."""
    return _WAIT_NUMBERS.get(wait, _SNOOZED)


def tag_to_sql(tag: str) -> str:
    """A tag as `task_tag` has it: a JSON string, ASCII."""
    return json.dumps(tag)


def tags_to_sql(tags: Collection[str]) -> str | None:
    """A sorted JSON array, NULL where there is none. ASCII, so that lone surrogates survive."""
    return json.dumps(sorted(tags)) if tags else None


def tags_from_sql(value: str | None) -> frozenset[str]:
    """The tags that `tags_to_sql` was given."""
    return NO_TAGS if value is None else frozenset(json.loads(value))


def json_of_ids(ids: Collection[int]) -> str:
    """A parameter for `json_each`."""
    return "[" + ",".join(map(str, ids)) + "]"


def sha256_to_sql(sha256: str | None) -> str | bytes | None:
    """Half the space where it is what it should be: 64 lowercase hex digits."""
    try:
        digest = Digest.fromhex(sha256 or "")
    except ValueError:
        return to_sql(sha256)
    return digest if len(digest) == _DIGEST_LENGTH and digest.hex() == sha256 else to_sql(sha256)


def _sha256_from_sql(value: str | bytes | None) -> str | None:
    if isinstance(value, bytes) and len(value) == _DIGEST_LENGTH:
        return value.hex()
    return from_sql(value)


def receipt_to_row(task_id: int, receipt: UploadReceipt) -> tuple[int | str | bytes | None, ...]:
    """A row of `task_receipt`."""
    details = receipt.details
    return (
        task_id,
        to_sql(receipt.remote_id),
        receipt.size,
        sha256_to_sql(receipt.sha256),
        to_sql(receipt.etag),
        int(receipt.verified),
        int(receipt.deduplicated),
        json.dumps(dict(details)) if details else None,
    )


def receipt_from_row(row: Row) -> UploadReceipt:
    """From `RECEIPT_COLUMNS`."""
    remote_id, size, sha256, etag, verified, deduplicated, details = row
    return UploadReceipt(
        from_sql(remote_id),
        size=size,
        sha256=_sha256_from_sql(sha256),
        etag=from_sql(etag),
        verified=bool(verified),
        deduplicated=bool(deduplicated),
        details={} if details is None else json.loads(details),
    )


def progress_to_sql(progress: UploadProgress) -> str:
    """A JSON array."""
    return json.dumps([progress.stage, progress.done, progress.total])


def _progress_from_sql(value: str | None) -> UploadProgress | None:
    if value is None:
        return None
    stage, done, total = json.loads(value)
    return UploadProgress(Stage(stage), done, total)


def task_from_row(
    row: Row, *, lanes: Mapping[int, tuple[Route, frozenset[str]]], now_ns: int, held_tags: frozenset[str]
) -> Task:
    """From `TASK_COLUMNS`. A hold whose pause is over shows no more, although nobody has ended it in the table yet."""
    (
        task_id,
        lane,
        asset_id,
        size,
        mtime_ns,
        key,
        phase,
        state,
        wait,
        priority,
        tags_json,
        due_ns,
        enqueued_ns,
        live_since_ns,
        updated_ns,
        attempts,
        crashes,
        begins,
        reason,
        error,
        resume_state,
        progress,
        slot,
        receipt_id,
        *receipt,
    ) = row
    route, constraints = lanes[lane]
    tags = tags_from_sql(tags_json)
    return Task(
        id=task_id,
        route=route,
        asset_id=asset_id,
        fingerprint=Fingerprint(size, mtime_ns),
        key_bytes=key,
        state=STATES[state],
        waits_for=_waits_for(phase, wait, is_due=due_ns <= now_ns, held=bool(tags & held_tags)),
        priority=priority,
        tags=tags,
        constraints=constraints,
        due_ns=due_ns,
        enqueued_ns=enqueued_ns,
        live_since_ns=live_since_ns,
        updated_ns=updated_ns,
        attempts=attempts,
        crashes=crashes,
        ever_begun=begins > 0,
        reason=from_sql(reason),
        error=from_sql(error),
        resume_state=_json_or_none(resume_state),
        progress=_progress_from_sql(progress),
        receipt=None if receipt_id is None else receipt_from_row(tuple(receipt)),
        delivered_ns=updated_ns if state == SUCCESS else None,
        replaced=state == SUCCESS and slot is None,
    )


def _waits_for(phase: int, wait: int | None, *, is_due: bool, held: bool) -> WaitReason | None:
    if phase == Phase.BEHIND:
        return WaitReason.BEHIND
    if phase == Phase.HELD and held:
        return WaitReason.HELD
    if phase in {Phase.WAITING, Phase.HELD} and wait is not None and not is_due:
        return WAITS[wait]
    return None


def _json_or_none(value: str | None) -> Any:  # noqa: ANN401 - whatever an uploader keeps
    return None if value is None else json.loads(value)
