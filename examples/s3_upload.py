"""Deliver a folder to S3, with a progress bar. As it stands it starts an S3 server of its own and makes its files.

python examples/s3_upload.py                            try it
python examples/s3_upload.py --bucket NAME FOLDER       credentials from the environment, ~/.aws or the instance
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import boto3
from sample_media import make_clip

from media_watch_tasks import LocalMediaResolver, LocalMediaScanner, SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.cli.progress import delivery_progress
from media_watch_tasks.spool import PendingStore
from media_watch_tasks.testing.s3 import StrictS3
from media_watch_tasks.uploaders import S3Uploader

MIB = 1 << 20
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", type=Path)
parser.add_argument("--bucket")
arguments = parser.parse_args()

with ExitStack() as stack:
    state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    source, client = arguments.folder, None
    if source is None:
        source = make_clip(state / "source" / "2026" / "clip.mp4").parent.parent
        (source / "long.mov").write_bytes(os.urandom(24 * MIB))  # goes in parts
    if arguments.bucket is None:
        server = stack.enter_context(StrictS3())
        client = boto3.client(
            "s3", endpoint_url=server.url, region_name=server.region,
            aws_access_key_id=server.credentials.access_key, aws_secret_access_key=server.credentials.secret_key,
        )  # fmt: skip
    uploader = S3Uploader(arguments.bucket or "media", "camera/{path}", client=client, multipart_threshold=16 * MIB)
    uploader.check()
    stores = stack.enter_context(SqliteStores(state / "watch.db"))
    manager = stack.enter_context(
        TaskManager(
            media_scanner=LocalMediaScanner(source), media_resolver=LocalMediaResolver(source),
            media_state_store=stores.media_state, task_store=stores.tasks,
            uploader=uploader, pending=PendingStore(state / "spool"),
            options=TaskManagerOptions(settle_for=timedelta(0), first_scan="enqueue"),
        )
    )  # fmt: skip
    with delivery_progress(manager):
        print("delivered:", manager.run_once().process.succeeded)
    for task in manager.tasks():
        if task.receipt is not None:
            print(task.receipt.remote_id, task.receipt.size, "verified" if task.receipt.verified else "")
