"""What stands in the bucket under a key, what it proves, and the marks by which that is known."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import attrs

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.redaction import without_url_secrets
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.directory.ownership import owner_of
from media_watch_tasks.uploaders.written import is_written_by_us

__all__ = ["Standing", "key_of", "marks", "object_receipt"]

# Names of user metadata: S3 makes them lower-case.
_KEY, _OWNER, _SHA256 = "mwt-key", "mwt-owner", "mwt-sha256"
_EXACT_KEY = "key_hex"


def marks(asset: MediaAsset, context: UploadContext, sha256: bytes | None) -> dict[str, str]:
    """The metadata that goes with an object: the idempotency key, whose it is, and the hash where it is known."""
    found = {_KEY: context.key, _OWNER: owner_of(asset).hex()}
    if sha256 is not None:
        found[_SHA256] = sha256.hex()
    return found


@attrs.frozen(kw_only=True)
class Standing:
    """An object as HEAD describes it."""

    size: int
    etag: str
    checksum: str | None
    """As S3 writes it: SHA-256 in base64; with `-N` behind it the hash of the hashes of N parts."""
    metadata: Mapping[str, str]
    version_id: str | None = None

    @classmethod
    def from_head(cls, answer: Mapping[str, Any]) -> Standing:
        """Read the answer of HeadObject with checksums asked for."""
        return cls(
            size=int(answer["ContentLength"]),
            etag=str(answer.get("ETag", "")).strip('"'),
            checksum=answer.get("ChecksumSHA256"),
            metadata=answer.get("Metadata", {}),
            version_id=answer.get("VersionId"),
        )

    @property
    def owner(self) -> str | None:
        """Whose it is, None where no upload of this library put it there."""
        return self.metadata.get(_OWNER)

    @property
    def sha256(self) -> str | None:
        """Of all its bytes, hex, as the service computed it; None where it did not."""
        if self.checksum is None or "-" in self.checksum:
            return None
        try:
            return base64.b64decode(self.checksum, validate=True).hex()
        except binascii.Error:
            return None

    def is_delivery(self, media: ResolvedMedia, context: UploadContext) -> bool:
        """True on proof that an earlier attempt at this version put it there, whole."""
        if self.metadata.get(_KEY) != context.key or self.size != media.size:
            return False
        promised = self.metadata.get(_SHA256)
        if promised is not None and self.sha256 is not None:
            return promised == self.sha256
        if is_written_by_us(context.resume_state):
            return False  # somebody has looked at it since, and found other bytes
        expected = (context.resume_state or {}).get("checksum")
        return expected is None or self.checksum is None or expected == self.checksum

    def may_be_replaced(self, media: ResolvedMedia, context: UploadContext) -> bool:
        """True on proof that it is an earlier version of this asset, or a damaged copy of this one."""
        if self.owner is not None:
            return self.owner == owner_of(media.asset).hex()
        previous = context.previous
        return previous is not None and previous.etag is not None and previous.etag.strip('"') == self.etag


def object_receipt(
    key: str, standing: Standing, *, sha256: str | None = None, verified: bool, bucket: str
) -> UploadReceipt:
    """The receipt of an object."""
    details = {"bucket": bucket}
    if standing.checksum is not None:
        details["checksum_sha256"] = standing.checksum
    if standing.version_id is not None:
        details["version_id"] = standing.version_id
    if without_url_secrets(key) != key:  # a receipt cuts off what looks like a query
        details[_EXACT_KEY] = key.encode().hex()
    return UploadReceipt(
        key,
        size=standing.size,
        sha256=sha256 or standing.sha256 or standing.metadata.get(_SHA256),
        etag=standing.etag,
        verified=verified,
        details=details,
    )


def key_of(receipt: UploadReceipt) -> str | None:
    """The object key that a receipt names."""
    exact = receipt.details.get(_EXACT_KEY)
    return receipt.remote_id if exact is None else bytes.fromhex(exact).decode()
