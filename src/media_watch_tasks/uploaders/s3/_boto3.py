"""The one place where boto3 is imported: the client that is used where none is given, and what botocore raises."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from media_watch_tasks.errors import MissingDependencyError

try:
    import boto3
    from botocore import exceptions
    from botocore.awsrequest import AWSResponse
    from botocore.config import Config
    from botocore.httpsession import create_urllib3_context, get_cert_path
except ImportError as error:
    raise MissingDependencyError("S3Uploader", package="boto3", extra="s3") from error

__all__ = ["ERRORS", "AWSResponse", "exceptions", "make_client", "quiet", "tls_context"]

ERRORS = (exceptions.BotoCoreError, exceptions.ClientError)
"""Everything that botocore raises on purpose."""

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


def tls_context(client: Any, url: str) -> ssl.SSLContext | None:  # noqa: ANN401 - as above
    """What the client trusts, for connections of our own to the URL; None where that has no TLS.

    Raises:
        ValueError: the client goes there in a way of its own: by a proxy, with a certificate, without verifying.
        AttributeError: it is no client that botocore made.
    """
    session = client._endpoint.http_session  # noqa: SLF001 - botocore tells nobody what it verifies with
    if session._cert_file or session._verify is False or session._proxy_config.proxy_url_for(url):  # noqa: SLF001 - as above
        raise ValueError(f"{url} is reached in a way of its own")
    if not url.startswith("https"):
        return None
    context: ssl.SSLContext = create_urllib3_context()
    context.load_verify_locations(cafile=get_cert_path(session._verify))  # noqa: SLF001 - as above
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    return context
