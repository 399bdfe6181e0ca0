"""A page of a scan against the rows that are known."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import compress, count
from operator import itemgetter, ne

import attrs

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import display_text, join, split
from media_watch_tasks.model.scans import AssetRow, ScanPage
from media_watch_tasks.model.sources import KnownListing, PageDiff, PageRecord

__all__ = ["beyond_64_bits", "found_again", "name_on_page", "page_difference"]


def page_difference(
    page: ScanPage, known: Sequence[AssetRow], *, listed_before: bool, listing: KnownListing | None
) -> PageDiff:
    """`known`: the present assets in the part of the directory for which the page speaks, by name."""
    assets = page.assets
    front, back = _equal_ends(known, page.rows)
    rows = page.rows[front : len(page.rows) - back]
    known_rows = {row[0]: row for row in known[front : len(known) - back]}
    unknown: list[int] = []
    changed: list[MediaAsset] = []
    for index, row in enumerate(rows, front):
        known_row = known_rows.get(row[0])
        if known_row is None:
            unknown.append(index)
        elif known_row != row:
            changed.append(assets[index])
    if unknown and front + back:
        # A listing made while the directory changes may hold a name twice, and one of the two among the equal ends.
        found = ((index, _row_named(known, page.rows[index][0])) for index in unknown)
        again = {index: same_name for index, same_name in found if same_name is not None}
        changed += [assets[index] for index, same_name in again.items() if page.rows[index] != same_name]
        unknown = [index for index in unknown if index not in again]
    names = {row[0] for row in rows}
    return PageDiff(
        new=tuple(assets[index] for index in unknown),
        changed=tuple(changed),
        missing=tuple(join(page.directory, name) for name in known_rows if name not in names),
        unchanged=len(page.rows) - len(unknown) - len(changed),
        listed_before=listed_before,
        listing=listing,
    )


def found_again(page: ScanPage, diff: PageDiff, marked: Iterable[bytes]) -> PageDiff:
    """The diff with those unchanged assets of the page whose names are marked absent."""
    names = set(marked)
    names.difference_update(each.name for each in (*diff.new, *diff.changed))
    if not names:
        return diff
    again = tuple(asset for asset, row in zip(page.assets, page.rows, strict=True) if row[0] in names)
    return attrs.evolve(diff, found_again=again)


def _equal_ends(known: Sequence[AssetRow], rows: Sequence[AssetRow]) -> tuple[int, int]:
    """How many rows are equal at the front, and at the back: only what stands between them has to be looked up."""
    shorter = min(len(known), len(rows))
    front = next(compress(count(), map(ne, known, rows)), shorter)
    back = next(compress(count(), map(ne, reversed(known), reversed(rows))), shorter)
    return front, min(back, shorter - front)


def _row_named(known: Sequence[AssetRow], name: bytes) -> AssetRow | None:
    """The known row of that name. The rows are sorted: to make a dict of all takes longer than the whole comparison."""
    place = bisect_left(known, name, key=itemgetter(0))
    return known[place] if place < len(known) and known[place][0] == name else None


def name_on_page(asset: MediaAsset, record: PageRecord) -> bytes:
    """The name of an asset in the directory of the record.

    Raises `ConfigurationError` if it does not stand there.
    """
    directory, name = split(asset.asset_id)
    if directory != record.directory:
        raise ConfigurationError(
            f"the asset {asset.display} does not stand in the directory {display_text(record.directory) or '.'} of its "
            "page: the scanner yields each directory as pages of its own"
        )
    return name


def beyond_64_bits(record: PageRecord) -> ConfigurationError:
    """The error for a size or time that no column holds."""
    return ConfigurationError(
        f"the directory {display_text(record.directory) or '.'} has a size or mtime beyond 64 bits: the scanner passes "
        "such values through media_watch_tasks.model.identity.within_int64"
    )
