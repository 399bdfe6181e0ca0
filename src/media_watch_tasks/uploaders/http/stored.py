"""What stands at a destination over HTTP: looked for, read again, compared."""

from __future__ import annotations

import hashlib

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import PermanentError
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.classification import error_for
from media_watch_tasks.http.origins import absolute, origin_of, shown
from media_watch_tasks.http.session import Headers, HttpSession
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.hashing import source_sha256
from media_watch_tasks.uploaders.http.digests import stored_sha256
from media_watch_tasks.uploaders.http.url_template import UrlTemplate

__all__ = ["StoredObjects"]

# What says something about the object; refused credentials, and trouble that passes, are raised.
_LOOK = frozenset(range(200, 500)) - {401, 407, 408, 421, 425, 429} | {501}
_FOUND = 200
_GONE = frozenset({404, 410})
_WANT = {"Want-Repr-Digest": "sha-256=10", "Cache-Control": "no-cache"}


class StoredObjects:
    """Looks at objects by their URLs."""

    def __init__(self, session: HttpSession, template: UrlTemplate) -> None:
        self._session = session
        self._template = template

    def find(self, url: str, media: ResolvedMedia, context: UploadContext, *, headers: Headers) -> UploadReceipt | None:
        """The receipt if the object has the size and hash of the source; see `HttpUploader.find_existing`."""
        standing = self.look(url, headers=headers, context=context)
        if standing is None or standing.headers.get("content-length") != str(media.size):
            return None
        expected = source_sha256(media, context)
        answer = standing
        found = stored_sha256(answer.headers)
        if found is None:
            reader = _Reader(context, media.size)
            answer = self._ask("GET", url, headers, context, reader=reader)
            if answer.status != _FOUND or reader.size != media.size:
                return None
            found = reader.sha256
        if found != expected:
            return None
        etag = answer.headers.get("etag")
        return UploadReceipt(shown(url), size=media.size, sha256=expected, etag=etag, verified=True)

    def look(self, url: str, *, headers: Headers, context: UploadContext) -> Answer | None:
        """What a HEAD says of the object; None where nothing is shown."""
        answer = self._ask("HEAD", url, headers, context)
        return answer if answer.status == _FOUND else None

    def verify(self, receipt: UploadReceipt, *, headers: Headers) -> bool:
        """See `HttpUploader.verify`."""
        reference = receipt.details.get("url") or receipt.remote_id
        if reference is None or receipt.sha256 is None:
            raise PermanentError("the receipt holds no URL, or no hash, to verify by")
        url = absolute(self._template.base, reference)
        if self._template.fixed_query:
            url += "?" + self._template.fixed_query
        reader = _Reader(None, receipt.size)
        answer = self._ask("GET", url, headers, None, reader=reader)
        if answer.status in _GONE:
            return False
        if answer.status != _FOUND:
            raise error_for(answer, clock=self._session.clock)
        return reader.sha256 == receipt.sha256 and receipt.size in {None, reader.size}

    def check(self) -> None:
        """See `HttpUploader.check`."""
        origin_of(self._template.base)
        self._ask("HEAD", self._template.base, {}, None)

    def _ask(
        self, method: str, url: str, headers: Headers, context: UploadContext | None, *, reader: _Reader | None = None
    ) -> Answer:
        def asked() -> dict[str, str]:
            return {**_WANT, **(headers() if callable(headers) else headers)}

        return self._session.request(
            method,
            url,
            headers=asked,
            expected=_LOOK,
            cancel=None if context is None else context.cancel,
            sink=None if reader is None else reader.take,
        )


class _Reader:
    """Hashes an object as it comes."""

    def __init__(self, context: UploadContext | None, total: int | None) -> None:
        self._context = context
        self._total = total
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, part: bytes) -> None:
        self._digest.update(part)
        self.size += len(part)
        if self._context is not None:
            self._context.progress(self.size, total=self._total, stage=Stage.HASH)
