"""Stores: where the state of sources and the queue of tasks are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if not TYPE_CHECKING:
    from media_watch_tasks._lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__, {})
