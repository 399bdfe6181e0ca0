"""What passes between the steps of an upload to presigned URLs, and how the default JSON is read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import attrs

from media_watch_tasks.errors import ConfigurationError, TransientError
from media_watch_tasks.http.origins import shown

__all__ = ["Artwork", "Grant", "RemoteState", "RemoteStatus", "UploadTarget", "read_grant", "read_status"]

_WHOLE = 100


@attrs.frozen
class Artwork:
    """A small picture that goes with a file: it is in memory."""

    data: bytes = attrs.field(repr=False)
    extension: str
    """Without a dot: `jpg`."""
    mime_type: str = "image/jpeg"


@attrs.frozen(kw_only=True)
class UploadTarget:
    """Where the server wants bytes. Its repr shows no query string, field or header: they are secrets."""

    url: str = attrs.field(repr=shown)
    method: Literal["PUT", "POST"] = "PUT"
    """POST sends a form, with the file as its last field."""
    fields: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Of the form, in the order that the server gave."""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """That the URL was signed with, such as Content-Type."""


class RemoteState(StrEnum):
    """How far the server is with an upload."""

    PENDING = "pending"
    """It waits for the bytes."""
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class RemoteStatus:
    """What the server says of an upload."""

    state: RemoteState
    percent: int | None = None
    """Of the processing."""
    error: str | None = None
    remote_id: str | None = None
    """How the server names what it made of the file; None: as the upload."""
    sha256: str | None = None
    """Hex, of the bytes that the server holds, if it says so."""


@attrs.frozen(kw_only=True)
class Grant:
    """The server's answer to the first step."""

    upload_id: str
    """Not secret: it is kept in the database."""
    file: UploadTarget | None
    """None: nothing has to be sent, the server has this version."""
    artwork: UploadTarget | None = None
    status: RemoteStatus | None = None
    """Where the server has this version already."""


def read_grant(answer: object) -> Grant:
    """Read the default JSON of the first answer.

    Raises:
        TransientError: it is no such JSON: a proxy's page, or a server in the middle of an update.
    """
    data = _object(answer)
    upload_id = data.get("id")
    if not isinstance(upload_id, str | int) or upload_id == "":
        raise TransientError("the server's answer to init names no id")
    status = read_status(data) if data.get("status") is not None else None
    return Grant(
        upload_id=str(upload_id), file=_target(data, ""), artwork=_target(data, "artwork_"), status=status
    )  # fmt: skip


def read_status(answer: object) -> RemoteStatus:
    """Read the default JSON of a status.

    Raises:
        TransientError: as `read_grant`; also for a state that is not known.
    """
    data = _object(answer)
    try:
        state = RemoteState(str(data.get("status")))
    except ValueError:
        raise TransientError(
            "the server names a status that is none of pending, processing, completed, failed"
        ) from None
    percent = data.get("progress")
    return RemoteStatus(
        state=state,
        percent=min(max(int(percent), 0), _WHOLE) if isinstance(percent, int | float) else None,
        error=_text(data, "error"),
        remote_id=_text(data, "remote_id"),
        sha256=_text(data, "sha256"),
    )


def _object(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise TransientError("the server's answer is no JSON object")
    return answer


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return None if value is None else str(value)


def _target(data: Mapping[str, Any], prefix: str) -> UploadTarget | None:
    url = data.get(f"{prefix}upload_url")
    if url is None:
        return None
    fields, headers = data.get(f"{prefix}upload_fields") or {}, data.get(f"{prefix}upload_headers") or {}
    if not isinstance(url, str) or not isinstance(fields, Mapping) or not isinstance(headers, Mapping):
        raise ConfigurationError(f"the server's answer to init: {prefix}upload_url or what goes with it is malformed")
    return UploadTarget(
        url=url,
        method="POST" if fields else "PUT",
        fields={str(name): str(value) for name, value in fields.items()},
        headers={str(name): str(value) for name, value in headers.items()},
    )
