"""Asks the kernel for the way to an address, without sending anything.

On Linux a question over rtnetlink (rtnetlink(7): RTM_GETROUTE) names the interface, whose flags tell whether it has a
carrier: a static route stays when the cable is pulled. Elsewhere, and where a sandbox forbids netlink, a UDP socket is
connected, which fails where there is no route and sends nothing either.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys

if sys.platform == "linux":
    import fcntl

__all__ = ["obstacle"]

_NO_ROUTE = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EACCES,  # a route of type `prohibit`
        errno.EINVAL,  # a route of type `blackhole`
        errno.EADDRNOTAVAIL,  # IPv6 without an address
        errno.EAFNOSUPPORT,  # IPv6 switched off
        errno.EOPNOTSUPP,  # the same, said by netlink
        errno.ENXIO,  # the interface went while it was looked at
        errno.ENODEV,  # the same
    }
)
_PORT = 9
"""Any will do: nothing is sent."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_GETROUTE, _NEWROUTE, _ERROR = 26, 24, 2
_REQUEST = 1
_DESTINATION, _INTERFACE = 1, 4
_GET_FLAGS = 0x8913  # SIOCGIFFLAGS
_RUNNING = 0x40  # IFF_RUNNING: up, and able to carry packets
_ANSWER_BYTES = 65_536
_GUARD_SECONDS = 1.0
"""The kernel answers at once; nothing hangs should it not."""


def obstacle(address: str) -> str | None:
    """Why there is no way to this IP address, None if there is one.

    Raises:
        OSError: the system cannot say.
    """
    try:
        if sys.platform == "linux" and (netlink := _netlink()) is not None:
            with netlink:
                return _linux_obstacle(netlink, address)
        _connect(address)
    except OSError as error:
        if error.errno in _NO_ROUTE:
            return "no route"
        raise
    return None


def _connect(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect((address, _PORT))


if sys.platform == "linux":

    def _netlink() -> socket.socket | None:
        try:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError:
            return None  # a sandbox may forbid it: the other way is left

    def _linux_obstacle(netlink: socket.socket, address: str) -> str | None:
        netlink.settimeout(_GUARD_SECONDS)
        netlink.send(_question(address))
        interface = _interface(netlink.recv(_ANSWER_BYTES))
        if interface is None:
            return "no route"
        name = socket.if_indextoname(interface)
        return None if _has_carrier(name) else f"{name} is not connected"

    def _question(address: str) -> bytes:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        destination = socket.inet_pton(family, address)
        body = _ROUTE.pack(family, len(destination) * 8, 0, 0, 0, 0, 0, 0, 0)
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(destination), _DESTINATION) + destination
        return _HEADER.pack(_HEADER.size + len(body), _GETROUTE, _REQUEST, 1, 0) + body

    def _interface(answer: bytes) -> int | None:
        """The index of the interface, None if the answer names none."""
        length, kind, _, _, _ = _HEADER.unpack_from(answer)
        at = _HEADER.size
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", answer, at)
            raise OSError(-code, "rtnetlink")
        if kind != _NEWROUTE:
            raise OSError(errno.EPROTO, f"rtnetlink answered with a message of type {kind}")
        at += _ROUTE.size
        while at + _ATTRIBUTE.size <= length:
            size, name = _ATTRIBUTE.unpack_from(answer, at)
            if name == _INTERFACE:
                return int(struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0])
            at += max((size + 3) & ~3, _ATTRIBUTE.size)
        return None

    def _has_carrier(name: str) -> bool:
        request = struct.pack("=16sH14x", name.encode(), 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            answer = fcntl.ioctl(asking, _GET_FLAGS, request)
        (flags,) = struct.unpack_from("=H", answer, 16)
        return bool(flags & _RUNNING)
