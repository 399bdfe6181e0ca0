"""DirectoryUploader: delivers into a folder of this machine, or one that is mounted on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import get_args

from media_watch_tasks.abc.uploader import Checks, FindsExisting, LocalDestination, UploadContext, Uploader, Verifies
from media_watch_tasks.errors import (
    AlreadyExists,
    ConfigurationError,
    MediaWatchError,
    PermanentError,
    TransientError,
)
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.directory.copying import hash_of_file
from media_watch_tasks.uploaders.directory.decision import Decision, OnNewer
from media_watch_tasks.uploaders.directory.existing import Stranger, look_at
from media_watch_tasks.uploaders.directory.failures import REFUSALS, classified, unusable_root
from media_watch_tasks.uploaders.directory.receipts import path_of
from media_watch_tasks.uploaders.directory.root import DestinationRoot
from media_watch_tasks.uploaders.directory.template import PathTemplate, components_of
from media_watch_tasks.uploaders.directory.temporary import TemporaryFiles
from media_watch_tasks.uploaders.directory.writing import FileWriter, VerifyBy

__all__ = ["DirectoryUploader"]


class DirectoryUploader(Uploader, FindsExisting, Verifies, Checks, LocalDestination):
    """Copies files into a folder, each one complete under its name or not there at all.

    A copy is written to a hidden temporary file beside its target, synced, read again and compared, and only then given
    its name; then the folder is synced, and the receipt returned. The modification time is kept. A file that stands at
    the target is replaced only on proof that it is an earlier version of the same asset.

    With `enable_hash_dedup` of the manager an asset may count on a file that was delivered for another one, and the
    uploader never hears of it: choose `on_newer="version"`, or a template with `{key}`, so that nothing is replaced.

    Args:
        target: the folder.
        template: where in the folder a file goes; see `PathTemplate`.
        on_newer: an earlier version of the same asset is replaced, or kept: then the newer one becomes `name.2.ext`,
            `name.3.ext` … An earlier version that another asset counts on too is always kept.
        verify: `hash`: the copy is read again, from the device as far as the system allows, and its SHA-256 compared;
            such receipts say `verified`. `size`: only its size is compared. `none`: nothing is.
        fsync: False leaves it to the system when bytes reach the disk: a power cut can then lose delivered files.
        create: make the folder if it is missing, now and in `check()`; never while uploading, as a folder that is gone
            means a mount that is gone. By default it is made now, where the nearest folder above it holds something:
            an empty one looks like a mount point with nothing mounted on it.
        require_marker: the path, below the target, of a file that has to be there: the only way to tell an unmounted
            NAS from an empty one when the program starts. Create it by hand.
        destination_id: by default `DirectoryUploader:` and the absolute path. Give one where two uploaders with
            different templates write to the same folder.

    Raises:
        ConfigurationError: a setting that makes no sense, or a target that cannot be created.
    """

    def __init__(
        self,
        target: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        template: str = "{path}",
        on_newer: OnNewer = "replace",
        verify: VerifyBy = "hash",
        fsync: bool = True,
        create: bool | None = None,
        require_marker: str | bytes | None = None,
        destination_id: str | None = None,
    ) -> None:
        for name, value, choices in (
            ("on_newer", on_newer, get_args(OnNewer)),
            ("verify", verify, get_args(VerifyBy)),
        ):
            if value not in choices:
                raise ConfigurationError(f"{name} must be one of {choices}, not {value!r}")
        path = os.fsencode(target)
        if not path or b"\0" in path:
            raise ConfigurationError(f"the target must be the path of a folder, not {target!r}")
        marker = None if require_marker is None else os.fsencode(require_marker)
        if marker is not None and components_of(marker) is None:
            raise ConfigurationError(f"require_marker must be a path below the target, not {require_marker!r}")
        self._temporaries = TemporaryFiles()
        self._root = DestinationRoot(os.path.abspath(path), marker=marker, sync=fsync)
        self._template = PathTemplate(template)
        self._on_newer: OnNewer = on_newer
        self._writer = FileWriter(self._temporaries, verify, fsync)
        self._create = create
        self._destination_id = destination_id
        if create or (create is None and self._root.is_new_place()):
            self._root.create()

    @property
    def target(self) -> str:
        """The absolute path of the folder, for people."""
        return self._root.display

    @property
    def destination_id(self) -> str:
        """As given, else the class name and the absolute path."""
        return super().destination_id if self._destination_id is None else self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Copy the file to where the template says.

        Raises:
            AlreadyExists: another file stands there; with a receipt if it has the same bytes.
            PermanentError: its path leads out of the destination, or the file system cannot hold its name or size.
            DestinationFull: there is no room.
            DestinationOfflineError, AuthenticationRequiredError: the whole destination cannot be written to.
            TransientError: an I/O error, a folder that may not be written to, a copy that compares unequal.
            AssetChanged: the file is not what the asset says.
        """
        path = self._template.render(media.asset, context.key)
        decision = Decision(media, context, path, on_newer=self._on_newer)
        with (
            self._errors(media.asset),
            self._root.opened() as root_fd,
            self._root.folder(root_fd, path[:-1], create=True) as folder_fd,
        ):
            return self._writer.deliver(decision, media, context, folder_fd=folder_fd, folder=b"/".join(path[:-1]))

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if a file at the target has this size and hashes equal; None otherwise."""
        path = self._template.render(media.asset, context.key)
        decision = Decision(media, context, path, on_newer=self._on_newer)
        with self._errors(media.asset), self._root.opened() as root_fd:
            try:
                with self._root.folder(root_fd, path[:-1], create=False) as folder_fd:
                    folder = b"/".join(path[:-1])
                    self._temporaries.sweep(folder_fd, folder, key=context.key, now_ns=0, again=True)
                    found = decision.find(folder_fd)
                    if found is None:
                        return None
                    return self._writer.there_already(decision, found, folder_fd)
            except AlreadyExists as there:
                return there.receipt
            except FileNotFoundError:
                return None

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:  # noqa: ARG002 - the receipt's hash says what must stand there
        """True if the file that the receipt names is there with its size and SHA-256."""
        path = path_of(receipt)
        if path is None or receipt.sha256 is None:
            return False
        with self._root.opened() as root_fd:
            try:
                with (
                    self._root.folder(root_fd, path[:-1], create=False) as folder_fd,
                    look_at(folder_fd, path[-1]) as standing,
                ):
                    if standing is None:
                        return False
                    found = hash_of_file(standing.fd, progress=lambda _done: None, from_device=True)
                    return found == (receipt.sha256, standing.stat.st_size) and receipt.size in {None, found[1]}
            except (FileNotFoundError, AlreadyExists, PermanentError, Stranger):
                return False
            except OSError as error:
                raise classified(error, doing="cannot read", path=b"/".join(path)) from error

    def check(self) -> None:
        """See that the folder is there, is the right one, and takes a file. Leaves nothing behind."""
        if self._create:
            self._root.create()
        with self._root.opened() as root_fd:
            error = self._try_to_write(root_fd)
        if error is not None:
            raise unusable_root(self.target, error) from error

    def refuse_watched(self, root: str | bytes, *, excluded: Callable[[bytes], bool] | None = None) -> None:
        """See the interface; links in either path are followed first."""
        watched = os.path.realpath(os.fsencode(root)).rstrip(b"/")
        target = os.path.realpath(self._root.path).rstrip(b"/")
        if target != watched and not target.startswith(watched + b"/"):
            return
        below = target[len(watched) + 1 :]
        parts = below.split(b"/")
        ways = [b"/".join(parts[: length + 1]) for length in range(len(parts))] if below else []
        if excluded is not None and any(excluded(way) for way in ways):
            return
        raise ConfigurationError(
            f"the destination {self.target} lies inside of the watched folder {display_text(watched)}: what is"
            " delivered would be found as new and delivered again; choose another folder, or exclude it from the scan"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target} {self._template.text!r}>"

    @contextlib.contextmanager
    def _errors(self, asset: MediaAsset) -> Iterator[None]:
        """Turn an error of the destination's file system into what is to be done about it."""
        try:
            yield
        except OSError as error:
            raise self._library_error(error, asset) from error

    def _library_error(self, error: OSError, asset: MediaAsset) -> MediaWatchError:
        found = classified(error, doing="cannot deliver", path=asset.asset_id)
        if type(found) is not TransientError:
            return found
        # Is it this file, or is it all of them? A lost mount shows up in whatever call comes first.
        try:
            with self._root.opened() as root_fd:
                refusal = self._try_to_write(root_fd) if error.errno in REFUSALS else None
        except MediaWatchError as trouble:
            return trouble
        if refusal is not None and refusal.errno in REFUSALS:
            return unusable_root(self.target, refusal)
        return found

    def _try_to_write(self, root_fd: int) -> OSError | None:
        try:
            fd, name = self._temporaries.create(root_fd, "check")
            try:
                os.write(fd, b"check")
                if self._writer.sync:
                    os.fsync(fd)
            finally:
                os.close(fd)
                self._temporaries.discard(root_fd, name)
        except OSError as error:
            return error
        return None
