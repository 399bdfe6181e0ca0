"""A server that takes what S3 clients send as fast as Python can: it hashes bodies for their ETag and keeps nothing.

It checks no signature: it is the far end of a benchmark, in a process of its own (`python bench_s3_server.py` prints
its port), and knows what the clients of the benchmark ask for.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from typing import Any

MIB = 1 << 20
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
EMPTY = b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
ENDED = b'<CompleteMultipartUploadResult><ETag>"0-1"</ETag></CompleteMultipartUploadResult>'
known: dict[bytes, tuple[int, bytes]] = {}


def answer(method: bytes, target: bytes, size: int, etag: bytes) -> tuple[bytes, list[bytes], bytes]:
    """(status, headers, body)."""
    path, _, query = target.partition(b"?")
    if method == b"PUT":
        if b"uploadId" in query:
            before = known.get(path, (0, b""))[0]
            known[path] = (before + size, b"0-1")
        else:
            known[path] = (size, etag)
        return b"200 OK", [b'ETag: "%s"' % etag], b""
    if method == b"HEAD" and path.count(b"/") > 1:
        if path not in known:
            return b"404 Not Found", [], b""
        length, standing = known[path]
        date = b"Last-Modified: Wed, 21 Oct 2026 07:28:00 GMT"
        return b"200 OK", [b"Content-Length: %d" % length, b'ETag: "%s"' % standing, date], b""
    if method == b"POST":
        return b"200 OK", [], BEGUN if query.startswith(b"uploads") else ENDED
    return b"200 OK", [], EMPTY if method == b"GET" else b""


def serve(connection: socket.socket) -> None:
    """One connection, until it ends."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(MIB)
    view, have = memoryview(buffer), 0
    while True:
        while (end := buffer.find(b"\r\n\r\n", 0, have)) < 0:
            count = connection.recv_into(view[have:])
            if not count:
                return
            have += count
        head = bytes(view[:end])
        found = LENGTH.search(head)
        size = int(found[1]) if found else 0
        if b"100-continue" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        left, digest = size - (have - end - 4), hashlib.md5(view[end + 4 : have], usedforsecurity=False)
        while left > 0:
            count = connection.recv_into(view[: min(left, MIB)])
            if not count:
                return
            digest.update(view[:count])
            left -= count
        have = 0
        method, target, _ = head.split(b" ", 2)
        status, headers, body = answer(method, target, size, digest.hexdigest().encode())
        if not any(header.startswith(b"Content-Length") for header in headers):
            headers.append(b"Content-Length: %d" % len(body))
        connection.sendall(b"HTTP/1.1 " + b"\r\n".join([status, *headers, b"", b""]) + body)


def main() -> None:
    """Serve until the process is ended."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            made: tuple[socket.socket, Any] = listening.accept()
            threading.Thread(target=serve, args=made[:1], daemon=True).start()


if __name__ == "__main__":
    main()
