"""Share: which tasks a worker takes, where several divide the work between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.values import Value

__all__ = ["Share"]


def _several(given: object, what: str) -> Iterable[Any]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{what} of a share are given as a set, not as {given!r}: write {{{given!r}}}")
    return given


def _kinds(given: object) -> frozenset[MediaKind]:
    try:
        return frozenset(MediaKind(kind) for kind in _several(given, "the kinds"))
    except ValueError as error:
        raise ConfigurationError(f"{error}: the kinds are {', '.join(MediaKind)}") from error


def _tags(given: object) -> frozenset[str]:
    return frozenset(_several(given, "the tags"))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Share(Value):
    """Which tasks a worker takes. Every given field narrows it; what no worker's share covers stays in the queue.

    Raises `ConfigurationError` where it leaves out all that it asks for, or a kind is none.
    """

    kinds: frozenset[MediaKind] = attrs.field(default=frozenset(), converter=_kinds)
    """Only files of one of these kinds; empty: of all."""
    tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    """Only tasks that have one of these tags; empty: all."""
    without_kinds: frozenset[MediaKind] = attrs.field(default=frozenset(), converter=_kinds)
    """No files of these kinds: another worker takes them."""
    without_tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    """No tasks that have one of these tags."""

    def __attrs_post_init__(self) -> None:
        for what, wanted, left_out in (
            ("kinds", self.kinds, self.without_kinds), ("tags", self.tags, self.without_tags),
        ):  # fmt: skip
            if wanted and wanted <= left_out:
                raise ConfigurationError(f"a share of the {what} {sorted(wanted)} without {sorted(left_out)} is empty")

    def takes(self, asset_id: bytes, tags: Collection[str]) -> bool:
        """True for a task of this asset with these tags."""
        kind = kind_of(asset_id)
        return (
            (not self.kinds or kind in self.kinds)
            and kind not in self.without_kinds
            and (not self.tags or not self.tags.isdisjoint(tags))
            and self.without_tags.isdisjoint(tags)
        )
