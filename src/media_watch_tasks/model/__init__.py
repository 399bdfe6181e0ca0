"""Frozen values: what a source holds, what a task is, what happened. No input or output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if not TYPE_CHECKING:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__, {})
