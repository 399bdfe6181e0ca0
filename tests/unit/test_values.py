"""Values share one comparison, hash and text, and behave as if attrs had written them for each class."""

from __future__ import annotations

import attrs
import pytest

from media_watch_tasks.model.values import Value


@attrs.frozen
class ByAttrs:
    """All methods written by attrs."""

    name: str
    secret: str = attrs.field(default="", repr=False)
    note: str = attrs.field(default="", eq=False)
    many: tuple[int, ...] = attrs.field(default=(), hash=False, repr=lambda many: f"<{len(many)}>")


@attrs.frozen(eq=False, repr=False)
class Shared(Value):
    """The same fields over the shared methods."""

    name: str
    secret: str = attrs.field(default="", repr=False)
    note: str = attrs.field(default="", eq=False)
    many: tuple[int, ...] = attrs.field(default=(), hash=False, repr=lambda many: f"<{len(many)}>")


@attrs.frozen(eq=False, repr=False)
class Other(Value):
    """Another class with a field of the same name."""

    name: str


class Heir(Shared):
    """No field of its own."""

    __slots__ = ()


@attrs.frozen(eq=False, repr=False)
class Empty(Value):
    """Nothing at all."""


CASES = [
    {"name": "a"},
    {"name": "b"},
    {"name": "a", "secret": "s"},
    {"name": "a", "note": "n"},
    {"name": "a", "many": (1, 2)},
]


@pytest.mark.parametrize("first", CASES)
@pytest.mark.parametrize("second", CASES)
def test_values_are_equal_where_attrs_says_so(first: dict[str, object], second: dict[str, object]) -> None:
    """The fields that count are the same ones."""
    shared = Shared(**first), Shared(**second)  # type: ignore[arg-type]  # one table for all fields
    written = ByAttrs(**first), ByAttrs(**second)  # type: ignore[arg-type]  # as above
    assert (shared[0] == shared[1]) is (written[0] == written[1])
    assert (hash(shared[0]) == hash(shared[1])) is (hash(written[0]) == hash(written[1]))


@pytest.mark.parametrize("case", CASES)
def test_values_show_what_attrs_would_show(case: dict[str, object]) -> None:
    """No field more, so no secret; a field's own way of showing it is kept."""
    shared, written = Shared(**case), ByAttrs(**case)  # type: ignore[arg-type]  # as above
    assert repr(shared) == repr(written).replace("ByAttrs", "Shared")


def test_values_of_different_classes_differ() -> None:
    """Equal fields are not enough, and a subclass is another class."""
    assert Shared("a") != Other("a")
    assert Shared("a") != Heir("a")
    assert Heir("a") == Heir("a")
    assert repr(Heir("a", many=(1,))) == "Heir(name='a', note='', many=<1>)"


def test_values_without_fields_are_equal() -> None:
    """There is nothing in which they could differ."""
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert repr(Empty()) == "Empty()"


def test_values_cannot_be_changed() -> None:
    """They are frozen and have no room for anything else, subclasses without fields included."""
    for value in (Shared("a"), Heir("a")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            value.name = "b"  # type: ignore[misc]  # what is tried
        assert not hasattr(value, "__dict__")
