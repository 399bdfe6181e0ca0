"""The root of a local source: opened anew for each use, so that a remount is seen, and never left."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from types import TracebackType

from media_watch_tasks.errors import ConfigurationError, SourceOfflineError
from media_watch_tasks.model.identity import display_text

__all__ = ["LocalRoot"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
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

    def opened(self) -> AbstractContextManager[int]:
        """A descriptor of the root; raises `SourceOfflineError` where there is no folder that can be read."""
        return _OpenRoot(self)

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


class _OpenRoot(AbstractContextManager[int]):
    """Opens the root on entry. Every look at a file begins here: a generator would cost more than the two calls."""

    __slots__ = ("_descriptor", "_root")

    def __init__(self, root: LocalRoot) -> None:
        self._root = root
        self._descriptor = -1

    def __enter__(self) -> int:
        try:
            self._descriptor = os.open(self._root.path, _FOLDER)
        except OSError as error:
            raise self._root.offline(error) from error
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
