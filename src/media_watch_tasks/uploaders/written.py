"""A mark in the resume state: what stands at the target was put there by this task, and may be overwritten by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from media_watch_tasks.abc.uploader import UploadContext

__all__ = ["is_written_by_us", "mark_as_ours"]

_WRITTEN = "written"


def mark_as_ours(context: UploadContext) -> None:
    """The destination took the bytes and said so, yet they are not what was sent: the next attempt writes over them."""
    context.save_resume_state({_WRITTEN: True})


def is_written_by_us(resume_state: Mapping[str, Any] | None) -> bool:
    """True after `mark_as_ours` in an earlier attempt."""
    return bool((resume_state or {}).get(_WRITTEN))
