"""The compounds of this room: what is asked in one frame, and what the replies say.

Looking at a path is CREATE + CLOSE; listing a small directory CREATE + QUERY_DIRECTORY + QUERY_DIRECTORY + CLOSE, where
the second query proves that the first one brought everything; reading the head of a file CREATE + READ + CLOSE. Each is
one frame to the server and one back. So is a change: CREATE + SET_INFO + CLOSE.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from struct import Struct

import attrs

from media_watch_tasks.errors import TransientError
from media_watch_tasks.smb import entries, wire
from media_watch_tasks.smb.entries import Entry
from media_watch_tasks.smb.frames import LARGEST_REPLY
from media_watch_tasks.smb.login import Login
from media_watch_tasks.smb.statuses import Status, describe
from media_watch_tasks.smb.wire import Access, Message, Opened, Options, Reply, Share

__all__ = [
    "DELETION",
    "RENAME",
    "CompoundRefused",
    "Listing",
    "ListingEnd",
    "Look",
    "change",
    "folder",
    "head",
    "largest_read",
    "listing",
    "look",
    "new_name",
    "read_change",
    "read_head",
    "read_listing",
    "volume",
]

_FIRST_BUFFER, _SECOND_BUFFER, _SMALLEST = 256 * 1024, 4 * 1024, 64 * 1024
"""The second buffer only shows whether anything is left; one entry always fits."""
_AS_A_WHOLE = 3
RENAME, DELETION = 10, 13
"""FileRenameInformation (MS-FSCC 2.4.42.2), FileDispositionInformation (MS-FSCC 2.4.11)."""
_NEW_NAME = Struct("<B7xQI")
_SHORTEST_RENAME = 24


class CompoundRefused(TransientError):  # noqa: N818 - the name says the finding
    """The server does not do what the fast path asks; smbprotocol's own calls, one by one, may work."""


class ListingEnd(Enum):
    """How a listing compound ended."""

    COMPLETE = auto()
    MORE = auto()
    """The directory is larger than two buffers: it has to be read on one handle."""
    FAILED = auto()


@attrs.frozen
class Listing:
    """The replies of a listing compound."""

    end: ListingEnd
    status: int
    """The status of what failed, else 0."""
    opened: Opened | None = None
    entries: list[Entry] = attrs.field(factory=list)
    leaked: bytes | None = None
    """A handle that the server left open."""


@attrs.frozen
class Look:
    """The replies of a look or a head read."""

    status: int
    opened: Opened | None = None
    data: bytes = b""
    leaked: bytes | None = None


def listing(path: str, login: Login, information_class: int) -> tuple[Message, ...]:
    """List the directory at `path`."""
    most = login.max_transact if login.multi_credit else _SMALLEST
    return (
        wire.create(path, access=Access.LIST, share=Share.ALL, options=Options.DIRECTORY),
        wire.query_directory(length=min(_FIRST_BUFFER, most), information_class=information_class),
        wire.query_directory(length=min(_SECOND_BUFFER, most), information_class=information_class),
        wire.close(),
    )


def look(path: str, *, options: int = Options.ANY, share: int = Share.ALL, access: int = Access.ATTRIBUTES) -> tuple[
    Message, ...
]:  # fmt: skip
    """Look at what stands at `path`: times, size, attributes and file id come with the CREATE response."""
    return wire.create(path, access=access, share=share, options=options), wire.close()


def head(path: str, length: int, offset: int, login: Login, *, share: int) -> tuple[Message, ...]:
    """Read up to `length` bytes of a file.

    With `Share.DENY_WRITE` the server refuses (SHARING_VIOLATION) while another client has the file open for writing:
    the file is not whole yet. The open ends within the same frame, so nobody is kept out.
    """
    return (
        wire.create(path, access=Access.READ, share=share, options=Options.FILE),
        wire.read(offset=offset, length=min(length, largest_read(login))),
        wire.close(),
    )


def volume() -> tuple[Message, ...]:
    """Look at the root and ask its file system who it is (FileFsVolumeInformation, MS-FSCC 2.5.9)."""
    return (
        wire.create("", access=Access.ATTRIBUTES, share=Share.ALL, options=Options.DIRECTORY),
        wire.query_info(info_type=2, information_class=1, length=1024),
        wire.close(),
    )


def new_name(path: str) -> bytes:
    """The data of a RENAME to `path`, relative to the share; it is refused where something stands there."""
    name = path.encode("utf-16-le", "surrogatepass")
    return (_NEW_NAME.pack(0, 0, len(name)) + name).ljust(_SHORTEST_RENAME, b"\0")


def change(path: str, information_class: int, data: bytes, *, share: int) -> tuple[Message, ...]:
    """Rename or delete the file at `path`."""
    return (
        wire.create(path, access=Access.DELETE, share=share, options=Options.FILE),
        wire.set_info(information_class=information_class, data=data),
        wire.close(),
    )


def folder(path: str) -> tuple[Message, ...]:
    """Make the folder at `path` unless it is there."""
    return (
        wire.create(path, access=Access.ATTRIBUTES, share=Share.ALL, options=Options.DIRECTORY, make=True),
        wire.close(),
    )


def largest_read(login: Login) -> int:
    """The most bytes that one READ asks for."""
    return min(LARGEST_REPLY, login.max_read) if login.multi_credit else _SMALLEST


def read_listing(replies: Sequence[Reply], information_class: int) -> Listing:
    """What a listing compound brought. Raises `ProtocolViolation` or `CompoundRefused`."""
    created, first, second, closed = replies
    if created.status != Status.SUCCESS:
        return Listing(ListingEnd.FAILED, created.status)
    opened = wire.opened(created)
    leaked = opened.handle if closed.status != Status.SUCCESS else None
    if leaked is not None and first.status != Status.SUCCESS:
        _refuse_if_unrelated(first.status)
    if first.status in {Status.NO_MORE_FILES, Status.NO_SUCH_FILE}:
        return Listing(ListingEnd.COMPLETE, 0, opened, [], leaked)
    if first.status != Status.SUCCESS:
        return Listing(ListingEnd.FAILED, first.status, opened, [], leaked)
    if second.status == Status.SUCCESS:
        return Listing(ListingEnd.MORE, 0, opened, [], leaked)
    if second.status != Status.NO_MORE_FILES:
        return Listing(ListingEnd.FAILED, second.status, opened, [], leaked)
    found = entries.unpack_entries(bytes(wire.data_of(first)), information_class)
    return Listing(ListingEnd.COMPLETE, 0, opened, found, leaked)


def read_head(replies: Sequence[Reply]) -> Look:
    """What a look or a head read brought. Raises `ProtocolViolation` or `CompoundRefused`."""
    created, closed = replies[0], replies[-1]
    if created.status != Status.SUCCESS:
        return Look(created.status)
    opened = wire.opened(created)
    leaked = opened.handle if closed.status != Status.SUCCESS else None
    data = b""
    if len(replies) == _AS_A_WHOLE:
        status = replies[1].status
        if status == Status.SUCCESS:
            data = bytes(wire.read_data_of(replies[1]))
        elif status != Status.END_OF_FILE:
            if leaked is not None:
                _refuse_if_unrelated(status)
            return Look(status, opened, b"", leaked)
    return Look(0, opened, data, leaked)


def read_change(replies: Sequence[Reply]) -> tuple[int, bytes | None]:
    """The status of a change, and a handle that the server left open. Raises `CompoundRefused`."""
    created, changed, closed = replies[0], replies[-2], replies[-1]
    if created.status != Status.SUCCESS:
        return created.status, None
    leaked = wire.opened(created).handle if closed.status != Status.SUCCESS else None
    if leaked is not None and changed.status != Status.SUCCESS:
        _refuse_if_unrelated(changed.status)
    return changed.status, leaked


def _refuse_if_unrelated(status: int) -> None:
    if status in {Status.INVALID_PARAMETER, Status.FILE_CLOSED, 0xC000_0008, 0xC000_00BB}:
        raise CompoundRefused(f"the server does not do related compounds ({describe(status)})")
