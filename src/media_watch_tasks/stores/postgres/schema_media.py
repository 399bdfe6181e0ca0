"""The tables of the media state store, as version 1 of the schema has them."""

from __future__ import annotations

__all__ = ["MEDIA_SCHEMA"]

MEDIA_SCHEMA: tuple[str, ...] = ()
"""Statements that create the tables and indices, in order."""
