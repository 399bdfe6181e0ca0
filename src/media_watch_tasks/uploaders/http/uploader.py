"""HttpUploader: one request a file, PUT or POST, raw or as a form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, cast, get_args

import attrs

from media_watch_tasks.abc.uploader import Checks, FindsExisting, UploadContext, Uploader, Verifies
from media_watch_tasks.clock import Clock
from media_watch_tasks.errors import AlreadyExists, ConfigurationError, TransientError
from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.authentication import HttpAuth
from media_watch_tasks.http.bodies import MediaBody, MultipartBody
from media_watch_tasks.http.origins import shown
from media_watch_tasks.http.session import DONE, Headers, HttpSession
from media_watch_tasks.http.timeouts import HttpTimeouts
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.hashing import source_sha256
from media_watch_tasks.uploaders.http.digests import digest_headers, stored_sha256
from media_watch_tasks.uploaders.http.stored import StoredObjects
from media_watch_tasks.uploaders.http.url_template import UrlTemplate
from media_watch_tasks.uploaders.written import is_written_by_us, mark_as_ours

__all__ = ["HttpMethod", "HttpUploader", "IfExists", "SendDigest", "VerifyResponse"]

HttpMethod = Literal["PUT", "POST"]
IfExists = Literal["refuse", "replace"]
"""What becomes of an object that stands at the URL already."""
SendDigest = Literal["known", "always", "never"]
"""When the digest goes along in a header."""
VerifyResponse = Callable[[Answer, ResolvedMedia], UploadReceipt | bool | None]
"""Looks at an answer with an expected status: a receipt, or True or None for the usual one; False: not delivered."""


class HttpUploader(Uploader, FindsExisting, Verifies, Checks):
    """Sends each file as the body of one request, streamed, with its length and the header `Idempotency-Key`.

    Redirects are never followed. A server that answers before it has everything (401, 413) is understood at once. The
    SHA-256 of what was sent stands in the receipt; where the answer names the digest of what was stored (`Repr-Digest`,
    `Digest`, `OC-Checksum`, `X-Checksum-Sha256`), it is compared, and the receipt is `verified`.

    Args:
        url_template: where a file goes; see `UrlTemplate`. User info in it is used for Basic authentication.
        method: PUT, or POST.
        field_name: send a form (`multipart/form-data`) with the file in this field, instead of the bare bytes.
        fields: texts that stand before the file in the form.
        headers: a mapping, or a callable that gives one at each request, with the `ResolvedMedia` if it takes a
            parameter. They may hold secrets.
        auth: an `HttpAuth` such as `BearerAuth`, or (user, password). A 401 asks it for newer credentials, once for all
            threads, and the request is sent again; without newer ones the destination pauses.
        client: an `httpx2.Client` of the application, see `new_client`; it is not closed.
        verify_response: looks at the answer; see `VerifyResponse`.
        expected: statuses that mean that the bytes are durable. 202 does not, unless the server says otherwise.
        if_exists: PUT only. `refuse`: a new file is sent with `If-None-Match: *`, and a newer version with `If-Match`
            and the ETag of the earlier one's receipt: a server that knows these headers then overwrites no stranger.
            `replace`: neither is sent.
        digest: send `Repr-Digest` and `Content-Digest`: `known`: where the hash is known without reading the file
            twice, as it is up to 1 MiB; `always`: larger files are hashed first; `never`. Not with forms.
        idempotency_header: carries the key; None leaves it out.
        timeouts: limits of connecting, stalling and answering.
        destination_id: by default `HttpUploader:` and the template without its query string.
        clock: for Retry-After.

    Raises:
        MissingDependencyError: httpx2 is not installed.
        ConfigurationError: a setting that makes no sense.
    """

    def __init__(
        self,
        url_template: str,
        *,
        method: HttpMethod = "PUT",
        field_name: str | None = None,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | Callable[..., Mapping[str, str]] | None = None,
        auth: HttpAuth | tuple[str, str] | None = None,
        client: object | None = None,
        verify_response: VerifyResponse | None = None,
        expected: Collection[int] = DONE,
        if_exists: IfExists = "refuse",
        digest: SendDigest = "known",
        idempotency_header: str | None = "Idempotency-Key",
        timeouts: HttpTimeouts | None = None,
        destination_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        for name, value, choices in (
            ("method", method, get_args(HttpMethod)),
            ("if_exists", if_exists, get_args(IfExists)),
            ("digest", digest, get_args(SendDigest)),
        ):
            if value not in choices:
                raise ConfigurationError(f"{name} must be one of {choices}, not {value!r}")
        if field_name is None and fields:
            raise ConfigurationError("fields belong to a form: give the field_name of the file too")
        self._template = UrlTemplate(url_template)
        if method == "PUT" and not self._template.names_files:
            raise ConfigurationError(
                f"PUT to {self._template.shown} would give every file the same URL; add a field such as {{path}}"
            )
        self._headers = headers if callable(headers) and _takes_media(headers) else None
        self._session = HttpSession(
            self._template.url,
            feature="HttpUploader",
            auth=auth,
            headers=None if self._headers is not None else cast("Headers | None", headers),
            client=client,
            timeouts=timeouts,
            clock=clock,
        )
        self._stored = StoredObjects(self._session, self._template)
        self._method = method
        self._field_name = field_name
        self._fields = dict(fields or {})
        self._verify_response = verify_response
        self._expected = frozenset(expected)
        self._if_exists: IfExists = if_exists
        self._digest: SendDigest = digest
        self._idempotency_header = idempotency_header
        self._destination_id = destination_id

    @property
    def target(self) -> str:
        """The template without user info and query string, for people."""
        return self._template.shown

    @property
    def destination_id(self) -> str:
        """As given, else the class name and the target."""
        return super().destination_id if self._destination_id is None else self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Send the file.

        Raises:
            AlreadyExists: 409 or 412, and what stands there is not proven to have the same bytes; where it is, its
                receipt says `deduplicated`.
            TransientError: an answer that asks to try again, a reset, a stall, no answer, a wrong digest.
            DestinationOfflineError: no connection.
            AuthenticationRequiredError, RateLimited, DestinationFull, PermanentError, ConfigurationError: by status,
                see `error_for`.
            AssetChanged: the file is not what the asset says.
        """
        url = self._template.render(media.asset, context.key)
        try:
            answer, sha256 = self._send(url, media, context, conditions=self._conditions(url, context))
        except AlreadyExists as conflict:
            return self._deduplicated(conflict, media, context)
        return self._receipt(answer, media, context, sha256=sha256)

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if what stands at the file's URL has its size, and its hash, by the server's word or a re-read.

        POST gives files no URL of ours: None. What the server refuses to show is not found.
        """
        if self._method != "PUT":
            return None
        url = self._template.render(media.asset, context.key)
        return self._stored.find(url, media, context, headers=self._for_media({}, media))

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        """True if what stands at the receipt's URL, read as a whole, has its size and SHA-256.

        Raises:
            PermanentError: the receipt has no URL, or the server does not give the object out.
        """
        headers = {} if media is None else self._for_media({}, media)
        return self._stored.verify(receipt, headers=headers)

    def check(self) -> None:
        """Ask for the template's folder (HEAD): no connection, refused credentials and server errors are raised."""
        self._stored.check()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._method} {self.target}>"

    def _send(
        self,
        url: str,
        media: ResolvedMedia,
        context: UploadContext,
        *,
        conditions: Mapping[str, str],
        expected: Collection[int] = (),
    ) -> tuple[Answer, str | None]:
        """Send the file there; the answer, and the SHA-256 of what was sent. `expected`: statuses besides the usual."""
        hashed = attrs.evolve(media, sha256=source_sha256(media, context)) if self._digest == "always" else media
        body = MediaBody(hashed, context)
        form = None
        headers = {"Content-Type": media.mime_type}
        if self._idempotency_header is not None:
            headers[self._idempotency_header] = context.key
        if self._field_name is not None:
            form = MultipartBody(
                body,
                field_name=self._field_name,
                file_name=media.name,
                content_type=media.mime_type,
                fields=self._fields,
            )
            headers["Content-Type"] = form.content_type
        elif self._digest != "never" and body.sha256 is not None:
            headers |= digest_headers(body.sha256)
        answer = self._session.request(
            self._method,
            url,
            headers=self._for_media({**headers, **conditions}, media),
            body=body if form is None else form,
            expected=self._expected.union(expected),
            cancel=context.cancel,
        )
        return answer, body.sha256

    def _deduplicated(self, conflict: AlreadyExists, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """The receipt of what stands there already, if it has the same bytes; otherwise the conflict is raised."""
        found = self.find_existing(media, context)
        if found is None:
            raise conflict
        return attrs.evolve(found, deduplicated=True)

    def _for_media(self, headers: Mapping[str, str], media: ResolvedMedia) -> Headers:
        own = self._headers
        if own is None:
            return headers
        return lambda: {**cast("Callable[[ResolvedMedia], Mapping[str, str]]", own)(media), **headers}

    def _conditions(self, url: str, context: UploadContext) -> dict[str, str]:
        if self._method != "PUT" or self._if_exists != "refuse" or is_written_by_us(context.resume_state):
            return {}
        previous = context.previous
        if previous is None or previous.remote_id != shown(url):
            return {"If-None-Match": "*"}
        # A weak ETag never matches (RFC 9110, section 13.1.1).
        etag = previous.etag
        return {"If-Match": etag} if etag and etag.startswith('"') else {}

    def _receipt(
        self, answer: Answer, media: ResolvedMedia, context: UploadContext, *, sha256: str | None
    ) -> UploadReceipt:
        try:
            return self._judged(answer, media, sha256)
        except Exception:
            # What stands there now is ours, and wrong: the next attempt may overwrite it.
            mark_as_ours(context)
            raise

    def _judged(self, answer: Answer, media: ResolvedMedia, sha256: str | None) -> UploadReceipt:
        what = f"{self._method} {shown(answer.url)}"
        location = answer.location or (answer.url if self._method == "PUT" else None)
        url = None if location is None else shown(location)
        stored = stored_sha256(answer.headers)
        if stored is not None and stored != sha256:
            raise TransientError(f"{what}: the server names another SHA-256 than that of the bytes sent")
        etag = answer.headers.get("etag")
        usual = UploadReceipt(url, size=media.size, sha256=sha256, etag=etag, verified=stored is not None)
        said = None if self._verify_response is None else self._verify_response(answer, media)
        if said is False:
            raise TransientError(f"{what}: verify_response refused the answer")
        if not isinstance(said, UploadReceipt):
            return usual
        details = dict(said.details) if url is None else {"url": url, **said.details}
        return attrs.evolve(said, sha256=said.sha256 or sha256, etag=said.etag or etag, details=details)


def _takes_media(headers: Callable[..., Mapping[str, str]]) -> bool:
    import inspect  # noqa: PLC0415 - only a callable needs it

    try:
        inspect.signature(headers).bind()
    except TypeError:
        return True
    return False
