"""What kind of file system a descriptor stands on, and what may be trusted there. Linux; elsewhere nothing is known."""

from __future__ import annotations

import fcntl
import os
import stat
import uuid

import attrs

__all__ = ["FileSystem", "file_system_of", "file_system_uuid"]

_UNIX = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs"}
)
_NFS = frozenset({"nfs", "nfs4"})
_KEEP_FILE_IDS = _UNIX | _NFS
# The inode numbers of an overlay change where its layers stand on several file systems.
_KEEP_DIRECTORY_TIMES = _UNIX | _NFS | {"overlay"}
_REMOTE = _NFS | {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "smb3", "smbfs", "virtiofs"}

_BY_UUID = b"/dev/disk/by-uuid"
# FS_IOC_GETFSUUID of linux/fs.h (Linux 6.9 and later): a length byte and up to 16 bytes.
_GETFSUUID = 0x80111500
_UUID_BYTES = 16


@attrs.frozen
class FileSystem:
    """A mounted file system. Whatever is not known to hold is False."""

    kind: str = ""
    """The name that the kernel gives the type (`ext4`); empty where it cannot be read."""
    device: bytes = b""
    """What was mounted: a device, or a share of a server."""

    @property
    def keeps_file_ids(self) -> bool:
        """True where an inode number stays with its file across remounts. Not on FAT, exFAT and FUSE."""
        return self.kind in _KEEP_FILE_IDS

    @property
    def keeps_directory_times(self) -> bool:
        """True where each entry that comes or goes changes the times of its directory.

        Cameras and Windows write FAT and exFAT without touching them, and a FUSE program does what it likes.
        """
        return self.kind in _KEEP_DIRECTORY_TIMES

    @property
    def may_be_stale(self) -> bool:
        """True where a stat may be answered from a cache, while opening a file asks the place itself."""
        return self.kind in _REMOTE or self.kind.startswith("fuse")


def file_system_of(descriptor: int) -> FileSystem:
    """The file system that an open file or directory stands on, from procfs; an empty one where that is missing."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            mount_id = next(line.split()[1] for line in file if line.startswith(b"mnt_id:"))
        with open("/proc/self/mountinfo", "rb") as file:
            mount = next(line for line in file if line.split(b" ", 1)[0] == mount_id)
    except (OSError, StopIteration):
        return FileSystem()
    # proc_pid_mountinfo(5): behind a lone hyphen stand the type, the source and the options.
    kind, device, *_ = mount.partition(b" - ")[2].split(b" ")
    return FileSystem(kind.decode("ascii", "replace"), device)


def file_system_uuid(descriptor: int) -> str:
    """The UUID (or the serial number) of the file system that a descriptor stands on; empty where it cannot be read."""
    return _uuid_from_kernel(descriptor) or _uuid_from_udev(descriptor)


def _uuid_from_kernel(descriptor: int) -> str:
    try:
        answer = fcntl.ioctl(descriptor, _GETFSUUID, bytes(1 + _UUID_BYTES))
    except OSError:
        return ""
    found = answer[1 : 1 + _UUID_BYTES]
    return str(uuid.UUID(bytes=found)) if answer[0] == _UUID_BYTES and any(found) else ""


def _uuid_from_udev(descriptor: int) -> str:
    devices = {os.fstat(descriptor).st_dev}
    try:
        # The devices of btrfs subvolumes are no block devices; the mounted one is.
        source = os.stat(file_system_of(descriptor).device)
        if stat.S_ISBLK(source.st_mode):
            devices.add(source.st_rdev)
    except (OSError, ValueError):
        pass
    try:
        names = sorted(os.listdir(_BY_UUID))
    except OSError:
        return ""
    for name in names:
        try:
            if os.stat(os.path.join(_BY_UUID, name)).st_rdev in devices:
                return os.fsdecode(name)
        except OSError:
            continue
    return ""
