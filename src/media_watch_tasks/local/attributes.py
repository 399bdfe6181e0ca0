"""The three numbers of a file as the whole library keeps them, from a stat result."""

from __future__ import annotations

import os
from typing import NamedTuple

from media_watch_tasks.model.identity import within_int64
from media_watch_tasks.model.scans import DirectoryStamp

__all__ = ["FolderStat", "directory_stamp", "signed_file_id"]

_INT64 = 2**63


class FolderStat(NamedTuple):
    """What a scan needs of the stat of a folder, under the names that it has there."""

    st_dev: int
    st_ino: int
    st_mtime_ns: int
    st_ctime_ns: int


def signed_file_id(inode: int) -> int:
    """The inode number as a signed 64-bit integer, which is what databases hold; still different for each inode."""
    return inode if inode < _INT64 else inode - 2 * _INT64


def directory_stamp(found: os.stat_result | FolderStat, *, with_file_id: bool) -> DirectoryStamp:
    """The stamp of a directory."""
    return DirectoryStamp(
        within_int64(found.st_mtime_ns),
        within_int64(found.st_ctime_ns),
        signed_file_id(found.st_ino) if with_file_id else None,
    )
