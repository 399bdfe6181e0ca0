"""PresignedUploader: init, transfer, complete, status: four steps with a server, each of them a method to override."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from media_watch_tasks.abc.uploader import RemovesUnfinished, UploadContext, Uploader
from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.clock import Clock, to_ns
from media_watch_tasks.errors import (
    AlreadyExists,
    AssetChanged,
    AssetNotFound,
    ConfigurationError,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
    TransientError,
)
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.authentication import HttpAuth
from media_watch_tasks.http.bodies import Body, MediaBody, MultipartBody
from media_watch_tasks.http.origins import origin_of, same_origin, shown
from media_watch_tasks.http.session import DONE, BytesBody, Headers, HttpSession
from media_watch_tasks.http.timeouts import HttpTimeouts
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.presigned.steps import (
    Artwork,
    Grant,
    RemoteState,
    RemoteStatus,
    UploadTarget,
    read_grant,
    read_status,
)

__all__ = ["PresignedUploader"]

_log = logging.getLogger(__name__)
_ACCEPTED = DONE | {202}
_CONFLICT, _GONE = 409, frozenset({404, 410})
# S3 answers so when a URL has expired, or the credentials behind it have.
_REFUSED = frozenset({400, 401, 403})
_GOOD = range(200, 300)
# Of the state that is kept: no URL, no field, no header.
_ID, _KEY, _SHA256 = "upload_id", "key", "sha256"


class PresignedUploader(Uploader, RemovesUnfinished):
    """Asks a server where to upload, sends the file there, says that it is done, and waits until it was processed.

    The default steps, below `url` (override a method for a server that speaks otherwise):

    - `init`: POST `init` with `title`, `artist`, `extension`, `size`, `content_type` and `artwork_extension`. The answer
      has `id` and `upload_url`, where a form is wanted `upload_fields`, where headers are `upload_headers`; the same with
      `artwork_` before them; or a `status` if the server has this version.
    - `transfer`: PUT, or POST of a form, to the upload URL.
    - `complete`: POST `{id}/complete` with `size` and `sha256`.
    - `status`: GET `{id}`. The answer has `status` (pending, processing, completed or failed), `progress` in per cent,
      `error`, `remote_id`, `sha256`.
    - `discard`: DELETE `{id}`.

    Every request to the server carries the task's key as `Idempotency-Key`: a server that answers a repeated `init` with
    the id of the upload that still waits, and a fresh URL, has it gone on with, after a failure and after a restart; one
    that names another id has the earlier upload discarded. What had arrived as a whole is not sent again. The id is what
    is kept; upload URLs are secrets: they go into no log, message or database, and must be of the server's own origin or
    of one in `upload_origins`. Credentials go to the server's origin alone. Redirects are never followed.

    An upload whose task ends without a delivery is discarded, if need be by a later run. One that is still processed
    when `poll_limit` is over counts as failed, and the next attempt goes on waiting for it.

    Args:
        url: of the server's endpoints.
        upload_origins: where else upload URLs may point, such as `https://bucket.s3.amazonaws.com`.
        auth: credentials for the server; see `HttpAuth`.
        headers: more headers for the server; may hold secrets.
        artwork: gives the picture that goes with a file, None if it has none.
        max_size: bytes; a larger file is refused before anything is sent.
        poll_every: between two looks at the status.
        poll_limit: how long it waits for the processing.
        client: an `httpx2.Client`; see `new_client`.
        timeouts: limits of a request.
        destination_id: by default `PresignedUploader:` and the URL.
        clock: for waits.

    Raises:
        MissingDependencyError: httpx2 is not installed.
        ConfigurationError: a setting that makes no sense.
    """  # noqa: E501 - a table

    def __init__(
        self,
        url: str,
        *,
        upload_origins: Collection[str] = (),
        auth: HttpAuth | tuple[str, str] | None = None,
        headers: Headers | None = None,
        artwork: Callable[[ResolvedMedia], Artwork | None] | None = None,
        max_size: int | None = None,
        poll_every: timedelta = timedelta(seconds=2),
        poll_limit: timedelta = timedelta(minutes=5),
        client: Any = None,  # noqa: ANN401 - an httpx2.Client, which is not there without the extra
        timeouts: HttpTimeouts | None = None,
        destination_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if poll_every <= timedelta(0) or poll_limit < poll_every:
            raise ConfigurationError("poll_every must be longer than nothing, and poll_limit no shorter than it")
        if isinstance(upload_origins, str):
            raise ConfigurationError("upload_origins must be a collection of origins, not one text")
        self._session = HttpSession(
            url, feature="PresignedUploader", auth=auth, headers=headers, client=client, timeouts=timeouts, clock=clock
        )
        self._url = shown(url).rstrip("/")
        self._allowed = frozenset({origin_of(url), *(origin_of(other) for other in upload_origins)})
        self._artwork = artwork
        self._max_size = max_size
        self._poll_every = poll_every
        self._poll_limit = poll_limit
        self._destination_id = destination_id

    @property
    def target(self) -> str:
        """The URL of the server, without user info and query."""
        return self._url

    @property
    def destination_id(self) -> str:
        """As given, else the class name and the URL."""
        return super().destination_id if self._destination_id is None else self._destination_id

    # ---- the steps

    def init(self, media: ResolvedMedia, context: UploadContext, artwork: Artwork | None) -> Grant:
        """Ask the server where to upload."""
        found = media.metadata
        stem, extension = os.path.splitext(media.name)
        wish = {
            "title": (found.title if found is not None else None) or stem,
            "artist": found.tags.get("artist") if found is not None else None,
            "extension": extension.lstrip(".").lower(),
            "size": media.size,
            "content_type": media.mime_type,
            "artwork_extension": None if artwork is None else artwork.extension,
        }
        return read_grant(self.ask("POST", "init", context, json=wish).json())

    def transfer(self, target: UploadTarget, body: Body, *, name: str, mime_type: str, context: UploadContext) -> None:
        """Send bytes to where the server said."""
        self._check_origin(target.url)
        headers = dict(target.headers)
        sent = body
        if target.method == "POST":
            form = MultipartBody(
                body, field_name="file", file_name=name, content_type=mime_type, fields=target.fields
            )  # fmt: skip
            headers["Content-Type"] = form.content_type
            sent = form
        elif not any(header.lower() == "content-type" for header in headers):
            headers["Content-Type"] = mime_type
        foreign = not same_origin(target.url, self._url)
        answer = self._session.request(
            target.method, target.url, headers=headers, body=sent, cancel=context.cancel,
            expected=DONE | (_REFUSED if foreign else {403}),
        )  # fmt: skip
        if answer.status not in _GOOD:
            raise TransientError(
                f"the upload URL {shown(target.url)} was refused ({answer.status}): it may have expired; the next"
                " attempt asks for another"
            )

    def complete(self, upload_id: str, media: ResolvedMedia, context: UploadContext, *, sha256: str | None) -> None:
        """Tell the server that everything was sent. It having heard that before is no error."""
        answer = self.ask(
            "POST", f"{quote(upload_id, safe='')}/complete", context,
            json={"size": media.size, "sha256": sha256}, expected=_ACCEPTED | {_CONFLICT} | _GONE,
        )  # fmt: skip
        if answer.status in _GONE:
            raise TransientError(f"the server has lost the upload {upload_id}")

    def status(self, upload_id: str, context: UploadContext) -> RemoteStatus | None:
        """How far the server is; None if it does not know the upload (any more)."""
        answer = self.ask("GET", quote(upload_id, safe=""), context, expected=DONE | _GONE)
        return None if answer.status in _GONE else read_status(answer.json())

    def discard(self, upload_id: str, key: str) -> None:
        """Ask the server to forget an upload and what was sent of it. `key`: of its task."""
        # Without the token: this is what is done when it was cancelled.
        self._session.request(
            "DELETE", f"{self._url}/{quote(upload_id, safe='')}", headers={"Idempotency-Key": key},
            expected=_ACCEPTED | _GONE,
        )  # fmt: skip

    def ask(
        self,
        method: str,
        path: str,
        context: UploadContext,
        *,
        json: object = None,
        expected: Collection[int] = _ACCEPTED,
    ) -> Answer:
        """A request to the server, with the task's key."""
        return self._session.request(
            method, f"{self._url}/{path}", json=json, expected=expected, cancel=context.cancel,
            headers={"Idempotency-Key": context.key},
        )  # fmt: skip

    # ---- the upload

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Take the steps.

        Raises:
            PermanentError: the server refuses the file, or could not process it.
            ConfigurationError: a redirect, or an upload URL of an origin that is not allowed.
            TransientError: a failure of the server, an expired upload URL, or processing that takes too long.
            AuthenticationRequiredError: the server refuses the credentials.
            DestinationOfflineError, DestinationFull, RateLimited: the server is away, full, or wants to be left alone.
            AssetChanged: the file is not what the asset says.
        """
        if self._max_size is not None and media.size > self._max_size:
            raise PermanentError(
                f"{media.asset.display} has {media.size} bytes, more than the {self._max_size} allowed"
            )
        earlier = self._go_on(media, context)
        if isinstance(earlier, UploadReceipt):
            return earlier
        artwork = None if self._artwork is None else self._artwork(media)
        context.progress(0, total=media.size, stage=Stage.INITIALISE)
        grant = self.init(media, context, artwork)
        if earlier is not None and earlier != grant.upload_id:
            self._discard_quietly(earlier, context)
        if grant.file is None:
            if grant.status is None or grant.status.state not in {RemoteState.COMPLETED, RemoteState.PROCESSING}:
                raise TransientError("the server's answer to init names no upload URL")
            context.confirm()
            return self._wait(grant.upload_id, media, context, sha256=media.sha256)
        try:
            sha256 = self._send(grant, grant.file, media, artwork, context)
            context.confirm()
            # Whatever happens from here on, the server may have all it needs: the next attempt asks for the status.
            self.complete(grant.upload_id, media, context, sha256=sha256)
            return self._wait(grant.upload_id, media, context, sha256=sha256)
        except OperationCancelled as stopped:
            # After any other reason somebody goes on with it: the next attempt, or by now another worker.
            if stopped.reason is CancelReason.USER:
                self._discard_quietly(grant.upload_id, context)
            raise
        except (AlreadyExists, AssetChanged, AssetNotFound, PermanentError, ConfigurationError):
            self._discard_quietly(grant.upload_id, context)
            raise

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Ask the server to forget a cut-off upload, and what was sent of it."""
        upload_id, key = resume_state.get(_ID), resume_state.get(_KEY)
        if isinstance(upload_id, str) and isinstance(key, str):
            self.discard(upload_id, key)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"

    def _go_on(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | str | None:
        """What an earlier attempt left: its receipt, once the server is done too; the id of what still waits for bytes.

        None: nothing.
        """
        state = context.resume_state or {}
        upload_id, sent = state.get(_ID), state.get(_SHA256)
        if not isinstance(upload_id, str):
            return None
        sha256 = sent if isinstance(sent, str) else None
        found = self.status(upload_id, context)
        if found is None or found.state is RemoteState.FAILED:
            if found is not None:
                self._discard_quietly(upload_id, context)
            context.save_resume_state(None)
            return None
        if found.state is not RemoteState.PENDING:
            context.confirm()
            return self._wait(upload_id, media, context, sha256=sha256)
        if sha256 is None:
            return upload_id
        # Everything had arrived there, and only that was not said.
        context.confirm()
        self.complete(upload_id, media, context, sha256=sha256)
        try:
            return self._wait(upload_id, media, context, sha256=sha256)
        except PermanentError as error:
            raise TransientError(f"what an earlier attempt had sent cannot be used any more: {error}") from error

    def _send(
        self, grant: Grant, target: UploadTarget, media: ResolvedMedia, artwork: Artwork | None, context: UploadContext
    ) -> str | None:
        """Transfer everything; the SHA-256 of what was sent."""
        state = {_ID: grant.upload_id, _KEY: context.key}
        context.save_resume_state(state)
        if artwork is not None and grant.artwork is not None:
            self.transfer(
                grant.artwork, BytesBody(artwork.data), name=f"artwork.{artwork.extension}",
                mime_type=artwork.mime_type, context=context,
            )  # fmt: skip
        body = MediaBody(media, context)
        self.transfer(target, body, name=media.name, mime_type=media.mime_type, context=context)
        context.progress(media.size, total=media.size, stage=Stage.FINALISE)
        context.save_resume_state({**state, _SHA256: body.sha256})
        return body.sha256

    def _wait(
        self, upload_id: str, media: ResolvedMedia, context: UploadContext, *, sha256: str | None
    ) -> UploadReceipt:
        clock = self._session.clock
        ends_ns = clock.monotonic_ns() + to_ns(self._poll_limit)
        while True:
            found = self.status(upload_id, context)
            if found is None or found.state is RemoteState.PENDING:
                raise TransientError(f"the server has lost the upload {upload_id}")
            if found.state is RemoteState.COMPLETED:
                return _receipt(found, upload_id, media, sha256)
            if found.state is RemoteState.FAILED:
                context.save_resume_state(None)
                raise PermanentError(
                    f"the server could not process {media.asset.display}: {redact(found.error or '-')}"
                )
            context.progress(found.percent or 0, total=100, stage=Stage.PROCESSING)
            if clock.monotonic_ns() >= ends_ns:
                raise TransientError(f"the upload {upload_id} is still processed after {self._poll_limit}")
            clock.wait(context.cancel.event, self._poll_every.total_seconds())
            context.cancel.raise_if_cancelled()

    def _check_origin(self, url: str) -> None:
        if origin_of(url) not in self._allowed:
            raise ConfigurationError(
                f"the server wants the file at {shown(url)}, which is of another origin than {self._url}: name it in"
                " upload_origins if that is right"
            )

    def _discard_quietly(self, upload_id: str, context: UploadContext) -> None:
        try:
            self.discard(upload_id, context.key)
        except MediaWatchError as error:
            _log.warning("an upload could not be discarded: %s", redact(str(error)), extra={"upload_id": upload_id})
            return
        with contextlib.suppress(MediaWatchError):
            context.save_resume_state(None)


def _receipt(found: RemoteStatus, upload_id: str, media: ResolvedMedia, sha256: str | None) -> UploadReceipt:
    if found.sha256 is not None and sha256 is not None and found.sha256 != sha256:
        raise TransientError(f"the server holds other bytes than it was sent: {upload_id}")
    return UploadReceipt(
        found.remote_id or upload_id,
        size=media.size,
        sha256=sha256 or found.sha256,
        verified=found.sha256 is not None and found.sha256 == sha256,
        details={"upload_id": upload_id},
    )
