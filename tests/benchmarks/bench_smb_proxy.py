"""A TCP proxy on loopback that delays both directions and counts SMB frames; a program of its own, for the benchmarks.

    python tests/benchmarks/bench_smb_proxy.py TARGET-PORT ROUND-TRIP-MS

Prints its port; at end of input the numbers of frames to and from the server.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time

CHUNK = 1 << 18


class Counter:
    """Finds the beginnings of frames in a stream of pieces."""

    def __init__(self) -> None:
        self.frames = 0
        self._left = 0
        self._head = b""

    def feed(self, piece: bytes) -> None:
        position = 0
        while position < len(piece):
            if self._left:
                step = min(self._left, len(piece) - position)
                self._left -= step
                position += step
                continue
            missing = 4 - len(self._head)
            self._head += piece[position : position + missing]
            position += missing
            if len(self._head) == 4:
                self._left = int.from_bytes(self._head[1:], "big")
                self._head = b""
                self.frames += 1


def forward(source: socket.socket, sink: socket.socket, delay: float, counts: list[Counter]) -> None:
    counter = Counter()
    counts.append(counter)
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def write() -> None:
        while True:
            due, piece = waiting.get()
            rest = due - time.monotonic()
            if rest > 0:
                time.sleep(rest)
            try:
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
            except OSError:
                return

    threading.Thread(target=write, daemon=True).start()
    while True:
        try:
            piece = source.recv(CHUNK)
        except OSError:
            piece = b""
        waiting.put((time.monotonic() + delay, piece))
        if not piece:
            return
        counter.feed(piece)


def main() -> None:
    target, delay = int(sys.argv[1]), float(sys.argv[2]) / 2_000
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    up: list[Counter] = []
    down: list[Counter] = []

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=forward, args=(client, server, delay, up), daemon=True).start()
            threading.Thread(target=forward, args=(server, client, delay, down), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    print(sum(counter.frames for counter in up), sum(counter.frames for counter in down), flush=True)


if __name__ == "__main__":
    main()
