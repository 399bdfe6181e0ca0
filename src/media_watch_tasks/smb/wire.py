"""SMB2 messages as bytes: looking, listing, reading, renaming and deleting, and their replies (MS-SMB2 section 2.2).

Only what this library asks for is here. A request is a `Message` without its header: `Channel` adds header, message id,
credits and signature. A reply is read from a `Reply`, whose bytes came from the network: every offset and length is
checked against the frame before it is used, and a wrong one raises `ProtocolViolation`.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from media_watch_tasks.errors import TransientError

__all__ = [
    "CLOSE",
    "CREATE",
    "ECHO",
    "HEADER",
    "LOGOFF",
    "QUERY_DIRECTORY",
    "QUERY_INFO",
    "READ",
    "RELATED_ID",
    "SET_INFO",
    "TREE_DISCONNECT",
    "Access",
    "Message",
    "Opened",
    "Options",
    "ProtocolViolation",
    "Reply",
    "Share",
    "close",
    "create",
    "credit_charge",
    "data_of",
    "echo",
    "end_session",
    "opened",
    "query_directory",
    "query_info",
    "read",
    "read_data_of",
    "set_info",
]

LOGOFF, TREE_DISCONNECT, CREATE, CLOSE, READ = 2, 4, 5, 6, 8
ECHO, QUERY_DIRECTORY, QUERY_INFO, SET_INFO = 13, 14, 16, 17

HEADER = Struct("<4sHHIHHIIQIIQ16s")
"""Protocol id, size (64), credit charge, status, command, credits, flags, next, message id, reserved, tree, session,
signature (MS-SMB2 2.2.1.2)."""
RELATED_ID = b"\xff" * 16
"""The file id that means "the file opened earlier in this compound" (MS-SMB2 3.2.4.1.4)."""

_CREATE = Struct("<HBBIQQIIIIIHHII")
_CREATED = Struct("<HBBIQQQQQQII16sII")
_CONTEXT = Struct("<IHHHHI")
_QFID_REQUEST = _CONTEXT.pack(0, 16, 4, 0, 0, 0) + b"QFid" + bytes(4)
_QUERY_DIRECTORY = Struct("<HBBI16sHHI")
_QUERY_INFO = Struct("<HBBIHHIII16s")
_READ = Struct("<HBBIQ16sIIIHHB")
_CLOSE = Struct("<HHI16s")
_SET_INFO = Struct("<HBBIHHI16s")
_OUTPUT = Struct("<HHI")
_READ_REPLY = Struct("<HBBI")
_QFID = Struct("<QQ")
_EMPTY_BODY = Struct("<HH").pack(4, 0)
_ALL_NAMES = "*".encode("utf-16-le")

_OPEN_EXISTING, _OPEN_OR_CREATE = 1, 3
_INFO_OF_FILE = 1
_IMPERSONATION = 2
_FIRST_NAME_OFFSET = HEADER.size + 56
_LONGEST_NAME = 0xFFFF
_LARGEST_CREATED = 72 * 1024
"""An error may quote the target of a link, which is as long as a path may be (MS-SMB2 2.2.2.2.1)."""
_AROUND_DATA = 1024
"""Header, fixed part and padding of an answer that brings data."""


class ProtocolViolation(TransientError):  # noqa: N818 - the name says the finding
    """The server sent something that the protocol does not allow: the connection is dropped, nothing of it is used."""


class Access:
    """Desired access (MS-SMB2 2.2.13.1)."""

    ATTRIBUTES = 0x0000_0080
    LIST = 0x0010_0081
    READ = 0x0010_0081
    DELETE = 0x0001_0080
    """To rename it, too."""


class Share:
    """Share access: what others may do meanwhile (MS-SMB2 2.2.13)."""

    ALL = 7
    DENY_WRITE = 5


class Options:
    """Create options (MS-SMB2 2.2.13)."""

    ANY = 0
    DIRECTORY = 1
    FILE = 0x40


class Message(NamedTuple):
    """A request without its header."""

    command: int
    body: bytes
    charge: int = 1
    """Credits it costs (MS-SMB2 3.2.4.1.5)."""
    most: int = 4 * 1024
    """No answer to it is larger than this, in bytes."""


class Reply(NamedTuple):
    """One response of a frame, header included; `view` starts at its header and ends with it."""

    status: int
    view: memoryview


class Opened(NamedTuple):
    """What a CREATE response says of the file (times are FILETIME: 100 ns since 1601-01-01)."""

    handle: bytes
    last_write: int
    change: int
    size: int
    attributes: int
    file_id: int | None
    volume_id: int | None


def credit_charge(payload: int) -> int:
    """Credits for a request whose larger side is `payload` bytes."""
    return max(payload - 1, 0) // 65_536 + 1


def create(path: str, *, access: int, share: int, options: int, make: bool = False) -> Message:
    """Open what stands at `path` (relative to the share, backslashes); creates it only with `make`.

    The reply carries the file id (QFid context, MS-SMB2 2.2.13.2.9).
    """
    name = path.encode("utf-16-le", "surrogatepass")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"a path of {len(name) // 2} UTF-16 units is longer than SMB can name")
    padded = name + bytes(-len(name) % 8) if name else bytes(8)
    fixed = _CREATE.pack(
        57, 0, 0, _IMPERSONATION, 0, 0, access, 0, share, _OPEN_OR_CREATE if make else _OPEN_EXISTING, options,
        _FIRST_NAME_OFFSET, len(name), _FIRST_NAME_OFFSET + len(padded), len(_QFID_REQUEST),
    )  # fmt: skip
    return Message(CREATE, fixed + padded + _QFID_REQUEST, most=_LARGEST_CREATED)


def query_directory(*, length: int, information_class: int, handle: bytes = RELATED_ID) -> Message:
    """The next entries of an open directory, at most `length` bytes of them."""
    body = _QUERY_DIRECTORY.pack(33, information_class, 0, 0, handle, HEADER.size + 32, len(_ALL_NAMES), length)
    return Message(QUERY_DIRECTORY, body + _ALL_NAMES, credit_charge(length), length + _AROUND_DATA)


def query_info(*, info_type: int, information_class: int, length: int, handle: bytes = RELATED_ID) -> Message:
    """Ask an open file (type 1) or its file system (type 2) about itself."""
    body = _QUERY_INFO.pack(41, info_type, information_class, length, 0, 0, 0, 0, 0, handle)
    return Message(QUERY_INFO, body, credit_charge(length), length + _AROUND_DATA)


def read(*, offset: int, length: int, handle: bytes = RELATED_ID) -> Message:
    """Bytes of an open file. The data is asked to begin 80 bytes behind the response's header start."""
    body = _READ.pack(49, HEADER.size + 16, 0, length, offset, handle, 0, 0, 0, 0, 0, 0)
    return Message(READ, body, credit_charge(length), length + _AROUND_DATA)


def set_info(*, information_class: int, data: bytes, handle: bytes = RELATED_ID) -> Message:
    """Change something of an open file (MS-SMB2 2.2.39); the classes are those of MS-FSCC 2.4."""
    body = _SET_INFO.pack(33, _INFO_OF_FILE, information_class, len(data), HEADER.size + 32, 0, 0, handle)
    return Message(SET_INFO, body + data, credit_charge(len(data)))


def close(*, handle: bytes = RELATED_ID) -> Message:
    """Close an open file."""
    return Message(CLOSE, _CLOSE.pack(24, 0, 0, handle))


def echo() -> Message:
    """Ask for a sign of life."""
    return Message(ECHO, _EMPTY_BODY)


def end_session() -> tuple[Message, Message]:
    """Leave the share, then log off."""
    return Message(TREE_DISCONNECT, _EMPTY_BODY), Message(LOGOFF, _EMPTY_BODY)


def opened(reply: Reply) -> Opened:
    """Read a successful CREATE response."""
    view = reply.view
    if len(view) < HEADER.size + _CREATED.size:
        raise ProtocolViolation(f"a CREATE response of {len(view)} bytes is too short")
    fields = _CREATED.unpack_from(view, HEADER.size)
    if fields[0] != 89:  # noqa: PLR2004 - the StructureSize of this message
        raise ProtocolViolation(f"a CREATE response names the structure size {fields[0]}")
    size = fields[9]
    if size >= 1 << 63:
        raise ProtocolViolation(f"a file size of {size} bytes is impossible")
    file_id, volume_id = _disk_id(view, fields[13], fields[14])
    return Opened(fields[12], fields[6], fields[7], size, fields[10], file_id, volume_id)


def _disk_id(view: memoryview, offset: int, length: int) -> tuple[int | None, int | None]:
    if not length:
        return None, None
    end = offset + length
    if offset < HEADER.size + _CREATED.size or end > len(view):
        raise ProtocolViolation(f"create contexts at {offset}+{length} lie outside of a response of {len(view)} bytes")
    while True:
        if end - offset < _CONTEXT.size:
            raise ProtocolViolation("a create context is cut off")
        following, name_offset, name_length, _, data_offset, data_length = _CONTEXT.unpack_from(view, offset)
        limit = following or end - offset
        if following % 8 or limit < _CONTEXT.size or offset + limit > end:
            raise ProtocolViolation(f"a create context points to {following}, outside of its list")
        if name_offset + name_length > limit or data_offset + data_length > limit:
            raise ProtocolViolation("a create context's name or data lies outside of it")
        name = bytes(view[offset + name_offset : offset + name_offset + name_length])
        if name == b"QFid" and data_length >= _QFID.size:
            disk, volume = _QFID.unpack_from(view, offset + data_offset)
            return (disk or None), (volume if disk else None)
        if not following:
            return None, None
        offset += following


def data_of(reply: Reply) -> memoryview:
    """The output buffer of a successful QUERY_DIRECTORY or QUERY_INFO response."""
    view = reply.view
    if len(view) < HEADER.size + _OUTPUT.size:
        raise ProtocolViolation(f"a query response of {len(view)} bytes is too short")
    _, offset, length = _OUTPUT.unpack_from(view, HEADER.size)
    return _slice(view, offset, length)


def read_data_of(reply: Reply) -> memoryview:
    """The bytes of a successful READ response."""
    view = reply.view
    if len(view) < HEADER.size + _READ_REPLY.size:
        raise ProtocolViolation(f"a READ response of {len(view)} bytes is too short")
    _, offset, _, length = _READ_REPLY.unpack_from(view, HEADER.size)
    return _slice(view, offset, length)


def _slice(view: memoryview, offset: int, length: int) -> memoryview:
    if length and (offset < HEADER.size + 8 or offset + length > len(view)):
        raise ProtocolViolation(f"data at {offset}+{length} lies outside of a response of {len(view)} bytes")
    return view[offset : offset + length]
