"""What the S3 server holds: objects, and multipart uploads that are under way."""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from collections.abc import Mapping, Sequence

import attrs

from media_watch_tasks.testing.s3.faults import Refusal

__all__ = ["Body", "Multipart", "Shelf", "StoredObject"]

_LEAST_PART = 5 * 1024 * 1024
"""Bytes, S3's own limit for every part but the last."""


@attrs.frozen
class Body:
    """Bytes that were received, or only what is known of them where the server keeps none."""

    size: int
    md5: bytes
    sha256: bytes
    data: bytes | None = attrs.field(default=None, repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 in base64, as S3 writes it."""
        return base64.b64encode(self.sha256).decode()


@attrs.frozen(kw_only=True)
class StoredObject:
    """One object that readers see."""

    key: str
    size: int
    etag: str
    checksum: str | None
    """SHA-256 in base64; of an object in parts the hash of the parts' hashes, and their number."""
    headers: Mapping[str, str]
    """What it was given: Content-Type, storage class, x-amz-meta-…"""
    data: bytes | None = attrs.field(default=None, repr=False)


@attrs.define
class Multipart:
    """An upload in parts."""

    key: str
    upload_id: str
    headers: Mapping[str, str]
    with_checksum: bool
    parts: dict[int, Body] = attrs.field(factory=dict)


class Shelf:
    """One bucket. Thread-safe."""

    def __init__(self, *, least_part: int = _LEAST_PART) -> None:
        self._lock = threading.RLock()
        self._least_part = least_part
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, Multipart] = {}

    def put(
        self, key: str, body: Body, headers: Mapping[str, str], conditions: Mapping[str, str], *, with_checksum: bool
    ) -> StoredObject:
        """Make an object visible, if the conditions (If-Match, If-None-Match) hold."""
        made = StoredObject(
            key=key,
            size=body.size,
            etag=f'"{body.md5.hex()}"',
            checksum=body.checksum if with_checksum else None,
            headers=headers,
            data=body.data,
        )
        with self._lock:
            self._check(key, conditions)
            self.objects[key] = made
        return made

    def get(self, key: str) -> StoredObject:
        """The object that has the key."""
        found = self.objects.get(key)
        if found is None:
            raise Refusal(404, "NoSuchKey", "the specified key does not exist")
        return found

    def begin(self, key: str, headers: Mapping[str, str], *, with_checksum: bool) -> Multipart:
        """A new upload in parts."""
        made = Multipart(key, uuid.uuid4().hex, headers, with_checksum)
        with self._lock:
            self.uploads[made.upload_id] = made
        return made

    def upload(self, key: str, upload_id: str) -> Multipart:
        """The upload under way that has this id."""
        found = self.uploads.get(upload_id)
        if found is None or found.key != key:
            raise Refusal(404, "NoSuchUpload", "the specified upload does not exist")
        return found

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts."""
        with self._lock:
            del self.uploads[self.upload(key, upload_id).upload_id]

    def complete(
        self, upload: Multipart, named: Sequence[tuple[int, str, str | None]], conditions: Mapping[str, str]
    ) -> StoredObject:
        """Make the parts that are named (number, ETag, checksum) one object."""
        with self._lock:
            self.upload(upload.key, upload.upload_id)
            if [number for number, _, _ in named] != sorted({number for number, _, _ in named}) or not named:
                raise Refusal(400, "InvalidPartOrder", "the list of parts was not in ascending order")
            parts = [self._part(upload, *name) for name in named]
            if any(part.size < self._least_part for part in parts[:-1]):
                raise Refusal(400, "EntityTooSmall", "a part is smaller than the minimum allowed size")
            self._check(upload.key, conditions)
            kept = [part.data for part in parts if part.data is not None]
            hashes = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
            checksum = f"{base64.b64encode(hashes).decode()}-{len(parts)}"
            made = StoredObject(
                key=upload.key,
                size=sum(part.size for part in parts),
                etag=f'"{hashlib.md5(b"".join(part.md5 for part in parts)).hexdigest()}-{len(parts)}"',  # noqa: S324 - S3's own ETag
                checksum=checksum if upload.with_checksum else None,
                headers=upload.headers,
                data=b"".join(kept) if len(kept) == len(parts) else None,
            )
            self.objects[upload.key] = made
            del self.uploads[upload.upload_id]
        return made

    @staticmethod
    def _part(upload: Multipart, number: int, etag: str, checksum: str | None) -> Body:
        part = upload.parts.get(number)
        if part is None or etag.strip('"') != part.md5.hex():
            raise Refusal(400, "InvalidPart", f"part {number} could not be found, or its ETag is another one")
        if upload.with_checksum and checksum != part.checksum:
            raise Refusal(400, "InvalidPart", f"the checksum of part {number} is missing or another one")
        return part

    def _check(self, key: str, conditions: Mapping[str, str]) -> None:
        standing = self.objects.get(key)
        if conditions.get("if-none-match") == "*" and standing is not None:
            raise Refusal(412, "PreconditionFailed", "If-None-Match")
        wanted = conditions.get("if-match")
        if wanted is None:
            return
        if standing is None:
            raise Refusal(404, "NoSuchKey", "If-Match")
        if wanted.strip('"') != standing.etag.strip('"'):
            raise Refusal(412, "PreconditionFailed", "If-Match")
