"""TusUploader: uploads that go on where they were cut off, also after a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from media_watch_tasks.abc.uploader import Checks, Resumable, UploadContext, Uploader
from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import (
    AssetChanged,
    ConfigurationError,
    MediaWatchError,
    OperationCancelled,
    PermanentError,
)
from media_watch_tasks.http.authentication import HttpAuth
from media_watch_tasks.http.origins import shown, split_url
from media_watch_tasks.http.session import Headers, HttpSession
from media_watch_tasks.http.timeouts import HttpTimeouts
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.tus.protocol import TusProtocol
from media_watch_tasks.uploaders.tus.sending import Sending
from media_watch_tasks.uploaders.tus.state import UploadUrls

__all__ = ["TusUploader"]

_SMALLEST_CHUNK = 1 << 10


class TusUploader(Uploader, Resumable, Checks):
    """Delivers to a tus 1.0.0 server: creation, HEAD, PATCH in chunks, with checksums where the server offers them.

    What was cut off goes on at the byte that the server names, in the next attempt, and also after a restart of the
    process: at most one chunk is sent twice. A cut-off after some progress is mended within the attempt. Files of up to
    8 MiB are sent in one request where the server offers `creation-with-upload`. The last piece of a file leaves after
    the source was seen to end where it should. The server gets the name, the MIME type and the idempotency key as
    metadata (`filename`, `filetype`, `key`).

    Args:
        url: where uploads are created. User info in it is used for Basic authentication.
        chunk_size: bytes of a PATCH at most, and so the most that is sent twice. They are read as they are sent; where
            the server offers checksums, a PATCH has at most 8 MiB, which are in memory meanwhile.
        metadata: a callable that gives more metadata for a file.
        headers: a mapping, or a callable that gives one at each request; they may hold secrets.
        auth: an `HttpAuth` such as `BearerAuth`, or (user, password).
        client: an `httpx2.Client` of the application, see `new_client`; it is not closed.
        allowed_origins: other origins that uploads may stand at, as `https://uploads.example.org`. They get the bytes,
            and no credentials.
        keep_query: the URL of an upload may hold a secret in its query string, and such a URL is kept in memory only:
            after a restart of the process the upload begins anew. True: it goes to the database.
        timeouts: limits of connecting, stalling and answering.
        destination_id: by default `TusUploader:` and the URL without its query string.
        clock: for waits and Retry-After.

    Raises:
        MissingDependencyError: httpx2 is not installed.
        ConfigurationError: a setting that makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        chunk_size: int = 64 << 20,
        metadata: Callable[[ResolvedMedia], Mapping[str, str]] | None = None,
        headers: Headers | None = None,
        auth: HttpAuth | tuple[str, str] | None = None,
        client: object | None = None,
        allowed_origins: Collection[str] = (),
        keep_query: bool = False,
        timeouts: HttpTimeouts | None = None,
        destination_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if chunk_size < _SMALLEST_CHUNK:
            raise ConfigurationError(f"chunk_size must be at least {_SMALLEST_CHUNK} bytes, not {chunk_size}")
        if isinstance(allowed_origins, str):
            raise ConfigurationError("allowed_origins must be a collection of URLs, not one text")
        self._target = shown(url)
        self._session = HttpSession(
            url, feature="TusUploader", auth=auth, headers=headers, client=client, timeouts=timeouts, clock=clock
        )
        self._protocol = TusProtocol(self._session, split_url(url).url, allowed_origins=allowed_origins)
        self._urls = UploadUrls(keep_query=keep_query)
        self._chunk_size = chunk_size
        self._metadata = metadata
        self._destination_id = destination_id

    @property
    def target(self) -> str:
        """The URL without user info and query string, for people."""
        return self._target

    @property
    def destination_id(self) -> str:
        """As given, else the class name and the target."""
        return super().destination_id if self._destination_id is None else self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Send what has not arrived yet.

        Raises:
            TransientError: an answer that asks to try again, a reset, a stall, no answer, a wrong checksum.
            PermanentError: the server takes no file of this size.
            DestinationOfflineError: no connection.
            AuthenticationRequiredError, RateLimited, DestinationFull, ConfigurationError: by status, see `error_for`.
            AssetChanged: the file is not what the asset says; what had arrived is removed.
            OperationCancelled: where the task was cancelled for good, what had arrived is removed.
        """
        sending = Sending(
            media,
            context,
            self._protocol,
            self._urls,
            chunk_size=self._chunk_size,
            metadata=self._described(media, context),
            clock=self._session.clock,
        )
        try:
            return sending.run()
        except OperationCancelled as stopped:
            if stopped.reason is CancelReason.USER:
                self._remove(sending.url)
            raise
        except (AssetChanged, PermanentError):
            self._remove(sending.url)
            raise
        except MediaWatchError:
            raise
        except Exception:
            # A context says by an exception of its own that the source is another version now.
            if sending.confirming:
                self._remove(sending.url)
            raise

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove an unfinished upload from the server, where the server can do that."""
        url = self._urls.url(resume_state)
        if url is not None:
            self._protocol.terminate(self._protocol.checked(url))
        self._urls.forget(str(resume_state.get("key")))

    def check(self) -> None:
        """Ask the server what it offers.

        Raises:
            ConfigurationError: no tus server of version 1.0.0 answers there, or one that creates no uploads.
        """
        offered = self._protocol.offered(again=True)
        if "creation" not in offered.extensions:
            raise ConfigurationError(f"{self._target} does not offer to create uploads: is it the URL of a tus server?")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._target}>"

    def _described(self, media: ResolvedMedia, context: UploadContext) -> dict[str, str]:
        own = {"filename": media.name, "filetype": media.mime_type, "key": context.key}
        return own if self._metadata is None else {**own, **self._metadata(media)}

    def _remove(self, url: str | None) -> None:
        # The task has ended, one way or another: what cannot be removed now, the server lets expire.
        if url is not None:
            with contextlib.suppress(MediaWatchError):
                self._protocol.terminate(url)
