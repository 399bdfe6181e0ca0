"""What frozen values share: comparison, hash and text, written once and not again for each class.

attrs would write these methods for every class while the package is imported: most of that time, for methods that few
classes ever need.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

import attrs

__all__ = ["Value"]


class Value:
    """The base of classes made by `attrs.frozen(eq=False, repr=False)`: they behave as if attrs had written it all.

    Two values are equal if they are of the same class and equal in all fields but those that say `eq=False`.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        compared = _fields_of(cast("Hashable", self.__class__)).compared
        return bool(compared(self) == compared(other))

    def __hash__(self) -> int:
        return hash((self.__class__, _fields_of(cast("Hashable", self.__class__)).hashed(self)))

    def __repr__(self) -> str:
        kind = self.__class__
        fields = _fields_of(cast("Hashable", kind))
        shown = ", ".join([f"{name}={text(getattr(self, name))}" for name, text in fields.shown])
        return f"{kind.__qualname__.rpartition('>.')[2]}({shown})"


class _Fields(NamedTuple):
    """Which fields of a class enter into what."""

    compared: Callable[[object], Any]
    hashed: Callable[[object], Any]
    shown: tuple[tuple[str, Callable[[Any], str]], ...]


@cache
def _fields_of(kind: Hashable) -> _Fields:
    fields = attrs.fields(cast("type", kind))
    return _Fields(
        compared=_getter([field.name for field in fields if field.eq]),
        hashed=_getter([field.name for field in fields if (field.eq if field.hash is None else field.hash)]),
        shown=tuple((field.name, field.repr if callable(field.repr) else repr) for field in fields if field.repr),
    )


def _getter(names: list[str]) -> Callable[[object], Any]:
    return attrgetter(*names) if names else _nothing


def _nothing(_value: object) -> tuple[()]:
    return ()
