"""Texts as PostgreSQL takes them: it keeps neither NUL nor lone surrogates, which file names bring."""

from __future__ import annotations

import json
from typing import overload

__all__ = ["from_sql", "to_sql"]

_ESCAPED = "\x1a"
"""SUBSTITUTE begins a text that is kept as a JSON string (ASCII)."""


@overload
def to_sql(text: str) -> str: ...
@overload
def to_sql(text: None) -> None: ...
def to_sql(text: str | None) -> str | None:
    """The text itself, or an escaped form where PostgreSQL cannot keep it."""
    if text is None:
        return None
    if "\0" in text or text.startswith(_ESCAPED):
        return _ESCAPED + json.dumps(text)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return _ESCAPED + json.dumps(text)
    return text


@overload
def from_sql(value: str) -> str: ...
@overload
def from_sql(value: None) -> None: ...
def from_sql(value: str | None) -> str | None:
    """The text that `to_sql` was given."""
    if value is None or not value.startswith(_ESCAPED):
        return value
    text: str = json.loads(value[1:])
    return text
