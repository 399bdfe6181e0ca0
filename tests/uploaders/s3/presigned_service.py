"""The example's service with its S3, and answers of its own that go wrong when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import Response

from media_watch_tasks.http import BearerAuth
from media_watch_tasks.testing.s3 import StrictS3
from media_watch_tasks.uploaders import PresignedUploader

TOKEN = "service-token"


@attrs.define
class Service:
    """The example's service, its URL, and its S3."""

    app: Any
    url: str
    s3: StrictS3
    stack: ExitStack

    def uploader(self, **settings: Any) -> PresignedUploader:
        chosen: dict[str, Any] = {
            "upload_origins": [self.s3.url],
            "auth": BearerAuth(TOKEN),
            "poll_every": timedelta(milliseconds=10),
            **settings,
        }
        return self.stack.enter_context(PresignedUploader(f"{self.url}/uploads", **chosen))

    def published(self) -> list[bytes]:
        done = [upload for upload in self.app.uploads.values() if upload["status"] in {"processing", "completed"}]
        return [self.s3.objects[upload["object"]].data or b"" for upload in done]


@attrs.define
class Trouble:
    """One answer of the service that is another one. It fires once."""

    step: str
    """init, complete or status."""
    status: int = 0
    """0: the work is done, and the answer withheld until the client has gone."""
    headers: dict[str, str] = attrs.field(factory=dict)
    fired: bool = False


class TroubledApp:
    """ASGI in front of the service."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.troubles: list[Trouble] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        step = {"POST": scope["path"].rsplit("/", 1)[-1], "GET": "status", "DELETE": "discard"}[scope["method"]]
        trouble = next((one for one in self.troubles if one.step == step and not one.fired), None)
        if trouble is None:
            await self.app(scope, receive, send)
            return
        trouble.fired = True
        if trouble.status:
            await Request(scope, receive).body()
            await Response(b"secret-canary-of-the-server", trouble.status, trouble.headers)(scope, receive, send)
            return

        async def nobody(_: Any) -> None: ...

        await self.app(scope, receive, nobody)
        while (await receive())["type"] != "http.disconnect":
            pass
