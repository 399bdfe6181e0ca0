"""What an error of S3 means for the task: by code first, then by status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    DestinationFull,
    DestinationOfflineError,
    MediaWatchError,
    PermanentError,
    RateLimited,
    TransientError,
)
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.classification import retry_delay
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.uploaders.s3._boto3 import exceptions

__all__ = ["code_of", "from_boto", "status_of"]

_CREDENTIALS = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "RequestExpired",
        "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
        "AccountProblem", "AllAccessDisabled", "NotSignedUp",
    }
)  # fmt: skip
_PASSING = frozenset(
    {
        "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "InternalError", "OperationAborted",
        "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException",
        "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidPart", "NoSuchUpload",
    }
)  # fmt: skip
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLargeForQuota"})
_BUCKET = frozenset({"NoSuchBucket", "BucketNotFound"})
_UNAUTHORIZED, _TOO_MANY, _FULL_STATUS, _SERVER = 401, 429, 507, 500
_PASSING_STATUSES = frozenset({408, 409, 425, _TOO_MANY})
_REDIRECTS = range(300, 400)
_NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.NoAuthTokenError,
    exceptions.TokenRetrievalError,
    exceptions.SSOTokenLoadError,
    exceptions.UnauthorizedSSOTokenError,
    exceptions.ProfileNotFound,
)
_NO_CONNECTION = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyConnectionError)
_WRONG_USE = (
    exceptions.ParamValidationError,
    exceptions.NoRegionError,
    exceptions.UnknownEndpointError,
    exceptions.InvalidEndpointConfigurationError,
)


def code_of(error: Exception) -> str:
    """The S3 error code; of answers without a body the status as text; `""` where no answer came."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_of(error: Exception) -> int:
    """The HTTP status of the answer, 0 where none came."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def from_boto(error: Exception, *, doing: str, clock: Clock) -> MediaWatchError:  # noqa: PLR0911 - a table: one return a row
    """The exception of this library that says what is to be done.

    Credentials that are missing, expired or refused: the destination pauses. No bucket: it pauses as one that is
    offline, and so it does where no connection can be made. 429 with a Retry-After: it pauses until then. Throttling,
    5xx, time-outs, lost connections: retried. A redirect: the settings are wrong. Any other
    refusal: permanent.
    """
    text = redact(f"S3: {doing}: {error}")
    code, status = code_of(error), status_of(error)
    if isinstance(error, _NO_CREDENTIALS) or code in _CREDENTIALS or status == _UNAUTHORIZED:
        return AuthenticationRequiredError(text, party="destination")
    if isinstance(error, _WRONG_USE) or status in _REDIRECTS or code == "AuthorizationHeaderMalformed":
        return ConfigurationError(f"{text}; look at the bucket, its region and the endpoint")
    if code in _BUCKET:
        return DestinationOfflineError(f"{text}; make the bucket, or correct its name")
    if code in _FULL or status == _FULL_STATUS:
        return DestinationFull(f"{text}; make room there")
    if isinstance(error, _NO_CONNECTION):
        return DestinationOfflineError(text)
    if status == _TOO_MANY and (delay := _retry_after(error, clock)) is not None:
        return RateLimited(text, until=clock.now() + delay)
    if status == 0 or status >= _SERVER or status in _PASSING_STATUSES or code in _PASSING:
        return TransientError(text, retry_after=_retry_after(error, clock))
    return PermanentError(text)


def _retry_after(error: Exception, clock: Clock) -> timedelta | None:
    """As for any other server; a date is compared with the date of the answer, so our clock does not matter."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    answer = Answer(method="", url="", status=status_of(error), headers=headers)
    return retry_delay(answer, clock=clock)
