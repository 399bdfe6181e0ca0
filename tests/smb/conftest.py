"""Real Samba servers for the tests of the SMB room, one of each kind a test process, and a proxy that can cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.smb import SmbConnection

USER, PASSWORD = "mediatest", "Secr3t!-do-not-show"
_GLOBAL = """
[global]
  server role = standalone server
  workgroup = WG
  netbios name = TESTSMB
  interfaces = lo
  bind interfaces only = yes
  smb ports = {port}
  disable netbios = yes
  server min protocol = SMB2_02
  map to guest = {guest}
  restrict anonymous = 2
  passdb backend = tdbsam:{root}/private/passdb.tdb
  private dir = {root}/private
  pid directory = {root}/pid
  lock directory = {root}/lock
  state directory = {root}/state
  cache directory = {root}/cache
  ncalrpc dir = {root}/ncalrpc
  log file = {root}/smbd.log
  log level = 0
  load printers = no
  printcap name = /dev/null
  disable spoolss = yes
{lines}
[media]
  path = {root}/share
  read only = no
  guest ok = {guest_ok}
  force user = root
[plain]
  path = {root}/share
  read only = no
  valid users = mediatest
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A private smbd."""

    def __init__(self, root: Path, *lines: str, guest: bool = False) -> None:
        self.root, self.port = root, _free_port()
        for name in ("private", "pid", "lock", "state", "cache", "ncalrpc", "share"):
            (root / name).mkdir(parents=True)
        (root / "private").chmod(0o700)
        (root / "share").chmod(0o777)
        self.config = root / "smb.conf"
        self.config.write_text(
            _GLOBAL.format(
                root=root,
                port=self.port,
                lines="\n".join(f"  {line}" for line in lines),
                guest="bad user" if guest else "never",
                guest_ok="yes" if guest else "no",
            )
        )
        if subprocess.run(["id", USER], capture_output=True, check=False).returncode:
            subprocess.run(["useradd", "-M", "-N", "-s", "/usr/sbin/nologin", USER], check=False)
        subprocess.run(
            ["smbpasswd", "-c", self.config, "-s", "-a", USER],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def share(self) -> Path:
        return self.root / "share"

    def start(self) -> None:
        # Of its own process group: a kill reaches the children that serve the connections. It ends with this process.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "smbd", "-F", "--no-process-group", "-s", self.config, "-l", self.root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError(f"smbd did not start: {(self.root / 'smbd.log').read_text()}")

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

    def connect(self, **options: object) -> SmbConnection:
        settings: dict[str, Any] = {"username": USER, "password": PASSWORD, "port": self.port, "timeout": 20} | options
        return SmbConnection("127.0.0.1", settings.pop("share", "media"), **settings)

    def empty(self) -> Path:
        """The share, with nothing in it."""
        for entry in self.share.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        return self.share


@pytest.fixture(scope="session")
def smb_servers() -> Iterator[Callable[..., Server]]:
    """A function that gives the server with these settings, started once for all tests of this process."""
    if os.geteuid() != 0:
        pytest.skip("a private smbd that keeps its own accounts needs root")
    missing = [name for name in ("smbd", "smbpasswd") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (Debian packages samba and smbclient)")
    servers: dict[object, Server] = {}

    def server(*lines: str, guest: bool = False) -> Server:
        key = (lines, guest)
        if key not in servers:
            # Not below pytest's own folder: the SMB user, who is not root, could not get into that.
            root = Path(tempfile.mkdtemp(prefix="media-watch-smbd-"))
            root.chmod(0o755)
            servers[key] = Server(root, *lines, guest=guest)
        found = servers[key]
        if found.process is None:
            found.start()
        return found

    yield server
    for found in servers.values():
        found.kill()
        shutil.rmtree(found.root, ignore_errors=True)


@pytest.fixture
def server(smb_servers: Callable[..., Server]) -> Server:
    """A server with an empty share; signing is what it negotiates (SMB 3.1.1, AES-GMAC)."""
    found = smb_servers()
    found.empty()
    return found


class Proxy:
    """A TCP proxy that counts SMB frames and, when told, cuts or changes what the server sends."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.frames_up = self.frames_down = self.connections = 0
        self.change: Callable[[bytes], bytes | None] | None = None
        """Applied to each frame of the server; None instead of bytes cuts the connection."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                upstream = socket.create_connection(("127.0.0.1", self.target))
                self._open += [client, upstream]
                threading.Thread(target=self._pump, args=(client, upstream, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(upstream, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                frame = self._exactly(source, int.from_bytes(self._exactly(source, 4), "big"))
                if up:
                    self.frames_up += 1
                else:
                    self.frames_down += 1
                    changed = frame if self.change is None else self.change(frame)
                    if changed is None:
                        break
                    frame = changed
                sink.sendall(len(frame).to_bytes(4, "big") + frame)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _exactly(source: socket.socket, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = source.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def cut(self) -> None:
        """End all connections."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for end in self._open:
            end.close()


@pytest.fixture
def proxies() -> Iterator[Callable[[int], Proxy]]:
    """A function that puts a proxy before a port."""
    made: list[Proxy] = []

    def proxy(port: int) -> Proxy:
        made.append(Proxy(port))
        return made[-1]

    yield proxy
    for between in made:
        between.close()


@pytest.fixture
def proxy(server: Server, proxies: Callable[[int], Proxy]) -> Proxy:
    return proxies(server.port)
