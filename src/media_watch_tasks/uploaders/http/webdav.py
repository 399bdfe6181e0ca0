"""WebdavUploader: a file is sent under a temporary name, and moved to its own once it is whole."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from media_watch_tasks.abc.uploader import RemovesUnfinished, UploadContext
from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AlreadyExists,
    ConfigurationError,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
    TransientError,
)
from media_watch_tasks.http.authentication import HttpAuth
from media_watch_tasks.http.bodies import CHUNK
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.timeouts import HttpTimeouts
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.http.folders import RemoteFolders
from media_watch_tasks.uploaders.http.uploader import HttpUploader, IfExists, SendDigest

__all__ = ["WebdavUploader"]

_log = logging.getLogger(__name__)
_TEMPORARY = "temporary"
_GONE = frozenset({404, 410})
_NO_FOLDER = frozenset({404, 409})
_NO_MOVE = frozenset({405, 501})
_MOVED, _TAKEN, _IN_PART = frozenset({201, 204}), 412, 207
_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)", re.IGNORECASE)


class WebdavUploader(HttpUploader, RemovesUnfinished):
    """Delivers to a WebDAV server (RFC 4918): PUT to a temporary name beside the file's own, then MOVE.

    A reader never sees half a file under its name, whatever breaks in between: the server, the line, this process. The
    temporary name (`.mwt-….tmp`, another one for each attempt) is kept with the task, so that the next attempt, or the
    next run of the manager, removes what a cut-off one left. Folders that the template names are made. Everything else
    is as with `HttpUploader`.

    Args:
        url_template: where a file goes; see `UrlTemplate`. It has no query string.
        headers: as for `HttpUploader`.
        auth: as for `HttpUploader`.
        client: as for `HttpUploader`.
        if_exists: `refuse`: a new file is moved with `Overwrite: F`, so that the server itself refuses to replace what
            came meanwhile; a newer version replaces the earlier one only while the server names the ETag of its
            receipt. `replace`: whatever stands there is replaced.
        digest: as for `HttpUploader`.
        timeouts: limits of connecting, stalling and answering.
        destination_id: by default `WebdavUploader:` and the template.
        clock: for Retry-After.

    Raises:
        MissingDependencyError: httpx2 is not installed.
        ConfigurationError: a setting that makes no sense.
    """

    def __init__(
        self,
        url_template: str,
        *,
        headers: Mapping[str, str] | Callable[..., Mapping[str, str]] | None = None,
        auth: HttpAuth | tuple[str, str] | None = None,
        client: object | None = None,
        if_exists: IfExists = "refuse",
        digest: SendDigest = "known",
        timeouts: HttpTimeouts | None = None,
        destination_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            url_template, headers=headers, auth=auth, client=client, if_exists=if_exists, digest=digest,
            timeouts=timeouts, destination_id=destination_id, clock=clock,
        )  # fmt: skip
        if "?" in self._template.text:
            raise ConfigurationError(f"WebDAV names files by their path: {self._template.shown} must have no query")
        self._folders = RemoteFolders(self._session, self._template.base)

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Send the file under another name, and give it its own.

        Raises:
            AlreadyExists: something else stands at the URL; nothing is sent then.
            PermanentError: a control character in the name.
            ConfigurationError: the server knows no MOVE, or redirects.
            TransientError and all others: as `HttpUploader.upload`.
        """
        url = self._template.render(media.asset, context.key)
        if _CONTROL.search(url):
            raise PermanentError(
                f"{media.asset.display}: WebDAV servers hide names with a line break or another control character, so"
                " that nobody would find the file; rename it, or use a template such as {key}"
            )
        self._remove_earlier(context)
        try:
            overwrites = self._may_overwrite(url, media, context)  # gigabytes that may not stand there need not be sent
        except AlreadyExists as conflict:
            return self._deduplicated(conflict, media, context)
        self._folders.make(url, headers=self._for_media({}, media), cancel=context.cancel)
        place = f"{url.rpartition('/')[0]}/.mwt-{context.key[:16]}-{os.urandom(4).hex()}.tmp"
        context.save_resume_state({_TEMPORARY: shown(place)})
        try:
            receipt = self._sent(place, media, context)
            context.confirm()
            if overwrites or media.size > CHUNK:  # for a small new file the server's own refusal is enough
                overwrites = self._may_overwrite(url, media, context)
            self._move(place, url, media, context, overwrites=overwrites)
            return self._published(url, receipt, media, context)
        except AlreadyExists as conflict:
            self._remove_quietly(place)
            return self._deduplicated(conflict, media, context)
        except TransientError:
            raise  # the next attempt removes it: now the server may be at work on it still
        except OperationCancelled as stopped:
            if stopped.reason is CancelReason.USER:
                self._remove_quietly(place)
            raise
        except MediaWatchError:
            self._remove_quietly(place)
            raise

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """As `HttpUploader.find_existing`; what a cut-off attempt left beside it is removed."""
        found = super().find_existing(media, context)
        if found is not None:
            self._remove_earlier(context)
        return found

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove what stands under the temporary name of a cut-off upload.

        Raises:
            PermanentError: the server does not let it be removed.
            TransientError: not now: it may still be at work on it.
        """
        place = resume_state.get(_TEMPORARY)
        if isinstance(place, str) and place.startswith(shown(self._template.base)):
            self._remove(place)

    def check(self) -> None:
        """Ask what the server can do: no connection, refused credentials and server errors are raised.

        Raises:
            ConfigurationError: no WebDAV server answers there.
        """
        answer = self._session.request("OPTIONS", self._template.base, expected={200, 204, *_NO_MOVE})
        if "dav" not in answer.headers:
            raise ConfigurationError(f"{self.target}: no WebDAV server answers there; HttpUploader needs none")

    # ---- the steps

    def _sent(self, place: str, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        answer, sha256 = self._send(place, media, context, conditions={}, expected=_NO_FOLDER)
        if answer.status in _NO_FOLDER:
            raise self._folders.missing(place)
        return self._judged(answer, media, sha256)

    def _move(self, place: str, url: str, media: ResolvedMedia, context: UploadContext, *, overwrites: bool) -> None:
        overwrite = "T" if overwrites else "F"
        answer = self._session.request(
            "MOVE", place, headers=self._for_media({"Destination": url, "Overwrite": overwrite}, media),
            expected={*_MOVED, *_GONE, *_NO_MOVE, _TAKEN, _IN_PART}, cancel=context.cancel,
        )  # fmt: skip
        if answer.status in _MOVED:
            return
        what = f"MOVE to {shown(url)} was answered {answer.status}"
        if answer.status == _TAKEN:
            raise AlreadyExists(f"{what}: something stands there by now")
        if answer.status in _NO_MOVE:
            raise ConfigurationError(f"{what}: the server cannot do that; HttpUploader needs PUT alone")
        raise TransientError(f"{what}: what was sent is no longer there as it was")

    def _published(
        self, url: str, receipt: UploadReceipt, media: ResolvedMedia, context: UploadContext
    ) -> UploadReceipt:
        standing = self._stored.look(url, headers=self._for_media({}, media), context=context)
        size = None if standing is None else standing.headers.get("content-length")
        if standing is None or size not in {None, str(media.size)}:
            raise TransientError(f"{shown(url)} does not show the {media.size} bytes that were moved there")
        return attrs.evolve(receipt, remote_id=shown(url), etag=standing.headers.get("etag"))

    def _may_overwrite(self, url: str, media: ResolvedMedia, context: UploadContext) -> bool:
        """True where the earlier version stands there. Raises `AlreadyExists` where anything else does."""
        if self._if_exists == "replace":
            return True
        standing = self._stored.look(url, headers=self._for_media({}, media), context=context)
        if standing is None:
            return False
        previous = context.previous
        if (
            previous is not None
            and previous.remote_id == shown(url)
            and previous.etag in {None, standing.headers.get("etag")}
        ):
            return True
        raise AlreadyExists(f"something stands at {shown(url)} that is not the earlier version of this file")

    # ---- what is left over

    def _remove(self, place: str) -> None:
        # Without the token of the upload: this is what is done when it was cancelled.
        self._session.request("DELETE", place, expected={200, 204, *_GONE})

    def _remove_earlier(self, context: UploadContext) -> None:
        try:
            self.abort(context.resume_state or {})
        except (PermanentError, ConfigurationError) as error:
            _log.warning("what a cut-off upload left cannot be removed: %s", redact(str(error)))

    def _remove_quietly(self, place: str) -> None:
        with contextlib.suppress(MediaWatchError):
            self._remove(place)
