"""Texts as the drivers take them. File names make texts with lone surrogates, which no driver binds as text."""

from __future__ import annotations

from typing import overload

__all__ = ["OddText", "from_sql", "to_sql"]


class OddText(bytes):
    """A text with lone surrogates, as UTF-8 with surrogatepass. SQLite keeps it as a BLOB."""

    __slots__ = ()


@overload
def to_sql(text: str) -> str | bytes: ...
@overload
def to_sql(text: None) -> None: ...
def to_sql(text: str | None) -> str | bytes | None:
    """The text itself, or an `OddText` where it holds lone surrogates."""
    if text is None or text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return OddText(text.encode("utf-8", "surrogatepass"))
    return text


@overload
def from_sql(value: str | bytes) -> str: ...
@overload
def from_sql(value: None) -> None: ...
def from_sql(value: str | bytes | None) -> str | None:
    """The text that `to_sql` was given."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
