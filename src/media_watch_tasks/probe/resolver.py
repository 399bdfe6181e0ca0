"""ProbingResolver: adds metadata to what another resolver makes readable."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from media_watch_tasks.abc.byte_source import ByteSource, OpensByteSources
from media_watch_tasks.abc.prober import DescribesMedia, MediaProber
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import TransientError
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.redaction import redact

__all__ = ["ProbingResolver", "StreamSource"]

_log = logging.getLogger(__name__)
_PROBED = frozenset({MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMAGE})


class StreamSource(ByteSource):
    """Random access through `ResolvedMedia.open_range`: a fresh stream for each range."""

    def __init__(self, media: ResolvedMedia) -> None:
        self._media = media

    @property
    def size(self) -> int:
        """The size of the asset."""
        return self._media.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Open a stream at `offset` and read it to its end."""
        pieces: list[bytes] = []
        with self._media.open_range(offset, length) as stream:
            while length > 0 and (piece := stream.read(length)):
                pieces.append(piece)
                length -= len(piece)
        return b"".join(pieces)


class ProbingResolver(MediaResolver, DescribesMedia):
    """Resolves through another resolver and describes the asset on the way. Thread-safe.

    An asset that comes with known metadata is not probed again, nor one of a kind that is not asked for. A probe that
    fails costs the description, never the upload: the error stands in the metadata.
    """

    def __init__(self, resolver: MediaResolver, prober: MediaProber, *, kinds: frozenset[MediaKind] = _PROBED) -> None:
        """Wrap a resolver. Neither it nor the prober is closed here.

        Args:
            resolver: makes the assets readable; where it is an `OpensByteSources`, ranges are read through that.
            prober: describes them.
            kinds: the kinds, by extension, that are described.
        """
        self._resolver = resolver
        self._prober = prober
        self._kinds = kinds

    @property
    def source_id(self) -> str:
        """That of the wrapped resolver."""
        return self._resolver.source_id

    @property
    def described_kinds(self) -> frozenset[MediaKind]:
        """The kinds that were asked for."""
        return self._kinds

    def resolve_for_upload(
        self, asset: MediaAsset, *, known_metadata: MediaMetadata | None = None, cancel: CancelToken
    ) -> ResolvedMedia:
        """Resolve, then describe. Raises as the wrapped resolver, also where the place goes away during the probe."""
        media = self._resolver.resolve_for_upload(asset, known_metadata=known_metadata, cancel=cancel)
        if known_metadata is not None:
            return attrs.evolve(media, metadata=known_metadata)
        if media.metadata is not None or asset.kind not in self._kinds:
            return media
        return attrs.evolve(media, metadata=self._describe(media, cancel))

    def stat(self, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> Sequence[AssetStat | None]:
        """That of the wrapped resolver."""
        return self._resolver.stat(assets, cancel=cancel)

    def _describe(self, media: ResolvedMedia, cancel: CancelToken) -> MediaMetadata:
        try:
            with self._open(media, cancel) as source:
                return self._prober.probe(source, name=media.name, cancel=cancel)
        except TransientError as error:
            _log.warning(
                "an asset was not described", extra={"asset": media.asset.display, "error": redact(str(error))}
            )
            return MediaMetadata(error=redact(f"it cannot be read now: {error}"), transient=True)

    def _open(self, media: ResolvedMedia, cancel: CancelToken) -> ByteSource:
        if isinstance(self._resolver, OpensByteSources):
            return self._resolver.open_byte_source(media.asset, cancel=cancel)
        return StreamSource(media)
