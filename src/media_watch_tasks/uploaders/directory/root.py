"""DestinationRoot: the folder that everything is written below, checked at each use, and the way to folders in it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator

from media_watch_tasks.errors import (
    AlreadyExists,
    ConfigurationError,
    DestinationOfflineError,
    MediaWatchError,
    PermanentError,
)
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.uploaders.directory.failures import naming, sync_folder, unusable_root
from media_watch_tasks.uploaders.directory.template import TargetPath, components_of

__all__ = ["DestinationRoot"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40
_MOST_SYNCED = 100_000


class DestinationRoot:
    """Opens the destination's folder afresh for every file, and finds out if it is still the same place.

    An unmounted NAS leaves an empty folder on the system disk at the same path. So the device that the folder stood on
    at its first use is kept, and another one is refused while the program runs; a marker file tells the place also
    after a restart, and then a remount under another device number is welcome. No descriptor is held between two uses,
    so that the file system can be unmounted. Thread-safe.
    """

    def __init__(self, path: bytes, *, marker: bytes | None, sync: bool) -> None:
        self.path = path
        self.display = display_text(path)
        self._marker = marker
        self._sync = sync
        self._lock = threading.Lock()
        self._device: int | None = None
        self._synced: set[tuple[bytes, int, int]] = set()

    def is_new_place(self) -> bool:
        """True if the destination is missing, and the nearest folder above it holds something."""
        if os.path.lexists(self.path):
            return False
        above = os.path.dirname(self.path)
        while not os.path.isdir(above) and above != os.path.dirname(above):
            above = os.path.dirname(above)
        try:
            with os.scandir(above) as entries:
                return next(entries, None) is not None
        except OSError:
            return False

    def create(self) -> None:
        """Create the folder and its parents. Raises `ConfigurationError` where that cannot be done."""
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the destination {self.display} cannot be created: {error.strerror}") from error

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the folder, after all checks.

        Raises:
            DestinationOfflineError: it is gone, its marker is missing, or it stands on another device than before.
            AuthenticationRequiredError: it may not be read.
            ConfigurationError: it is no folder.
        """
        try:
            fd = os.open(self.path, _FOLDER)
        except NotADirectoryError as error:
            raise ConfigurationError(f"the destination {self.display} is not a folder") from error
        except OSError as error:
            raise unusable_root(self.display, error) from error
        try:
            self._check(fd)
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def folder(self, root_fd: int, path: TargetPath, *, create: bool) -> Iterator[int]:
        """A descriptor of a folder below the root, reached without leaving it.

        Folders that are missing are created, and their entries made durable: also that of a folder which another
        thread, or a run that was killed, created without having come to that. Symbolic links are followed only where
        they lead to a folder below the root.

        Raises:
            FileNotFoundError: it is missing, and is not to be created.
            PermanentError: a symbolic link leads out of the destination, or nowhere.
            AlreadyExists: something else than a folder stands in the way.
            OSError: it cannot be opened or created.
        """
        fd, links, position, here = os.dup(root_fd), 0, 0, b""
        try:
            while position < len(path):
                name = path[position]
                try:
                    child = self._child(fd, here, name, create=create)
                except OSError as error:
                    if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                        raise
                    links += 1
                    path = (*self._link_target(fd, here, name, links=links), *path[position + 1 :])
                    os.close(fd)
                    fd, position, here = os.dup(root_fd), 0, b""
                    continue
                os.close(fd)
                fd, position, here = child, position + 1, here + b"/" + name if here else name
            yield fd
        finally:
            os.close(fd)

    def _check(self, fd: int) -> None:
        if self._marker is not None:
            try:
                os.stat(self._marker, dir_fd=fd)
            except FileNotFoundError as error:
                raise DestinationOfflineError(
                    f"the destination {self.display} has no marker {display_text(self._marker)}: is another file system"
                    " mounted there, or none? Create the file by hand if this is the right place"
                ) from error
            except OSError as error:
                raise unusable_root(self.display, error) from error
            return
        device = os.fstat(fd).st_dev
        with self._lock:
            if self._device is None:
                self._device = device
            known = self._device
        if device != known:
            raise DestinationOfflineError(
                f"the destination {self.display} is on another device ({device}) than at its first use ({known}): was"
                " something unmounted, or mounted over it? Put it back, or restart if this is the right place; with"
                " require_marker a remount is told from a missing mount"
            )

    def _child(self, fd: int, here: bytes, name: bytes, *, create: bool) -> int:
        flags = _FOLDER | os.O_NOFOLLOW
        path = here + b"/" + name if here else name
        try:
            child = os.open(name, flags, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
            with naming(path), contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=fd)
            child = os.open(name, flags, dir_fd=fd)
        try:
            if create and self._sync:
                self._sync_entry(fd, path, os.fstat(child))
        except BaseException:
            os.close(child)
            raise
        return child

    def _sync_entry(self, parent_fd: int, path: bytes, child: os.stat_result) -> None:
        entry = (path, child.st_dev, child.st_ino)
        with self._lock:
            if entry in self._synced:
                return
        sync_folder(parent_fd)
        with self._lock:
            if len(self._synced) >= _MOST_SYNCED:
                self._synced.clear()
            self._synced.add(entry)

    def _link_target(self, fd: int, here: bytes, name: bytes, *, links: int) -> TargetPath:
        """Where below the root a link leads."""
        path = here + b"/" + name if here else name
        shown = display_text(path)
        if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            raise AlreadyExists(f"{shown} at the destination is not a folder, and is in the way of one")
        if links > _MOST_LINKS:
            raise PermanentError(f"{shown} at the destination is a symbolic link that leads in a circle")
        refusal: MediaWatchError = PermanentError(
            f"{shown} at the destination is a symbolic link that leads out of it, or nowhere; nothing is written there"
        )
        try:
            root = os.path.realpath(self.path, strict=True)
            target = os.path.realpath(os.path.join(self.path, path), strict=True)
        except OSError as error:
            raise refusal from error
        below = target[len(root.rstrip(b"/")) + 1 :] if target.startswith(root.rstrip(b"/") + b"/") else b""
        components = components_of(below)
        if components is None:
            raise refusal
        return components
