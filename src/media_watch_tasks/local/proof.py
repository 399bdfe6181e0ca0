"""Where files were found last: a mount point without its disk is an empty folder, and no proof of absence."""

from __future__ import annotations

import os

from media_watch_tasks.errors import SourceOfflineError
from media_watch_tasks.local.file_systems import file_system_of, file_system_uuid
from media_watch_tasks.local.root import LocalRoot

__all__ = ["RootProof"]

_Key = tuple[int, int]
_Place = tuple[str, bytes, int]


class RootProof:
    """Remembers, while the process runs, in which place files were found behind the path of a root. Thread-safe.

    The look of the manager at the root (`MediaScanner.identify`) stays necessary: a new process knows nothing.
    """

    def __init__(self, root: LocalRoot) -> None:
        """Nothing is known yet."""
        self._root = root
        self._seen: tuple[_Key, _Place] | None = None

    def found(self, descriptor: int) -> None:
        """A file was found below this open root."""
        key = _key(descriptor)
        if self._seen is None or self._seen[0] != key:
            self._seen = (key, _place(descriptor))

    def require(self, descriptor: int) -> None:
        """Raise `SourceOfflineError` if files were found before, and in another place than this open root."""
        seen = self._seen
        if seen is not None and seen[0] != _key(descriptor) and seen[1] != _place(descriptor):
            raise SourceOfflineError(
                f"another folder stands at {self._root.display} than the one that files were found in before:"
                " is the disk mounted?"
            )


def _key(descriptor: int) -> _Key:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _place(descriptor: int) -> _Place:
    """What stays equal when the same place is mounted again, which gives it another device number."""
    file_system = file_system_of(descriptor)
    uuid = file_system_uuid(descriptor)
    inode = os.fstat(descriptor).st_ino
    return (uuid, b"", inode) if uuid else (file_system.kind, file_system.device, inode)
