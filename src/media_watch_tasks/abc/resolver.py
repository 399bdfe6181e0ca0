"""MediaResolver: makes an asset readable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.metadata import MediaMetadata

__all__ = ["MediaResolver"]


class MediaResolver(ABC):
    """Opens and looks at assets of one source. Thread-safe: every worker thread uses the same resolver."""

    @property
    @abstractmethod
    def source_id(self) -> str:
        """The `source_id` of the scanner whose assets it resolves."""

    @abstractmethod
    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """Make the asset ready to be read. It may wait for nothing and reads at most a few kilobytes.

        `known_metadata` describes exactly this version; a resolver that probes takes it instead of probing again.

        Raises:
            AssetNotFound: the file is gone although its folder can be read.
            AssetChanged: the file is not the version that the asset names.
            Snooze: it is known to be in use now.
            SourceOfflineError: the place cannot be reached.
            AuthenticationRequiredError: the place refuses the credentials.
            TransientError: it cannot be read now (an I/O error).
        """

    @abstractmethod
    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """A fresh look at each, in order; None where the file is gone although its folder can be read.

        The look goes to the place itself, never to a cache, so that the stability of a file can be judged by it.

        Raises:
            SourceOfflineError: the place cannot be reached: absence must not be concluded from that.
            AuthenticationRequiredError: the place refuses the credentials.
            TransientError: a file's folder cannot be read.
        """
