"""Where the symbolic links of a folder lead, for scans that follow them: below the root or nowhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

import attrs

from media_watch_tasks.local.confined import NOT_THERE, READ, open_below
from media_watch_tasks.local.listing import Look
from media_watch_tasks.model import identity

__all__ = ["LinkTargets", "link_targets"]


@attrs.frozen
class LinkTargets:
    """Links by what they lead to. Links that are dangling, or lead in a circle or out of the root, are left out."""

    files: dict[bytes, os.stat_result]
    directories: list[bytes]
    failures: list[OSError]
    """Links whose target cannot be looked at; `filename` holds each name as bytes."""

    def look(self) -> Look:
        """Like `os.stat` for the entries of the folder, with what stands behind a link in its place."""
        files = self.files

        def look(name: bytes, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
            return files.get(name) or os.stat(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

        return look


def link_targets(root: int, root_path: bytes, directory: bytes, names: Iterable[bytes]) -> LinkTargets:
    """Look at the targets of the links in a folder, given the open root and its absolute path."""
    targets = LinkTargets({}, [], [])
    for name in names:
        try:
            descriptor = open_below(root, identity.join(directory, name), READ, root_path=root_path)
        except OSError as error:
            if error.errno not in NOT_THERE:
                error.filename = name
                targets.failures.append(error)
            continue
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if stat.S_ISREG(found.st_mode):
            targets.files[name] = found
        elif stat.S_ISDIR(found.st_mode):
            targets.directories.append(name)
    return targets
