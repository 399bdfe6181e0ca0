"""What the commands print: lines and tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, cast

import attrs

from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.reports import ProcessReport, ScanReport
from media_watch_tasks.model.tasks import Task
from media_watch_tasks.model.values import Value

__all__ = ["plain", "task_fields", "told", "written"]


def plain(value: object) -> Any:  # noqa: ANN401 - JSON has many types
    """The same in what JSON knows: durations in seconds, paths as text, reports as objects."""
    match value:
        case Enum():
            found = value.value
        case timedelta():
            found = value.total_seconds()
        case bytes():
            found = display_text(value)
        case Value():
            found = {
                field.name: plain(getattr(value, field.name))
                for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(value)))
            }
        case Mapping():
            found = {str(plain(key)): plain(each) for key, each in value.items()}
        case frozenset():
            found = sorted(map(str, value))
        case tuple() | list():
            found = [plain(each) for each in value]
        case _:
            found = value
    return found


def written(value: object) -> str:
    """One line of JSON; characters that are no text (of undecodable names) are escaped."""
    return json.dumps(plain(value))


def task_fields(task: Task) -> dict[str, object]:
    """What a task is for programs: the same names as the attributes of `Task`."""
    return {
        "id": task.id,
        "source_id": task.source_id,
        "destination_id": task.destination_id,
        "path": task.display,
        "size": task.fingerprint.size,
        "state": task.state,
        "waits_for": task.waits_for,
        "attempts": task.attempts,
        "reason": task.reason,
        "error": task.error,
        "updated_at": task.updated_at.isoformat(timespec="seconds"),
        "remote_id": None if task.receipt is None else task.receipt.remote_id,
    }


def told(scan: ScanReport, process: ProcessReport) -> list[str]:
    """What a run did, for people: what is zero goes without saying."""
    numbers = {
        "new": scan.new,
        "changed": scan.changed,
        "moved": scan.moved,
        "missing": scan.missing,
        "delivered": process.succeeded,
        "failed": process.failed,
        "dead": process.dead,
    }
    lines = [", ".join(f"{count} {what}" for what, count in numbers.items() if count) or "nothing new"]
    lines += [f"not scanned: {reason}" for reason in (scan.skipped, scan.error) if reason]
    lines += [f"not listed: {problem.display}: {problem.message}" for problem in scan.problems]
    if scan.quarantine:
        lines.append(f"quarantine: {scan.quarantine}")
    lines += [f"waits for {name}: {what}" for name, what in process.unmet_constraints.items()]
    return lines
