"""Bucket: the calls to S3, with errors said in the library's words, and credentials renewed once where they expired."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import AuthenticationRequiredError, MediaWatchError, PermanentError
from media_watch_tasks.uploaders.s3._boto3 import ERRORS, quiet
from media_watch_tasks.uploaders.s3._direct import Direct
from media_watch_tasks.uploaders.s3._failures import code_of, from_boto, status_of
from media_watch_tasks.uploaders.s3.standing import Standing

__all__ = ["Bucket", "Told"]

_FORBIDDEN = 403
_UNCLEAR = frozenset({"400", "403"})
_MISSING = frozenset({"404", "NoSuchKey"})


class Told(Exception):  # noqa: N818 - an answer that the caller asked to hear of
    """S3 answered with one of the codes that the caller deals with."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Way:
    """A client, and what goes past it."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - as in `_boto3`
        self.client = client
        self.direct = Direct(client)

    def call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self.direct.call(operation, parameters)
        if answer is None:
            with quiet():
                found: Mapping[str, Any] = getattr(self.client, operation)(**parameters)
            return found
        return answer


class Bucket:
    """Thread-safe. `make` gives a client, and is asked for another one when credentials were refused."""

    def __init__(self, name: str, make: Callable[[], Any], *, clock: Clock) -> None:
        self.name = name
        self._make = make
        self._clock = clock
        self._way = _Way(make())
        self._lock = threading.Lock()

    def call(self, operation: str, *, doing: str, told: Collection[str] = (), **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the parameters of S3's API
        """Call the operation of this bucket.

        Args:
            operation: the name of the client's method.
            doing: for the message of an error.
            told: error codes that the caller deals with.
            parameters: of the operation, without the bucket.

        Raises:
            Told: S3 answered with one of those codes.
            MediaWatchError: any other error, classified.
        """
        way = self._way
        try:
            return self._once(way, operation, doing=doing, told=told, parameters=parameters)
        except AuthenticationRequiredError:
            if not self._renew(way):
                raise
            body = parameters.get("Body")
            if body is not None and hasattr(body, "seek"):
                body.seek(0)
            return self._once(self._way, operation, doing=doing, told=told, parameters=parameters)

    def head(self, key: str, *, must_know: bool = False) -> Standing | None:
        """What stands under the key; None if nothing does.

        S3 answers HEAD without a word: a refusal may mean expired credentials, or a key that is not there and that the
        credentials may not ask for. Unless the caller must know, that counts as nothing: the next call says more.
        """
        told = _MISSING if must_know else _MISSING | _UNCLEAR
        try:
            answer = self.call("head_object", doing=f"HEAD {key}", told=told, Key=key, ChecksumMode="ENABLED")
        except Told:
            return None
        return Standing.from_head(answer)

    def parts(self, key: str, upload_id: str) -> Iterator[Mapping[str, Any]]:
        """Every part that has arrived of an upload. Raises `Told("NoSuchUpload")` where it is unknown."""
        marker = 0
        while True:
            page = self.call(
                "list_parts", doing=f"ListParts {key}", told={"NoSuchUpload"},
                Key=key, UploadId=upload_id, PartNumberMarker=marker,
            )  # fmt: skip
            yield from page.get("Parts", ())
            if not page.get("IsTruncated"):
                return
            marker = int(page["NextPartNumberMarker"])

    def abort(self, key: str, upload_id: str) -> None:
        """Remove the parts of an upload; one that is gone already is no error."""
        with contextlib.suppress(Told):
            self.call(
                "abort_multipart_upload", doing=f"AbortMultipartUpload {key}", told={"NoSuchUpload", "404"},
                Key=key, UploadId=upload_id,
            )  # fmt: skip

    def close(self, *, client_too: bool) -> None:
        """Close the client's connections, and those beside it."""
        self._way.direct.close()
        if client_too:
            self._way.client.close()

    def _once(
        self,
        way: _Way,
        operation: str,
        *,
        doing: str,
        told: Collection[str],
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        try:
            return way.call(operation, {"Bucket": self.name, **parameters})
        except ERRORS as error:
            if code_of(error) in told:
                raise Told(code_of(error)) from None
            raise self._classified(way.client, error, operation, doing) from error

    def _classified(self, client: Any, error: Exception, operation: str, doing: str) -> MediaWatchError:  # noqa: ANN401 - as in `_boto3`
        found = from_boto(error, doing=doing, clock=self._clock)
        if not isinstance(found, PermanentError) or status_of(error) != _FORBIDDEN or operation == "head_bucket":
            return found
        # Is it this object, or is it the bucket? A policy that was changed must not end every task for good.
        try:
            with quiet():
                client.head_bucket(Bucket=self.name)
        except ERRORS as of_bucket:
            if status_of(of_bucket) == _FORBIDDEN:
                return AuthenticationRequiredError(
                    f"{found}; the bucket {self.name} refuses these credentials altogether", party="destination"
                )
        return found

    def _renew(self, refused: _Way) -> bool:
        """Another client, made once for all threads that saw the old one refused."""
        with self._lock:
            if self._way is refused:
                fresh = self._make()
                if fresh is refused.client:
                    return False
                # The old one is not closed: other threads may be sending with it.
                self._way = _Way(fresh)
            return True
