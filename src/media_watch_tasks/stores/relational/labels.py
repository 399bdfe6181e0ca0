"""Labels: what workers divide the queue by. Tasks with a label that somebody asks for stand in lanes of their own.

A label is a kind or a tag. Nobody asks for most of them, and every lane makes a claim dearer, so a label is sorted by
from the first claim on whose share names it, and for ever: `task_selector` holds those. That claim moves the tasks that
are live already, in one pass over the tasks; all further ones walk over nothing that is not theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from media_watch_tasks.model.kinds import MediaKind, kind_of
from media_watch_tasks.model.shares import Share

__all__ = ["asked_labels", "labels_of", "takes_labels"]


def labels_of(asset_id: bytes, tags: Iterable[str]) -> frozenset[str]:
    """All labels of a task."""
    return frozenset({_of_kind(kind_of(asset_id)), *map(_of_tag, tags)})


def asked_labels(share: Share) -> frozenset[str]:
    """The labels that tell whether a task belongs to the share."""
    kinds, tags = share.kinds | share.without_kinds, share.tags | share.without_tags
    return frozenset({*map(_of_kind, kinds), *map(_of_tag, tags)})


def takes_labels(share: Share, labels: frozenset[str]) -> bool:
    """True if tasks of a lane with these labels, of all that are sorted by, belong to the share."""
    return (
        (not share.kinds or not labels.isdisjoint(map(_of_kind, share.kinds)))
        and (not share.tags or not labels.isdisjoint(map(_of_tag, share.tags)))
        and labels.isdisjoint(map(_of_kind, share.without_kinds))
        and labels.isdisjoint(map(_of_tag, share.without_tags))
    )


def _of_kind(kind: MediaKind) -> str:
    return f"kind:{kind}"


def _of_tag(tag: str) -> str:
    return f"tag:{tag}"
