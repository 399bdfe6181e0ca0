"""A process that reads folders for a scan: started by its path, it imports nothing but a few standard modules.

It gets the open root as a descriptor (its first argument), and paths below it on its standard input, joined by NUL. For
each it writes what an ordinary folder holds to its standard output, in the same order. A folder that is in any way
special (it is large, cannot be opened, holds an entry that cannot be looked at) is answered by nothing: the scan reads
it itself, and has the only code that judges such things.
"""

from __future__ import annotations

import gc
import marshal
import os
import stat
import sys
from array import array

__all__ = ["LARGEST", "Answer", "read_folder", "read_frame", "write_frame"]

LARGEST = 1_000
"""Folders of more entries are not read here."""

Answer = tuple[tuple[int, int, int, int], bytes, bytes, bytes, bytes, bytes]
"""(device, inode, mtime and ctime in ns of the folder), names of its files, their sizes, times in ns and inodes as
arrays of signed 64-bit integers in the order of the names, and the names of its folders. Names are sorted as bytes and
joined by NUL."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_LENGTH = 4


def read_folder(root: int, path: bytes) -> Answer | None:
    """What stands in the folder at a path below an open one; None if it is not an ordinary one."""
    try:
        descriptor = _open(root, path)
    except OSError:
        return None
    try:
        return _read(descriptor)
    except (OSError, OverflowError):
        return None
    finally:
        os.close(descriptor)


def _open(root: int, path: bytes) -> int:
    """Step by step, so that no link leads out of the root."""
    here = root
    for name in path.split(b"/"):
        try:
            found = os.open(name, _FOLDER, dir_fd=here)
        finally:
            if here != root:
                os.close(here)
        here = found
    return here


def _read(descriptor: int) -> Answer | None:
    # The times from before the listing: what comes into the folder during it must not go unnoticed.
    itself = os.fstat(descriptor)
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                files.append(entry.name)
                if len(files) > LARGEST:
                    return None
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    names = sorted(_as_bytes(files))
    sizes, times, inodes = array("q"), array("q"), array("q")
    for name in names:
        found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return None
        sizes.append(found.st_size)
        times.append(found.st_mtime_ns)
        inodes.append(found.st_ino)
    return (
        (itself.st_dev, itself.st_ino, itself.st_mtime_ns, itself.st_ctime_ns),
        b"\0".join(names),
        sizes.tobytes(),
        times.tobytes(),
        inodes.tobytes(),
        b"\0".join(sorted(_as_bytes(folders))),
    )


def _as_bytes(names: list[str]) -> list[bytes]:
    return list(map(os.fsencode, names))


def read_frame(descriptor: int) -> bytes | None:
    """The next frame of a pipe; None at its end, be it in the middle of a frame."""
    head = _read_exactly(descriptor, _LENGTH)
    return None if head is None else _read_exactly(descriptor, int.from_bytes(head, "big"))


def write_frame(descriptor: int, content: bytes) -> None:
    """Write a frame to a pipe. Raises `BrokenPipeError` if nobody reads it any more."""
    rest = memoryview(len(content).to_bytes(_LENGTH, "big") + content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read_exactly(descriptor: int, length: int) -> bytes | None:
    pieces = []
    while length > 0:
        piece = os.read(descriptor, length)
        if not piece:
            return None
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _main() -> None:
    gc.disable()  # nothing here makes circles
    root = int(sys.argv[1])
    try:
        while (paths := read_frame(0)) is not None:
            for path in paths.split(b"\0"):
                write_frame(1, marshal.dumps(read_folder(root, path)))
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    os._exit(0)


if __name__ == "__main__":
    _main()
