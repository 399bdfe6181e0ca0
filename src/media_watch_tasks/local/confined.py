"""Opens what stands below a root, component by component, and nothing outside it, whatever links say."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["NOT_THERE", "READ", "is_well_formed", "open_below"]

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
"""How a file is opened: a pipe that stands in its place does not wait for somebody to write to it."""
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""Error numbers of `open_below` that say: no such file or folder stands below the root."""

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MOST_LINKS = 40  # as many as the kernel follows


def is_well_formed(path: bytes) -> bool:
    """True if a path is relative and names nothing but folders and one entry: no `..`, no empty part, no NUL."""
    return b"\0" not in path and {b"", b".", b".."}.isdisjoint(path.split(b"/"))


def open_below(root: int, path: bytes, flags: int, *, root_path: bytes | None = None) -> int:
    """Open the entry at a path relative to the descriptor of a root (`b""` is the root itself).

    Without `root_path` no component may be a link. With it, the root's absolute path, links are followed as long as
    they stay below the root; an absolute target counts as inside where it begins with that path, resolved or not.

    Raises:
        OSError: `ELOOP` for a link that is not followed, leads out of the root, or follows 40 others; else what the
            operating system says.
    """
    components = path.split(b"/") if path else []
    roots = () if root_path is None else (root_path, os.path.realpath(root_path))
    links = 0
    while True:
        opened = _open_plain(root, components, flags)
        if isinstance(opened, int):
            return opened
        position, target = opened
        above, below = components[:position], components[position + 1 :]
        if target is None:
            # What stands above was opened and is no link, so its parent is the component before it.
            if not above:
                raise _refused(path)
            components = above[:-1] + below
        else:
            links += 1
            if not roots or links > _MOST_LINKS:
                raise _refused(path)
            components = _aimed_at(above, target, roots, path) + below


def _open_plain(root: int, components: list[bytes], flags: int) -> int | tuple[int, bytes | None]:
    """The descriptor; or the position of the first component that is a link, and its target, or is `..`, and None."""
    if not components:
        return os.open(b".", flags | os.O_NOFOLLOW, dir_fd=root)
    here, held = root, None
    try:
        for position, name in enumerate(components):
            if name == b"..":
                return position, None
            last = position == len(components) - 1
            try:
                found = os.open(name, flags | os.O_NOFOLLOW if last else _STEP, dir_fd=here)
            except OSError as error:
                target = _link_target(name, here, error)
                if target is None:
                    raise
                return position, target
            if held is not None:
                os.close(held)
            here = held = found
        held = None
        return here
    finally:
        if held is not None:
            os.close(held)


def _link_target(name: bytes, directory: int, error: OSError) -> bytes | None:
    # A link shows as ELOOP, and as ENOTDIR where a folder is asked for.
    if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
        return None
    try:
        is_link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
        return os.readlink(name, dir_fd=directory) if is_link else None
    except OSError:
        return None


def _aimed_at(above: list[bytes], target: bytes, roots: tuple[bytes, ...], path: bytes) -> list[bytes]:
    """The components that a link stands for, from the root on."""
    if target.startswith(b"/"):
        inside = [target[len(root) :] for root in roots if target == root or target.startswith(root + b"/")]
        if not inside:
            raise _refused(path)
        above, target = [], inside[0]
    return above + [part for part in target.split(b"/") if part not in {b"", b"."}]


def _refused(path: bytes) -> OSError:
    return OSError(errno.ELOOP, "a link that is not followed", os.fsdecode(path))
