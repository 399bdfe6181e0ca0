"""A small service for PresignedUploader: init, complete, status and discard, with the bytes in S3.

As it stands it starts the service and an S3 of its own, delivers a clip to it, and ends. `--serve` keeps it running.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError
from sample_media import make_clip
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.http import BearerAuth
from media_watch_tasks.testing.s3 import StrictS3
from media_watch_tasks.uploaders import PresignedUploader

EXPIRES_SECONDS = 900


class Service:
    """Knows its uploads by id and by idempotency key; a real one keeps them in a database."""

    def __init__(self, s3: Any, bucket: str, *, token: str, form: bool = False, process_seconds: float = 0.05) -> None:  # noqa: ANN401 - boto3's client
        self.s3, self.bucket, self.token, self.form, self.process_seconds = s3, bucket, token, form, process_seconds
        self.uploads: dict[str, dict[str, Any]] = {}
        self.by_key: dict[str, str] = {}
        self.lock = threading.Lock()
        self.app = Starlette(
            routes=[
                Route("/uploads/init", self.init, methods=["POST"]),
                Route("/uploads/{id}/complete", self.complete, methods=["POST"]),
                Route("/uploads/{id}", self.status, methods=["GET"]),
                Route("/uploads/{id}", self.discard, methods=["DELETE"]),
            ]
        )

    async def init(self, request: Request) -> Response:
        """Give out URLs; of a key that is known the same upload goes on: with a fresh URL, or with its status."""
        if (refusal := self.refused(request)) is not None:
            return refusal
        wish = json.loads(await request.body())
        key = request.headers.get("idempotency-key", str(uuid.uuid4()))
        with self.lock:
            known = self.uploads.get(self.by_key.get(key, ""))
            if known is not None and known["status"] in {"processing", "completed"}:
                return JSONResponse(self.public(known))
            if known is not None and known["status"] == "pending":
                upload = known  # cut off earlier: the same upload, with a fresh URL
            else:
                upload_id = uuid.uuid4().hex
                self.by_key[key] = upload_id
                upload = {"id": upload_id, "status": "pending", "size": wish["size"], "object": f"incoming/{upload_id}"}
                self.uploads[upload_id] = upload
        answer = {"id": upload["id"], **self.target(upload["object"], wish["size"], "")}
        if wish.get("artwork_extension"):
            answer |= self.target(f"{upload['object']}.{wish['artwork_extension']}", 10_000_000, "artwork_")
        return JSONResponse(answer)

    def target(self, name: str, size: int, prefix: str) -> dict[str, Any]:
        """A URL, and form fields if this service likes forms."""
        if self.form:
            limits = [["content-length-range", 0, size]]
            post = self.s3.generate_presigned_post(self.bucket, name, Conditions=limits, ExpiresIn=EXPIRES_SECONDS)
            return {f"{prefix}upload_url": post["url"], f"{prefix}upload_fields": post["fields"]}
        place = {"Bucket": self.bucket, "Key": name}
        url = self.s3.generate_presigned_url("put_object", Params=place, ExpiresIn=EXPIRES_SECONDS)
        return {f"{prefix}upload_url": url}

    async def complete(self, request: Request) -> Response:
        """Begin to process what was sent."""
        if (refusal := self.refused(request)) is not None:
            return refusal
        said = json.loads(await request.body())
        with self.lock:
            upload = self.uploads.get(request.path_params["id"])
            if upload is None:
                return Response(status_code=404)
            if upload["status"] != "pending":
                return Response(status_code=409)
            upload |= {"status": "processing", "progress": 0, "promised": said.get("sha256")}
        threading.Thread(target=self.process, args=(upload,), daemon=True).start()
        return Response(status_code=202)

    def process(self, upload: dict[str, Any]) -> None:
        """Look at the bytes; here one would transcode, tag and publish them."""
        time.sleep(self.process_seconds)
        upload["progress"] = 50
        try:
            data = self.s3.get_object(Bucket=self.bucket, Key=upload["object"])["Body"].read()
        except ClientError as error:
            upload |= {"status": "failed", "error": f"the bytes are not there: {error.response['Error']['Code']}"}
            return
        found = hashlib.sha256(data).hexdigest()
        if len(data) != upload["size"] or upload["promised"] not in {None, found}:
            upload |= {"status": "failed", "error": "the bytes are not those that were announced"}
            return
        upload |= {"progress": 100, "sha256": found, "remote_id": f"tracks/{upload['id']}", "status": "completed"}

    async def status(self, request: Request) -> Response:
        """How far it is."""
        if (refusal := self.refused(request)) is not None:
            return refusal
        upload = self.uploads.get(request.path_params["id"])
        return Response(status_code=404) if upload is None else JSONResponse(self.public(upload))

    async def discard(self, request: Request) -> Response:
        """Forget an upload, and remove its objects."""
        if (refusal := self.refused(request)) is not None:
            return refusal
        with self.lock:
            upload = self.uploads.pop(request.path_params["id"], None)
        if upload is None:
            return Response(status_code=404)
        self.s3.delete_object(Bucket=self.bucket, Key=upload["object"])
        return Response(status_code=204)

    def refused(self, request: Request) -> Response | None:
        """None if the token is right."""
        if request.headers.get("authorization") == f"Bearer {self.token}":
            return None
        return Response(status_code=401)

    @staticmethod
    def public(upload: dict[str, Any]) -> dict[str, Any]:
        """What a client may see."""
        return {
            name: upload[name]
            for name in ("id", "status", "progress", "error", "remote_id", "sha256")
            if name in upload
        }


@contextmanager
def serving(app: Starlette, port: int = 0) -> Iterator[str]:
    """Serve the application on this machine; gives its URL."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def client_of(s3: StrictS3) -> Any:  # noqa: ANN401 - boto3 makes the class of a client at run time
    """A client for the S3 of this example."""
    return boto3.client(
        "s3", endpoint_url=s3.url, region_name=s3.region,
        aws_access_key_id=s3.credentials.access_key, aws_secret_access_key=s3.credentials.secret_key,
        config=Config(signature_version="s3v4"),  # without it, URLs are presigned by the version before
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep running")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="let-me-in")
    arguments = parser.parse_args()
    with StrictS3() as s3, tempfile.TemporaryDirectory() as folder:
        service = Service(client_of(s3), s3.bucket, token=arguments.token)
        with serving(service.app, arguments.port) as url:
            print(f"serving {url}/uploads, files go to {s3.url}")
            if arguments.serve:
                threading.Event().wait()
            source = make_clip(Path(folder, "source", "clip.mp4")).parent
            uploader = PresignedUploader(
                f"{url}/uploads", upload_origins=[s3.url], auth=BearerAuth(arguments.token),
                poll_every=timedelta(milliseconds=50),
            )  # fmt: skip
            with SqliteStores(Path(folder, "watch.db")) as stores, TaskManager(
                media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
                media_state_store=stores.media_state, task_store=stores.tasks, uploader=uploader,
                options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
            ) as manager:  # fmt: skip
                print("delivered:", manager.run_once().process.succeeded)
                print("receipts:", [task.receipt.remote_id for task in manager.tasks() if task.receipt])
