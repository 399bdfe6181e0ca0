"""What the database knows of a source, and what a page of a scan changes in it."""

from __future__ import annotations

from enum import StrEnum

import attrs

from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.scans import DirectoryStamp
from media_watch_tasks.model.values import Value

__all__ = [
    "AssetState",
    "BaselineState",
    "DirectoryTotals",
    "KnownListing",
    "PageDiff",
    "PageRecord",
    "ScanLease",
    "SourceState",
]


class BaselineState(StrEnum):
    """How far the baseline of a source is."""

    NONE = "none"
    STARTED = "started"
    COMPLETE = "complete"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SourceState(Value):
    """The record of one source."""

    source_id: str
    baseline: BaselineState = BaselineState.NONE
    destinations: frozenset[str] = frozenset()
    """The destinations that this source was last run with."""
    identity: RootIdentity | None = None
    """The root as it was last accepted."""
    filter_spec: str | None = None
    """The scanner's filter of the last complete scan."""
    owed: frozenset[bytes] = frozenset()
    """Directories whose first complete listing is still their baseline."""
    checkpoint: str | None = None
    """Where an unfinished scan stands; None when the last one ended."""
    scans: int = 0
    """Complete scans so far."""
    last_complete_ns: int | None = None
    """Wall time at which the last complete scan ended."""
    last_full_ns: int | None = None
    """Wall time at which the last scan that left no directory unlisted ended complete."""
    scans_since_full: int = 0
    """Complete scans since then that left proven directories unlisted."""
    stamps_lie: bool = False
    """A trusted directory was found with other entries under the same stamp: every directory is listed from then on."""
    quarantine: str | None = None
    """Why absences are held back, None if they are not."""
    quarantine_scan: int | None = None
    """Number of the scan whose absences are held."""


@attrs.frozen(eq=False, repr=False)
class ScanLease(Value):
    """The right to scan a source, for one scanner at a time. Writes with a stale token are refused."""

    source_id: str
    token: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class KnownListing(Value):
    """A complete listing of a directory, for the rescan that leaves proven directories unlisted."""

    stamp: DirectoryStamp
    directories: tuple[bytes, ...]
    """Names of its sub-directories."""
    since_ns: int
    """Our clock at the first complete listing that showed this stamp."""
    trusted: bool
    """It was listed again with this stamp, at least 5 s later, and was quiet."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PageDiff(Value):
    """A page against the database."""

    new: tuple[MediaAsset, ...] = ()
    """Not known, or known as missing."""
    changed: tuple[MediaAsset, ...] = ()
    """Known with another size or mtime."""
    missing: tuple[bytes, ...] = ()
    """Asset ids known as present in the part of the directory that the page covers, and not on it."""
    unchanged: int = 0
    listed_before: bool = True
    """False if the directory has never been listed completely."""
    listing: KnownListing | None = None
    """How the directory's last complete listing was recorded."""
    found_again: tuple[MediaAsset, ...] = ()
    """Of the unchanged ones those that a scan had marked absent: the record of the page names them as seen."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PageRecord(Value):
    """What to write for a page, after its tasks were enqueued."""

    directory: bytes
    seen: tuple[MediaAsset, ...] = ()
    """New and changed assets."""
    complete: bool = False
    """The directory was listed to its end."""
    checkpoint: str | None = None
    """Where the scan stands now; None leaves the stored one."""
    listing: KnownListing | None = None
    """What to keep of a complete listing; None leaves what is stored."""
    scan_number: int = 0
    """Of the scan that writes; absences are marked with it, unless an earlier scan has marked them."""
    absent: tuple[bytes, ...] = ()
    """Asset ids that were known as present and are not on the page: candidates, nothing more."""
    absent_directories: tuple[bytes, ...] = ()
    """Known directories that are gone: all present assets at and below them are candidates."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AssetState(Value):
    """What the database knows of an asset."""

    source_id: str
    asset_id: bytes
    fingerprint: Fingerprint
    file_id: int | None = None
    unchanged_since_ns: int = 0
    """Our clock at the first look that showed this fingerprint."""
    first_seen_ns: int = 0
    missing_since_ns: int | None = None
    baseline: bool = False
    """It was there at the baseline: recorded, never enqueued."""
    metadata: MediaMetadata | None = None
    """Of the version `metadata_fingerprint`."""
    metadata_fingerprint: Fingerprint | None = None

    @property
    def current_metadata(self) -> MediaMetadata | None:
        """The metadata if it describes the version that stands there now."""
        return self.metadata if self.metadata_fingerprint == self.fingerprint else None

    @property
    def asset(self) -> MediaAsset:
        """The asset as it was last seen."""
        return MediaAsset(self.source_id, self.asset_id, self.fingerprint.size, self.fingerprint.mtime_ns, self.file_id)


@attrs.frozen(eq=False, repr=False)
class DirectoryTotals(Value):
    """What is known of the assets that stand in one directory (not below it)."""

    directory: bytes
    present: int
    missing: int
    size: int
    """Bytes of the present ones."""
