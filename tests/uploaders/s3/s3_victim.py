"""A program that watches a folder and delivers to S3, to be killed by a test: FOLDER DATABASE URL ACCESS_KEY."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import boto3
from botocore.config import Config

from media_watch_tasks import SqliteStores, TaskManager, TaskManagerOptions
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.uploaders import S3Uploader

folder, database, url, access_key = sys.argv[1:]
client = boto3.client(
    "s3",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id=access_key,
    aws_secret_access_key=os.environ["VICTIM_SECRET"],
    config=Config(s3={"addressing_style": "path"}),
)
with (
    SqliteStores(database) as stores,
    TaskManager(
        media_scanner=LocalMediaScanner(folder),
        media_resolver=LocalMediaResolver(folder),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=S3Uploader("media", client=client, part_size=5 << 20, multipart_threshold=6 << 20, concurrency=1),
        options=TaskManagerOptions(
            settle_for=timedelta(0), crash_backoff=timedelta(0), first_scan="enqueue", workers=1
        ),
    ) as manager,
):
    manager.run_once()
    print(manager.counts(), flush=True)  # noqa: T201 - what the test reads
