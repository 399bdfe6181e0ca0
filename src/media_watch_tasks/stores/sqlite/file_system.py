"""Where a database file may live, and how it is created."""

from __future__ import annotations

import os
import re

from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.stores.sqlite.driver_errors import shown_path

__all__ = ["create_private", "network_file_system", "refuse_network_file_system"]

# SQLite's write-ahead log needs shared memory and locks that all users of the file see: these types give neither
# reliably (https://sqlite.org/wal.html, "all processes using a database must be on the same host computer").
_NETWORK_TYPES = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
    | {f"fuse.{name}" for name in ("davfs2", "glusterfs", "mount.davfs", "rclone", "s3fs", "smbnetfs", "sshfs")}
)
_OCTAL = re.compile(rb"\\([0-7]{3})")
_MOUNTINFO = "/proc/self/mountinfo"


def network_file_system(path: str, *, mountinfo: str = _MOUNTINFO) -> str | None:
    """The type of the network file system that holds the path, None if it is local or the platform does not say.

    `path` is absolute and free of symbolic links. The format of mountinfo is described in proc_pid_mountinfo(5).
    """
    try:
        with open(mountinfo, "rb") as table:
            lines = table.read().splitlines()
    except OSError:
        return None
    place, found = os.fsencode(path), (b"", "")
    for line in lines:
        fields, _, described = line.partition(b" - ")
        columns = fields.split(b" ")
        if len(columns) < 5 or not described:  # noqa: PLR2004 - the mount point is the fifth column
            continue
        point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), columns[4])
        inside = place == point or place.startswith(point.rstrip(b"/") + b"/")
        # Of two mounts at one point the later one covers the earlier one.
        if inside and len(point) >= len(found[0]):
            found = (point, described.split(b" ", 1)[0].decode("ascii", "replace"))
    return found[1] if found[1] in _NETWORK_TYPES else None


def refuse_network_file_system(path: str) -> None:
    """Raise `ConfigurationError` if the path is on a network file system."""
    kind = network_file_system(path)
    if kind is not None:
        raise ConfigurationError(
            f"the database {shown_path(path)} would be on a network file system ({kind}), where SQLite's locks "
            "cannot be trusted: choose a path on a local disk, use PostgreSQL where several machines share the "
            "work, or pass allow_network_filesystem=True if a single machine uses it and you accept the risk"
        )


def create_private(path: str) -> bool:
    """Create an empty file that its owner alone may read and write; False if something is there already.

    SQLite gives its side files (-wal, -shm) the mode of the database. The file is never opened where it exists: closing
    it again would drop the locks that other connections of this process hold on it (POSIX record locks).

    Raises:
        StoreError: the file cannot be created.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(
            f"the database {shown_path(path)} cannot be created ({error.strerror}): check that its folder exists and "
            "that the user of this program may write there"
        ) from error
    return True
