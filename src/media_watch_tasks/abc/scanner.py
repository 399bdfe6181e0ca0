"""MediaScanner: lists what is at a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import MediaAsset, RootIdentity
from media_watch_tasks.model.scans import KnownDirectories, ScanPage

__all__ = ["Filters", "LocalSource", "MediaScanner"]


class MediaScanner(ABC):
    """Lists a source, page by page. It never decides what is new: the manager compares with the database.

    One scan runs at a time; `identify` may be called from another thread while it runs. A scanner keeps no state
    between scans that a restart would lose.
    """

    @property
    @abstractmethod
    def source_id(self) -> str:
        """A stable name of the place, the same in every process, without secrets (`local:/mnt/archive`)."""

    @abstractmethod
    def identify(self, *, cancel: CancelToken) -> RootIdentity:
        """Look at the root and say what it is.

        Raises:
            SourceOfflineError: the root cannot be reached or is no folder.
            AuthenticationRequiredError: the place refuses the credentials.
        """

    @abstractmethod
    def scan_assets(
        self,
        *,
        known: KnownDirectories | None = None,
        since: datetime | None = None,
        resume_from: str | None = None,
        cancel: CancelToken,
    ) -> Iterator[ScanPage]:
        """Yield every directory as one or more pages of at most 1,000 entries, the last one marked complete.

        Guarantees: directories come in the order of their path components as bytes (a folder, then all below it, then
        its next sibling), names within a directory sorted as bytes. Everything that is present for the whole scan
        appears at least once. A directory that cannot be read gives a page with a problem and `complete=False`, and
        the scan goes on. A directory that was deleted after its parent had been listed gives one page that is empty
        and complete. Only a root that is lost ends the scan, by an exception. The listing stays lazy: memory does not
        grow with the number of directories.

        Args:
            known: directories that may be left unlisted where their present stamp equals the given one; such a
                directory gives one page with `unchanged=True`, and its sub-directories are still visited.
            since: only for places with a change feed of their own; others ignore it.
            resume_from: the `checkpoint` of a page of an earlier scan: begin behind that directory, in the same
                order. A checkpoint whose directory is gone skips nothing that comes after it.
            cancel: looked at between entries; a cancelled scan raises `OperationCancelled`.

        Raises:
            SourceOfflineError: the root was lost.
            AuthenticationRequiredError: the place refuses the credentials.
            OperationCancelled: `cancel` was cancelled.
            ConfigurationError: `resume_from` is not a checkpoint of this scanner.
        """


class Filters(ABC):
    """Capability of a scanner that leaves files out: lets the manager see that a filter was widened."""

    @property
    @abstractmethod
    def filter_spec(self) -> str:
        """The filter as text; equal texts mean equal filters."""

    @abstractmethod
    def was_visible(self, spec: str, asset: MediaAsset) -> bool:
        """True if the filter of that earlier spec would have let this asset through."""

    @abstractmethod
    def leaves_out(self, directory: bytes) -> bool:
        """True if scans do not look into this folder, given by its path below the root: nothing in it is ever found."""


class LocalSource(ABC):
    """Capability of a scanner whose source is a folder of this machine: no destination may lie in its sight."""

    @property
    @abstractmethod
    def folder(self) -> bytes:
        """The absolute path of the root."""
