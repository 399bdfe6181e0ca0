"""The tables of the task store, as version 1 of the schema has them."""

from __future__ import annotations

__all__ = ["TASK_SCHEMA"]

TASK_SCHEMA: tuple[str, ...] = ()
"""Statements that create the tables and indices, in order."""
