"""A tus server that does wrong where a test asks for it, with extensions that the reference server does not have."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

import attrs
from tests.uploaders.fault_server import FaultServer, Handler, Trouble


@attrs.define
class Upload:
    length: int
    data: bytearray
    metadata: dict[str, str]


class TusFaultServer(FaultServer):
    """Uploads at /files, kept in memory.

    Args:
        troubles: as for `FaultServer`.
        extensions: what OPTIONS names.
        query: every URL of an upload has this query string, and nothing is answered without it.
        location: begins the URLs of uploads, in the place of this server's own.
    """

    def __init__(
        self,
        troubles: Iterable[Trouble] = (),
        *,
        extensions: str = "creation,termination,checksum",
        query: str = "",
        location: str = "",
        max_size: int | None = None,
        version: str = "1.0.0",
        tokens: set[str] | None = None,
    ) -> None:
        self.extensions = extensions
        self.query = query
        self.location = location
        self.max_size = max_size
        self.version = version
        self.uploads: dict[str, Upload] = {}
        self.names = itertools.count(1)
        self.was_complete: list[bytes] = []
        """Every file that ever stood there whole, also where it was removed again."""
        super().__init__(troubles, tokens=tokens)

    @property
    def files(self) -> str:
        return self.url + "/files"

    @property
    def bodies(self) -> list[bytes]:
        """The files that are there whole."""
        return [bytes(upload.data) for upload in self.uploads.values() if len(upload.data) == upload.length]

    @property
    def received(self) -> int:
        """Bytes that came in all PATCH requests."""
        return sum(seen.received for seen in self.requests("PATCH"))


class TusHandler(Handler):
    world: TusFaultServer

    def do_OPTIONS(self) -> None:
        headers = {"Tus-Version": self.world.version, "Tus-Extension": self.world.extensions}
        if self.world.max_size is not None:
            headers["Tus-Max-Size"] = str(self.world.max_size)
        if "checksum" in self.world.extensions:
            headers["Tus-Checksum-Algorithm"] = "md5,sha1,sha256"
        self.note(0)
        self.say(204, headers)

    def do_POST(self) -> None:
        body = self._arrived()
        if body is None:
            return None
        pairs = [pair.partition(" ") for pair in (self.headers["Upload-Metadata"] or "").split(",") if pair]
        metadata = {name: base64.b64decode(value).decode() for name, _, value in pairs}
        name = f"/files/{next(self.world.names)}"
        self.world.uploads[name] = Upload(int(self.headers["Upload-Length"]), bytearray(body), metadata)
        location = (self.world.location or self.world.url) + name + self.world.query
        return self.say(201, {"Location": location, "Upload-Offset": str(len(body))})

    def do_HEAD(self) -> None:
        if self._arrived() is None:
            return None
        upload = self._upload()
        if upload is None:
            return self.say(404)
        return self.say(200, {"Upload-Offset": str(len(upload.data)), "Upload-Length": str(upload.length)})

    def do_PATCH(self) -> None:
        body = self._arrived()
        if body is None:
            return None
        upload = self._upload()
        if upload is None:
            return self.say(404)
        if int(self.headers["Upload-Offset"]) != len(upload.data):
            return self.say(409)
        algorithm, _, digest = (self.headers["Upload-Checksum"] or "").partition(" ")
        if algorithm and base64.b64encode(hashlib.new(algorithm, body).digest()).decode() != digest:
            return self.say(460)
        upload.data += body
        if len(upload.data) == upload.length:
            self.world.was_complete.append(bytes(upload.data))
        return self.say(204, {"Upload-Offset": str(len(upload.data))})

    def do_DELETE(self) -> None:
        if self._arrived() is None:
            return None
        return self.say(204 if self.world.uploads.pop(self.path.partition("?")[0], None) else 404)

    def keep(self, data: bytes, *, whole: bool) -> None:
        upload = self._upload()
        if self.command == "POST":
            self.world.uploads[f"/files/{next(self.world.names)}"] = Upload(len(data), bytearray(data), {})
        elif upload is not None:
            upload.data += data

    def _upload(self) -> Upload | None:
        path, mark, query = self.path.partition("?")
        return self.world.uploads.get(path) if mark + query == self.world.query else None

    def _arrived(self) -> bytes | None:
        """The body; None where something else was answered, or nothing."""
        world, length = self.world, int(self.headers["Content-Length"] or 0)
        trouble = world.trouble(self.command)
        data = self.read(length if trouble is None or trouble.after is None else min(trouble.after, length))
        if trouble is not None and trouble.calls is not None:
            trouble.calls()
        if trouble is not None and trouble.expire is not None:
            assert world.tokens is not None
            world.tokens.discard(trouble.expire)
            data += self.read(length - len(data))
        elif trouble is not None and trouble.damage:
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif trouble is not None and (trouble.status or trouble.reset or trouble.silent or trouble.drip):
            self.note(len(data))
            self.suffer(trouble, data, whole=len(data) == length)
            return None
        data += self.read(length - len(data))
        self.note(len(data))
        if len(data) != length:
            return None
        if not self.authorised():
            self.say(401)
            return None
        return data

    def say(self, status: int, headers: Any = None, body: bytes = b"") -> None:
        super().say(status, {"Tus-Resumable": "1.0.0", **(headers or {})}, body)


TusFaultServer.handler = TusHandler
