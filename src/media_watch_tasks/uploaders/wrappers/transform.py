"""Transform: another name, or other bytes, than the source's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import attrs

from media_watch_tasks.abc.uploader import Checks, LocalDestination, UploadContext, Uploader, Verifies
from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Convert", "Rename", "Transform"]

Rename = Callable[[MediaAsset], str | bytes]
"""Gives the path, relative and with `/`, that the destination sees in the place of the asset's own."""
Convert = Callable[[ResolvedMedia, "Path", UploadContext], "Path"]
"""Writes a file into the folder and returns its path; calls `context.progress` now and then, or counts as stalled."""


class Transform(Wrapper, Verifies):
    """Hands the uploader inside a file under another name, or a file made from it, such as a smaller rendition.

    A made file lives in a temporary folder until it is delivered. Its size and hash stand in the details
    `transformed_size` and `transformed_sha256` of the receipt: the receipt's own are about the source. A made file is
    never looked for at the destination (`find_existing`), as making it again may give other bytes.

    Args:
        inner: the uploader.
        rename: gives the new path; None keeps it, but for the extension of a made file.
        convert: makes the file; None sends the source's bytes.
        folder: where temporary folders are made; None: the system's place for them.

    Raises:
        ConfigurationError: neither hook is given.
    """

    passes_on = (Checks, LocalDestination)

    def __init__(
        self,
        inner: Uploader,
        *,
        rename: Rename | None = None,
        convert: Convert | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(inner)
        if rename is None and convert is None:
            raise ConfigurationError("Transform needs rename or convert")
        self._rename = rename
        self._convert = convert
        self._folder = folder

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Make the file, where there is something to make, and upload it under its name.

        Raises:
            PermanentError: the new path is no relative path.
        """
        if self._convert is None:
            return self.inner.upload(attrs.evolve(media, asset=self._named(media.asset, None)), context)
        # Milliseconds that a program without conversions need not pay.
        import mimetypes  # noqa: PLC0415
        import tempfile  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="mwt-transform-", dir=self._folder) as folder:
            made = self._convert(media, Path(folder), context)
            found = made.stat()
            asset = attrs.evolve(self._named(media.asset, made), size=found.st_size, mtime_ns=found.st_mtime_ns)
            kind = mimetypes.guess_type(made.name)[0] or media.mime_type
            converted = ResolvedMedia(asset, kind, lambda offset, length: _opened(made, offset, length))
            receipt = self.inner.upload(converted, context)
        details = {
            **receipt.details,
            "transformed_size": str(found.st_size),
            "transformed_sha256": receipt.sha256 or "",
        }
        return attrs.evolve(receipt, size=None, sha256=None, details=details)

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        """True if the uploader inside can verify, and finds what was sent.

        Raises:
            PermanentError: it cannot verify.
        """
        if not isinstance(self.inner, Verifies):
            raise PermanentError(f"{type(self.inner).__name__} cannot verify what it has delivered")
        size = receipt.details.get("transformed_size")
        if size is None:
            renamed = None if media is None else attrs.evolve(media, asset=self._named(media.asset, None))
            return self.inner.verify(renamed, receipt)
        sha256 = receipt.details.get("transformed_sha256") or None
        return self.inner.verify(None, attrs.evolve(receipt, size=int(size), sha256=sha256))

    def _named(self, asset: MediaAsset, made: Path | None) -> MediaAsset:
        if self._rename is not None:
            path = self._rename(asset)
            name = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
        elif made is not None:
            name = os.path.splitext(asset.asset_id)[0] + os.fsencode(made.suffix)
        else:
            name = asset.asset_id
        if b"\0" in name or any(part in {b"", b".", b".."} for part in name.split(b"/")):
            raise PermanentError(f"{asset.display}: rename gave {name!r}, which is no relative path")
        return attrs.evolve(asset, asset_id=name)


def _opened(path: Path, offset: int, length: int | None) -> BinaryIO:
    stream = path.open("rb", buffering=0)
    stream.seek(offset)
    return stream if length is None else cast("BinaryIO", _Part(stream, length))


class _Part:
    """The first `length` bytes of an open stream."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
