"""A strict S3 server for tests: what it takes was signed, is of the announced length, and hashes as it was said to."""

from media_watch_tasks.testing.s3.faults import S3Fault
from media_watch_tasks.testing.s3.server import SeenRequest, StrictS3

__all__ = ["S3Fault", "SeenRequest", "StrictS3"]
