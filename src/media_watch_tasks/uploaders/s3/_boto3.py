"""The one place where boto3 is imported: the client that is used where none is given, and what botocore raises."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from media_watch_tasks.errors import MissingDependencyError

try:
    import boto3
    from botocore import exceptions
    from botocore.config import Config
except ImportError as error:
    raise MissingDependencyError("S3Uploader", package="boto3", extra="s3") from error

__all__ = ["exceptions", "make_client", "quiet"]

_LOGGERS = (
    "auth",
    "client",
    "endpoint",
    "hooks",
    "httpsession",
    "parsers",
    "regions",
    "retryhandler",
    "retries.standard",
)
_here = threading.local()


class _Quiet(logging.Filter):
    """At DEBUG botocore logs the headers of requests, which hold session tokens: not those of our requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or not getattr(_here, "quiet", False)


_quiet = _Quiet()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Around a call of the client."""
    for name in _LOGGERS:
        logging.getLogger(f"botocore.{name}").addFilter(_quiet)  # adding it again changes nothing
    _here.quiet = True
    try:
        yield
    finally:
        _here.quiet = False


_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_ATTEMPTS = 3


def make_client(*, connections: int) -> Any:  # noqa: ANN401 - boto3 makes the class of a client at run time
    """A client from the usual places: environment, `~/.aws`, instance role; read anew at every call.

    Args:
        connections: how many the pool keeps.
    """
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=connections,
        # The SHA-256 of every body is a signed header of its own: hashing it once more for the signature proves
        # nothing new, and CRCs beside it prove less.
        s3={"payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    return boto3.session.Session().client("s3", config=config)
