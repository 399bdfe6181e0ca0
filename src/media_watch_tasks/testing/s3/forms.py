"""Reads the form of a POST upload: fields, and the file as the last one."""

from __future__ import annotations

import re

from media_watch_tasks.testing.s3.faults import Refusal

__all__ = ["read_form"]

_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([^";]+)"?')
_NAME = re.compile(rb'name="([^"]*)"')


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """(fields by name, the bytes of the field `file`). Fields behind the file are ignored, as S3 does.

    Raises:
        Refusal: it is no form, or has no file.
    """
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise Refusal(412, "PreconditionFailed", "the body of a POST must be multipart/form-data")
    mark = b"--" + found[1].encode()
    fields: dict[str, str] = {}
    for piece in (b"\r\n" + body).split(b"\r\n" + mark)[1:]:
        head, separator, value = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            continue
        if name[1] == b"file":
            return fields, value
        fields[name[1].decode()] = value.decode()
    raise Refusal(400, "InvalidArgument", "POST requires exactly one file")
