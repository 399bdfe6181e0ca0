"""The root of a local source: opened anew for each use, so that a remount is seen, and never left."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from media_watch_tasks.errors import ConfigurationError, SourceOfflineError
from media_watch_tasks.model.identity import display_text

__all__ = ["LocalRoot"]

_HINTS = {
    errno.ENOENT: "it does not exist; is the disk mounted?",
    errno.ENOTDIR: "it is no folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTCONN: "the program that serves this mount has ended; mount it again",
    errno.ESTALE: "the server has forgotten this mount; mount it again",
}


class LocalRoot:
    """A folder by its absolute path. Thread-safe: it holds nothing open."""

    def __init__(self, root: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        path = os.fsencode(root)
        if not path or b"\0" in path:
            raise ConfigurationError(f"{root!r} is no path of a folder")
        self.path = os.path.abspath(path)
        self.display = display_text(self.path)

    @property
    def source_id(self) -> str:
        """The default name of the source."""
        return f"local:{self.display}"

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the root; raises `SourceOfflineError` where there is no folder that can be read."""
        descriptor = self._open()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def require(self, descriptor: int | None = None) -> None:
        """Raise `SourceOfflineError` if the root cannot be listed, or is not the open folder any more."""
        with self.opened() as present:
            try:
                with os.scandir(present) as entries:
                    next(entries, None)
            except OSError as error:
                raise self.offline(error) from error
            if descriptor is not None and not os.path.samestat(self.look(descriptor), self.look(present)):
                raise SourceOfflineError(f"another folder stands at {self.display} than when the scan began")

    def look(self, descriptor: int) -> os.stat_result:
        """The stat of the open root; raises `SourceOfflineError` where it cannot be had."""
        try:
            return os.fstat(descriptor)
        except OSError as error:
            raise self.offline(error) from error

    def offline(self, error: OSError) -> SourceOfflineError:
        """What an error of the root itself means."""
        hint = _HINTS.get(error.errno or 0, os.strerror(error.errno or errno.EIO))
        return SourceOfflineError(f"{self.display} cannot be used as a source: {hint}")

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self.offline(error) from error
