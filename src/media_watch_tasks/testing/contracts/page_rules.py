"""What holds for the pages of every scan, whatever the place holds and whatever went wrong."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import TypeVar

from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import ScanPage, ScanProblem

__all__ = ["check_pages", "directories_of", "only", "paths_of", "problems_of"]

_Item = TypeVar("_Item")

_LARGEST_PAGE = 1_000


def check_pages(pages: Sequence[ScanPage]) -> None:
    """Assert the shape of pages: their order, their size, their ends."""
    visited = []
    for directory, group in groupby(pages, key=lambda page: page.directory):
        visited.append(directory)
        _check_directory(list(group))
    keys = [identity.order_key(directory) for directory in visited]
    assert all(first < second for first, second in pairwise(keys)), f"directories out of order, or twice: {visited}"
    for page in pages:
        below = {identity.join(page.directory, name) for name in page.directories or ()}
        assert below <= set(visited), f"named and not visited: {below - set(visited)}"


def _check_directory(pages: Sequence[ScanPage]) -> None:
    *parts, end = pages
    directory = end.directory
    assert end.checkpoint is not None, f"the last page of {directory!r} has no checkpoint"
    assert end.complete or end.problems, f"{directory!r} is not complete and does not say why"
    for part in parts:
        assert not part.complete, f"{directory!r} goes on behind a page that is marked complete"
        assert part.checkpoint is None, f"a checkpoint stands in the middle of {directory!r}"
        assert part.stamp is None
        assert part.directories is None
        assert part.rows, f"an empty page in the middle of {directory!r}"
    for page in pages:
        assert len(page.rows) <= _LARGEST_PAGE
        assert len(page.file_ids) in {0, len(page.rows)}
        assert not page.unchanged or (not page.rows and len(pages) == 1)
    names = [name for page in pages for name, _, _ in page.rows]
    assert all(first < second for first, second in pairwise(names)), f"rows of {directory!r} out of order, or twice"
    assert not any(b"/" in name or not name for name in names)
    folders = end.directories or ()
    assert list(folders) == sorted(set(folders))
    if not end.complete:
        # What was not seen to its end proves nothing about what is missing, and must be listed again.
        assert end.directories is None
        assert end.stamp is None


def paths_of(pages: Iterable[ScanPage]) -> list[bytes]:
    """The asset ids, in the order of the pages."""
    return [asset.asset_id for page in pages for asset in page.assets]


def directories_of(pages: Iterable[ScanPage]) -> list[bytes]:
    """The directories, in the order of the pages, each once."""
    return list(dict.fromkeys(page.directory for page in pages))


def problems_of(pages: Iterable[ScanPage]) -> list[ScanProblem]:
    """All problems."""
    return [problem for page in pages for problem in page.problems]


def only(items: Iterable[_Item]) -> _Item:
    """The one item that has to be there."""
    found = list(items)
    assert len(found) == 1, f"one is expected, not {len(found)}: {found}"
    return found[0]
