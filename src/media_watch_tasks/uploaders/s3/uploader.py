"""S3Uploader: files become objects of a bucket: small ones in one request, large ones in parts that are resumed."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from media_watch_tasks.abc.uploader import Checks, FindsExisting, Resumable, UploadContext, Uploader, Verifies
from media_watch_tasks.clock import Clock, SystemClock
from media_watch_tasks.errors import AlreadyExists, ConfigurationError, PermanentError, TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.uploaders.s3.bodies import PartBody, StreamBody, hash_file, whole_file
from media_watch_tasks.uploaders.s3.budget import ByteBudget
from media_watch_tasks.uploaders.s3.object_keys import ObjectKeys
from media_watch_tasks.uploaders.s3.standing import Standing, key_of, marks, object_receipt

__all__ = ["S3Uploader"]

_MIB = 1 << 20
_LEAST_PART, _MOST_PART = 5 * _MIB, 5 << 30
_MOST_SINGLE = 5 << 30
_LARGEST = 5 << 40
_RACES = 3


class S3Uploader(Uploader, FindsExisting, Resumable, Verifies, Checks):
    """Delivers into a bucket of S3, or of a service that speaks its protocol.

    An object appears whole or not at all. It carries the task's key and a mark of its asset as metadata
    (`x-amz-meta-mwt-…`), by which an upload whose answer got lost is found again, and by which an earlier version of
    the same asset is told from any other object: nothing else is ever replaced. The SHA-256 of everything that is sent
    goes with it and is compared with what S3 stored; receipts say `verified` where S3 named it.

    A file below the threshold is one PUT; if there is no room for it in memory it is read twice, first for its hash.
    Larger files go in parts. Parts that have arrived are kept over failures and restarts of the process; what S3 lists
    is the truth. They are removed when the task is cancelled, superseded or dead. A rule in the bucket
    (AbortIncompleteMultipartUpload) removes those whose database was lost.

    Bytes go past botocore, of which each call costs two milliseconds: how it writes a kind of request is learned once
    and compared, signature included. Where anything differs (a proxy, a client certificate, TLS that is not verified,
    a handler that changes each request in its own way, a mock) and for whatever fails in passing, the client is called.

    Args:
        bucket: its name.
        key_template: under which key a file goes; see `PathTemplate`. With `enable_hash_dedup` of the manager use one
            with `{key}`, so that an object that another asset counts on is never replaced.
        client: a boto3 client for S3, or a function that makes one: it is called again, once for all threads, when
            credentials were refused. By default one is made from the environment, `~/.aws` or the instance's role.
        multipart_threshold: files of at least so many bytes go in parts.
        part_size: bytes of a part, 5 MiB to 5 GiB; more where the file would have more than 10,000 parts.
        concurrency: parts on their way at once, of all files together. So many times `part_size` bytes are in memory,
            and a file of up to `part_size` for each upload that is one PUT.
        storage_class: such as `STANDARD_IA`; the bucket's default if None.
        metadata: more metadata for an object, made from its file; ASCII.
        content_type: the type of a file; its MIME type if None.
        extra: more parameters of PutObject and CreateMultipartUpload alike, such as `ServerSideEncryption`.
        conditional_writes: False for services that ignore If-None-Match and If-Match: the key is then looked at before
            each upload, which leaves a moment in which somebody else's object could be overwritten. Services that
            refuse such headers are treated so by themselves.
        destination_id: by default `S3Uploader:` and the bucket. Give one where two uploaders write into one bucket,
            or into buckets of one name at two services.
        clock: for Retry-After.

    Raises:
        MissingDependencyError: boto3 is not installed.
        ConfigurationError: a setting that makes no sense.
        AuthenticationRequiredError: no client can be made (an unknown profile).
    """

    def __init__(
        self,
        bucket: str,
        key_template: str = "{path}",
        *,
        client: Any = None,  # noqa: ANN401 - boto3 makes the class of a client at run time
        multipart_threshold: int = 100_000_000,
        part_size: int = 6 * _MIB,
        concurrency: int = 4,
        storage_class: str | None = None,
        metadata: Callable[[ResolvedMedia], Mapping[str, str]] | None = None,
        content_type: Callable[[ResolvedMedia], str] | None = None,
        extra: Mapping[str, object] | None = None,
        conditional_writes: bool = True,
        destination_id: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        from media_watch_tasks.uploaders.s3 import _boto3, _bucket  # noqa: PLC0415 - needs the extra s3

        if not bucket or "/" in bucket:
            raise ConfigurationError(f"the bucket must be a name, not {bucket!r}")
        for name, value, least, most in (
            ("part_size", part_size, _LEAST_PART, _MOST_PART),
            ("multipart_threshold", multipart_threshold, 1, _MOST_SINGLE),
            ("concurrency", concurrency, 1, 1_000),
        ):
            if not isinstance(value, int) or not least <= value <= most:
                raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
        self._keys = ObjectKeys(key_template)
        make: Callable[[], Any]
        if client is None:
            make = lambda: _boto3.make_client(connections=concurrency + 16)  # noqa: E731 - one of three ways to one name
        else:
            make = client if not hasattr(client, "put_object") else lambda: client
        self._bucket = _bucket.Bucket(bucket, make, clock=clock or SystemClock())
        self._own_client = client is None
        self._threshold = multipart_threshold
        self._part_size = part_size
        self._budget = ByteBudget(part_size * concurrency)
        self._concurrency = concurrency
        self._senders: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._storage_class = storage_class
        self._metadata = metadata
        self._content_type = content_type
        self._extra = dict(extra or {})
        self._conditional = conditional_writes
        self._destination_id = destination_id

    @property
    def target(self) -> str:
        """The bucket."""
        return self._bucket.name

    @property
    def destination_id(self) -> str:
        """As given, else the class name and the bucket."""
        return super().destination_id if self._destination_id is None else self._destination_id

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Make the file an object under the key that the template says.

        Raises:
            AlreadyExists: an object stands there that is no earlier version of this asset.
            PermanentError: a key or a file that S3 cannot hold, or a refusal that concerns this object.
            AuthenticationRequiredError: S3, or the whole bucket, refuses the credentials.
            DestinationOfflineError: there is no such bucket.
            DestinationFull: the service has no room.
            TransientError: throttled, failing or unreachable, or it stored other bytes than it was sent.
            ConfigurationError: a redirect, a wrong region, a parameter that S3 does not know.
            AssetChanged: the file is shorter or longer than the asset says.
        """
        if media.size > _LARGEST:
            raise PermanentError(f"{media.asset.display}: S3 holds objects of up to 5 TiB")
        key = self._keys.render(media.asset, context.key)
        if media.size >= self._threshold and media.size > 0:
            return self._in_parts(key, media, context)
        return self._at_once(key, media, context)

    def find_existing(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt | None:
        """The receipt if the object under the file's key carries this task's key, with the size and hash it must have.

        Credentials that may not look (no `s3:GetObject`, no `s3:ListBucket`) find nothing.
        """
        key = self._keys.render(media.asset, context.key)
        standing = self._bucket.head(key)
        if standing is None or not standing.is_delivery(media, context):
            return None
        return self._receipt(key, standing)

    def verify(self, media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:  # noqa: ARG002 - the receipt says what must stand there
        """True if the object that the receipt names is there, of the same size, with the same checksum or ETag."""
        key = key_of(receipt)
        standing = None if key is None else self._bucket.head(key, must_know=True)
        if standing is None or receipt.size not in {None, standing.size}:
            return False
        checksum = receipt.details.get("checksum_sha256")
        if checksum is not None and standing.checksum is not None:
            return checksum == standing.checksum
        return receipt.etag is not None and receipt.etag.strip('"') == standing.etag

    def abort(self, resume_state: Mapping[str, Any]) -> None:
        """Remove the parts of a cut-off upload."""
        upload_id, key = resume_state.get("upload_id"), resume_state.get("object")
        if isinstance(upload_id, str) and isinstance(key, str):
            self._bucket.abort(key, upload_id)

    def check(self) -> None:
        """See that the bucket is there and takes uploads: one is begun and ended with nothing in it."""
        self._bucket.call("head_bucket", doing=f"HEAD bucket {self.target}")
        key = f".mwt-check-{os.urandom(8).hex()}"
        answer = self._bucket.call("create_multipart_upload", doing="a look whether it can be written to", Key=key)
        self._bucket.abort(key, str(answer["UploadId"]))

    def close(self) -> None:
        """End the threads; a client that was given stays open."""
        with self._lock:
            senders, self._senders = self._senders, None
        if senders is not None:
            senders.shutdown(wait=False, cancel_futures=True)
        self._bucket.close(client_too=self._own_client)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target} {self._keys.text!r}>"

    # ---- one request

    def _at_once(self, key: str, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        if media.size <= self._part_size:
            return self._from_memory(key, media, context)
        if media.size <= self._part_size * self._concurrency and self._budget.take(media.size, timeout=0):
            memory = self._budget.lend(media.size + 1)
            try:
                return self._from_memory(key, media, context, memory)
            finally:
                self._budget.give_back(media.size, memory)
        total = media.size
        sha256 = (
            hash_file(media, lambda done: context.progress(done, total=total, stage=Stage.HASH))
            if media.sha256 is None
            else bytes.fromhex(media.sha256)
        )
        body = StreamBody(media, context)
        context.confirm()
        try:
            return self._put(key, media, context, body, sha256)
        except Exception:
            # The client wraps what the source raised, and what asked to stop.
            if body.error is not None:
                raise body.error from None
            raise
        finally:
            body.close()

    def _from_memory(
        self, key: str, media: ResolvedMedia, context: UploadContext, memory: bytearray | None = None
    ) -> UploadReceipt:
        with whole_file(media, context, memory) as data:
            sha256 = hashlib.sha256(data).digest()
            context.confirm()
            return self._put(key, media, context, PartBody(data, context.cancel.raise_if_cancelled), sha256)

    def _put(
        self, key: str, media: ResolvedMedia, context: UploadContext, body: PartBody | StreamBody, sha256: bytes
    ) -> UploadReceipt:
        from media_watch_tasks.uploaders.s3._bucket import Told  # noqa: PLC0415 - needs the extra s3

        checksum = base64.b64encode(sha256).decode()
        settings = self._settings(media, context, sha256)
        conditions: Mapping[str, str] = {"IfNoneMatch": "*"}
        look_first = self._looks_first(context)
        for _ in range(_RACES):
            if look_first:
                standing = self._bucket.head(key)
                if standing is not None and standing.is_delivery(media, context):
                    return self._receipt(key, standing)
                conditions = self._condition(key, standing, media, context)
            try:
                answer = self._bucket.call(
                    "put_object", doing=f"PUT {key}", told={"PreconditionFailed", "412", "NoSuchKey", "NotImplemented"},
                    Key=key, Body=body, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum, **settings, **conditions,
                )  # fmt: skip
            except Told as told:
                self._learn(told.code, conditions)
                look_first = True
                body.seek(0)
                continue
            stored = Standing.from_head({**answer, "ContentLength": media.size})
            if stored.checksum not in {None, checksum}:
                raise TransientError(f"S3 stores other bytes than it was sent: {key}")
            return self._receipt(key, stored, sha256=sha256.hex())
        raise TransientError(f"the object {key} changes while it is being replaced")

    # ---- parts

    def _in_parts(self, key: str, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        from media_watch_tasks.uploaders.s3 import _bucket, _multipart  # noqa: PLC0415 - needs the extra s3

        known = None if media.sha256 is None else bytes.fromhex(media.sha256)
        # Asked first: gigabytes that may not be put there need not be sent.
        standing = self._bucket.head(key)
        if standing is not None and standing.is_delivery(media, context):
            return self._receipt(key, standing, sha256=media.sha256)
        upload = _multipart.MultipartUpload(
            self._bucket, key, media, context,
            part_size=_multipart.part_size_for(media.size, self._part_size), budget=self._budget, senders=self._pool(),
        )  # fmt: skip
        conditions = self._condition(key, standing, media, context)
        try:
            made = upload.deliver(self._settings(media, context, known), conditions)
        except _bucket.Told as told:
            standing = self._bucket.head(key)
            if standing is not None and standing.is_delivery(media, context):
                return self._receipt(key, standing, sha256=media.sha256)
            self._learn(told.code, conditions)
            if told.code not in {"NoSuchUpload", "NotImplemented"}:
                self._condition(key, standing, media, context)
            raise TransientError(f"the upload of {key} was ended by somebody else: {told.code}") from None
        return self._receipt(key, made, sha256=media.sha256)

    # ---- both

    def _settings(self, media: ResolvedMedia, context: UploadContext, sha256: bytes | None) -> dict[str, object]:
        more = {} if self._metadata is None else self._metadata(media)
        settings: dict[str, object] = {
            **self._extra,
            "ContentType": media.mime_type if self._content_type is None else self._content_type(media),
            "Metadata": {**more, **marks(media.asset, context, sha256)},
        }
        if self._storage_class is not None:
            settings["StorageClass"] = self._storage_class
        return settings

    def _condition(
        self, key: str, standing: Standing | None, media: ResolvedMedia, context: UploadContext
    ) -> Mapping[str, str]:
        """What must hold when the object becomes visible.

        Raises:
            AlreadyExists: an object stands there that may not be replaced.
        """
        if standing is None:
            return {"IfNoneMatch": "*"} if self._conditional else {}
        if standing.may_be_replaced(media, context):
            return {"IfMatch": f'"{standing.etag}"'} if self._conditional else {}
        receipt = None
        if standing.owner is None and standing.sha256 is not None and standing.size == media.size:
            # Nobody else counts on it; the manager compares the hash.
            receipt = self._receipt(key, standing)
        raise AlreadyExists(
            f"another object stands at {key}, and nothing proves that it is an earlier version of"
            f" {media.asset.display}; it was left alone",
            receipt=receipt,
        )

    def _looks_first(self, context: UploadContext) -> bool:
        """True for a newer version too: an equal ETag does not say whose object it is, and not all heed If-Match."""
        return not self._conditional or context.previous is not None

    def _learn(self, code: str, conditions: Mapping[str, str]) -> None:
        """See whether the service refuses conditions altogether."""
        if code == "NotImplemented":
            if not conditions:
                raise ConfigurationError(
                    "S3: the service does not implement what this upload asks for; look at `extra`"
                )
            self._conditional = False

    def _receipt(self, key: str, standing: Standing, *, sha256: str | None = None) -> UploadReceipt:
        return object_receipt(
            key, standing, sha256=sha256, verified=standing.checksum is not None, bucket=self._bucket.name
        )

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._senders is None:
                self._senders = ThreadPoolExecutor(self._concurrency, thread_name_prefix="mwt-s3")
            return self._senders
