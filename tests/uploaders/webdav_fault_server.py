"""The fault server with the methods of WebDAV: folders that have to be made, MOVE and DELETE."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.uploaders.fault_server import FaultServer, Handler


class WebdavFaultServer(FaultServer):
    """A trouble of MOVE that `stores` happens after the move."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.folders = {""}
        super().__init__(*arguments, **settings)


class WebdavHandler(Handler):
    world: WebdavFaultServer

    def do_PUT(self) -> None:
        if self.parent(self.path) in self.world.folders:
            self.take()
        else:
            self.read(int(self.headers["Content-Length"]))
            self.note(0)
            self.say(409)

    def do_MOVE(self) -> None:
        self.act()

    def do_DELETE(self) -> None:
        self.act()

    def do_MKCOL(self) -> None:
        self.act()

    def do_OPTIONS(self) -> None:
        self.note(0)
        self.say(200, {"DAV": "1, 2"})

    def act(self) -> None:
        trouble = self.world.trouble(self.command)
        self.note(0)
        if trouble is not None and not trouble.stores:
            if trouble.calls is not None:
                trouble.calls()
            return self.suffer(trouble, b"", whole=True)
        if not self.authorised():
            return self.say(401)
        status = {"MOVE": self.move, "DELETE": self.delete, "MKCOL": self.make}[self.command]()
        if trouble is not None:
            if trouble.calls is not None:
                trouble.calls()
            return self.suffer(trouble, b"", whole=True)
        return self.say(status)

    def keep(self, data: bytes, *, whole: bool) -> None:
        if self.command == "PUT":
            super().keep(data, whole=whole)

    def move(self) -> int:
        target = urlsplit(self.headers["Destination"]).path
        with self.world.lock:
            if self.path not in self.world.objects:
                return 404
            there = target in self.world.objects
            if there and self.headers["Overwrite"] == "F":
                return 412
            self.world.objects[target] = self.world.objects.pop(self.path)
        return 204 if there else 201

    def delete(self) -> int:
        with self.world.lock:
            return 404 if self.world.objects.pop(self.path, None) is None else 204

    def make(self) -> int:
        path = self.path.rstrip("/")
        if path in self.world.folders:
            return 405
        if self.parent(path) not in self.world.folders:
            return 409
        self.world.folders.add(path)
        return 201

    @staticmethod
    def parent(path: str) -> str:
        return path.rpartition("/")[0]


WebdavFaultServer.handler = WebdavHandler
