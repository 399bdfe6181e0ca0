"""A proxy before the socket of a PostgreSQL server, which can keep everything that is sent to itself."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_SOCKET = ".s.PGSQL.5432"


class Partition:
    """Connections through `folder` reach the server, except while they are `cut`: then nothing gets through, either
    way, and nobody is told. Afterwards what was sent meanwhile arrives, late.
    """

    def __init__(self, server: Path) -> None:
        """`server`: the folder of the server's socket."""
        self._server = str(server / _SOCKET)
        # The path of a socket is at most 107 bytes long: no folder of pytest's.
        self.folder = Path(tempfile.mkdtemp(prefix="mwt-part-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / _SOCKET))
        self._listener.listen(64)
        self._ends: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._wake, self._woken = socket.socketpair()
        self._closed = False
        self.is_cut = False
        self.held_back = 0
        """How many clients wanted the server, or had sent it something, while the network was cut."""
        self._thread = threading.Thread(target=self._run, name="partition")
        self._thread.start()

    def cut(self) -> None:
        """Keep everything back from now on."""
        self.is_cut = True
        self._wake.send(b"!")

    def heal(self) -> None:
        """Let everything through again."""
        self.is_cut = False
        self._wake.send(b"!")

    def close(self) -> None:
        self._closed = True
        self._wake.send(b"!")
        self._thread.join()
        for end in (self._listener, self._wake, self._woken, *self._ends):
            end.close()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closed:
            ready, _, _ = select.select([self._listener, self._woken, *self._ends], (), ())
            if self._woken in ready:
                self._woken.recv(64)
            elif self.is_cut:
                self._hold_back()
            elif self._listener in ready:
                self._accept()
            else:
                for end in ready:
                    if end in self._ends:
                        self._forward(end)

    def _hold_back(self) -> None:
        quiet = {self._listener, *self._clients}
        while True:
            ready, _, _ = select.select([self._woken, *quiet], (), ())
            if self._woken in ready:
                return
            # What is ready stays so until the network is healed: each counts once.
            quiet.difference_update(ready)
            self.held_back += len(ready)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            server.close()
            return
        self._ends |= {client: server, server: client}
        self._clients.add(client)

    def _forward(self, end: socket.socket) -> None:
        other = self._ends[end]
        data = b""
        with contextlib.suppress(OSError):
            data = end.recv(1 << 16)
            other.sendall(data)
        if not data:
            for gone in (end, other):
                del self._ends[gone]
                self._clients.discard(gone)
                gone.close()
