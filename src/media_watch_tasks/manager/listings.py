"""Which directories a scan may leave unlisted, and what has to hold before it may."""

from __future__ import annotations

import logging

from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.scans import KnownDirectory, ScanPage
from media_watch_tasks.model.sources import KnownListing, PageDiff, SourceState

__all__ = ["Listings"]

_log = logging.getLogger(__name__)
_TRUST_AFTER_NS = 5 * NANOSECONDS
"""File systems stamp with a granularity of up to 2 s (FAT): an equal stamp proves something only after that."""
_MOST_LIVE_TASKS = 200_000
"""With a larger backlog every directory is listed: the set of those to be watched would be as large as the source."""


class Listings:
    """The known listings of a source during one scan: a `KnownDirectories`, and the judge of new ones.

    A change inside a file does not touch its directory's stamp: that is what the full listing is for, and why a
    directory in which something is still to happen is always listed.
    """

    def __init__(self, core: ManagerCore, state: SourceState, *, filter_changed: bool) -> None:
        self._core = core
        self._source_id = core.source_id
        options = core.options
        now = core.clock.now_ns()
        self.full = (
            filter_changed
            or not options.rescan_unlisted
            or state.stamps_lie
            or state.last_full_ns is None
            or state.scans_since_full + 1 >= options.full_scan_every
            or not 0 <= now - state.last_full_ns < to_ns(options.full_scan_after)
        )
        self._restless: frozenset[bytes] = frozenset()
        if not self.full or options.rescan_unlisted:
            restless = core.tasks.live_directories(self._source_id, limit=_MOST_LIVE_TASKS)
            self.full = self.full or restless is None
            self._restless = restless or frozenset()
        self.lies = False
        """A trusted directory had other entries under the same stamp."""

    def get(self, directory: bytes, /) -> KnownDirectory | None:
        """See `KnownDirectories`."""
        if directory in self._restless:
            return None
        listing = self._core.media_state.known_listing(self._source_id, directory)
        if listing is None or not listing.trusted:
            return None
        return KnownDirectory(listing.stamp, listing.directories)

    def after(self, page: ScanPage, diff: PageDiff) -> KnownListing | None:
        """What to keep of a directory that was just listed to its end; None: what is kept says it already."""
        stamp, names = page.stamp, page.directories
        if page.unchanged or not page.complete or stamp is None or names is None:
            return None
        known, now = diff.listing, self._core.clock.now_ns()
        quiet = not (diff.new or diff.changed or diff.missing) and page.directory not in self._restless
        if known is None or known.stamp != stamp:
            return KnownListing(stamp=stamp, directories=names, since_ns=now, trusted=False)
        other_entries = bool(diff.new or diff.missing) or known.directories != names
        if known.trusted and other_entries:
            self.lies = True
            _log.warning(
                "directory changed under the same stamp, every directory is listed from now on",
                extra={"source_id": self._source_id, "directory": display_text(page.directory)},
            )
        trusted = quiet and not other_entries and (known.trusted or now - known.since_ns >= _TRUST_AFTER_NS)
        if trusted == known.trusted and known.directories == names:
            return None
        return KnownListing(stamp=stamp, directories=names, since_ns=known.since_ns, trusted=trusted)

    def gone_below(self, page: ScanPage, diff: PageDiff) -> tuple[bytes, ...]:
        """Names of sub-directories of the last complete listing that this one does not hold any more."""
        if not page.complete or page.directories is None or diff.listing is None:
            return ()
        present = set(page.directories)
        return tuple(name for name in diff.listing.directories if name not in present)
