"""Receipts of this destination: a path as text, and its exact bytes where the text is not them."""

from __future__ import annotations

from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.directory.template import TargetPath, components_of

__all__ = ["path_of", "receipt_for"]

_HEX = "path_hex"


def receipt_for(path: TargetPath, *, size: int, sha256: str, verified: bool, deduplicated: bool) -> UploadReceipt:
    """The receipt for a file at this path below the destination."""
    exact = b"/".join(path)
    text = display_text(exact)
    details = {} if text.encode("utf-8") == exact else {_HEX: exact.hex()}
    return UploadReceipt(text, size=size, sha256=sha256, verified=verified, deduplicated=deduplicated, details=details)


def path_of(receipt: UploadReceipt) -> TargetPath | None:
    """The path that a receipt names; None if it names none below the destination."""
    if receipt.remote_id is None:
        return None
    try:
        exact = bytes.fromhex(receipt.details[_HEX]) if _HEX in receipt.details else receipt.remote_id.encode("utf-8")
    except ValueError:
        return None
    return components_of(exact)
