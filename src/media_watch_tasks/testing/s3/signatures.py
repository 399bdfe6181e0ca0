"""Signature Version 4 as a server checks it: headers, presigned URLs, and the policies of browser forms.

Written from Amazon's description ("Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference), and on
purpose not from a client's code: what a client gets wrong must not be wrong here in the same way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import attrs

from media_watch_tasks.testing.s3.faults import Refusal

__all__ = ["Credentials", "Request", "check_policy", "check_request"]

_SKEW = timedelta(minutes=15)
_LONGEST_EXPIRY = 7 * 24 * 3600
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


@attrs.frozen
class Credentials:
    """One access key that the server knows."""

    access_key: str
    secret_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Request:
    """What of a request is signed."""

    method: str
    path: str
    """As sent: percent-encoded, without the query."""
    query: tuple[tuple[str, str], ...]
    """Decoded pairs."""
    headers: Mapping[str, str]
    """Lower-case names."""


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _signing_key(secret: str, scope: list[str]) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _scope(credential: str, known: Mapping[str, Credentials], region: str) -> tuple[Credentials, list[str]]:
    parts = credential.split("/")
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"]:  # noqa: PLR2004 - key, date, region, service, end
        raise Refusal(400, "AuthorizationHeaderMalformed", "the credential scope is malformed")
    owner = known.get(parts[0])
    if owner is None:
        raise Refusal(403, "InvalidAccessKeyId", "the access key is not known here")
    if parts[2] != region:
        raise Refusal(400, "AuthorizationHeaderMalformed", f"the region is {region}")
    return owner, parts[1:]


def _signature(request: Request, *, signed: list[str], payload: str, secret: str, scope: list[str], date: str) -> str:
    query = "&".join(
        f"{_encode(name)}={_encode(value)}" for name, value in sorted(request.query) if name != "X-Amz-Signature"
    )
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed)
    path = quote(unquote(request.path), safe="/-_.~")
    canonical = "\n".join([request.method, path, query, headers, ";".join(signed), payload])
    text = "\n".join(["AWS4-HMAC-SHA256", date, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(_signing_key(secret, scope), text.encode(), hashlib.sha256).hexdigest()


def _when(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(403, "AccessDenied", "a signed request needs a date") from None


def _must_sign(request: Request, signed: list[str]) -> None:
    if "host" not in signed:
        raise Refusal(403, "AccessDenied", "the header Host must be signed")
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    if unsigned:
        raise Refusal(403, "AccessDenied", f"there were headers present which were not signed: {', '.join(unsigned)}")


def _check_token(owner: Credentials, given: str | None) -> None:
    if owner.session_token != given:
        raise Refusal(400, "InvalidToken", "the security token is malformed or otherwise invalid")


def check_request(request: Request, *, known: Mapping[str, Credentials], region: str, now: datetime) -> str:
    """Check a signed request; what it says of the payload: a hash in hex, or `UNSIGNED-PAYLOAD`.

    Raises:
        Refusal: it is not signed, by nobody who is known, for another region, too late, or wrongly.
    """
    query = dict(request.query)
    if "X-Amz-Signature" in query:
        return _check_presigned(request, query, known=known, region=region, now=now)
    authorization = request.headers.get("authorization", "")
    fields = dict(_FIELD.findall(authorization))
    if not authorization.startswith("AWS4-HMAC-SHA256 ") or len(fields) != 3:  # noqa: PLR2004 - the three fields
        raise Refusal(403, "AccessDenied", "the request is not signed")
    owner, scope = _scope(fields["Credential"], known, region)
    date = request.headers.get("x-amz-date", "")
    if abs(_when(date) - now) > _SKEW or not date.startswith(scope[0]):
        raise Refusal(403, "RequestTimeTooSkewed", "the difference between the request time and now is too large")
    _check_token(owner, request.headers.get("x-amz-security-token"))
    signed = fields["SignedHeaders"].split(";")
    _must_sign(request, signed)
    payload = request.headers.get("x-amz-content-sha256", "")
    right = _signature(request, signed=signed, payload=payload, secret=owner.secret_key, scope=scope, date=date)
    if not hmac.compare_digest(right, fields["Signature"]):
        raise Refusal(403, "SignatureDoesNotMatch", "the signature does not match")
    return payload


def _check_presigned(
    request: Request, query: Mapping[str, str], *, known: Mapping[str, Credentials], region: str, now: datetime
) -> str:
    owner, scope = _scope(query.get("X-Amz-Credential", ""), known, region)
    date = query.get("X-Amz-Date", "")
    try:
        seconds = int(query.get("X-Amz-Expires", ""))
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _LONGEST_EXPIRY:
        raise Refusal(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be from 1 second to a week")
    if now > _when(date) + timedelta(seconds=seconds) or now < _when(date) - _SKEW:
        raise Refusal(403, "AccessDenied", "request has expired")
    _check_token(owner, query.get("X-Amz-Security-Token"))
    signed = query.get("X-Amz-SignedHeaders", "").split(";")
    _must_sign(request, signed)
    right = _signature(
        request, signed=signed, payload="UNSIGNED-PAYLOAD", secret=owner.secret_key, scope=scope, date=date
    )
    if not hmac.compare_digest(right, query["X-Amz-Signature"]):
        raise Refusal(403, "SignatureDoesNotMatch", "the signature does not match")
    return "UNSIGNED-PAYLOAD"


def check_policy(
    fields: Mapping[str, str], length: int, *, bucket: str, known: Mapping[str, Credentials], region: str, now: datetime
) -> None:
    """Check the form fields of a POST upload against the policy among them, and that against its signature.

    Raises:
        Refusal: the policy is expired, wrongly signed, or does not allow these fields or this length.
    """
    low = {name.lower(): value for name, value in fields.items()}
    owner, scope = _scope(low.get("x-amz-credential", ""), known, region)
    policy = low.get("policy", "")
    right = hmac.new(_signing_key(owner.secret_key, scope), policy.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, low.get("x-amz-signature", "")):
        raise Refusal(403, "SignatureDoesNotMatch", "the signature of the policy does not match")
    _check_token(owner, low.get("x-amz-security-token"))
    try:
        document: dict[str, Any] = json.loads(base64.b64decode(policy))
        expires = datetime.fromisoformat(document["expiration"])
    except (ValueError, KeyError, binascii.Error):
        raise Refusal(400, "InvalidPolicyDocument", "the policy cannot be read") from None
    if now > expires:
        raise Refusal(403, "AccessDenied", "the policy has expired")
    allowed = {"policy", "x-amz-signature", "file", "x-amz-algorithm", "x-amz-credential", "x-amz-date"}
    values = {**low, "bucket": bucket}
    for condition in document.get("conditions", []):
        pairs = [["eq", f"${name}", value] for name, value in condition.items()] if isinstance(condition, dict) else []
        for kind, name, value in pairs or [condition]:
            if kind == "content-length-range":
                if not int(name) <= length <= int(value):
                    raise Refusal(400, "EntityTooLarge", "the length is not what the policy allows")
                continue
            field = name.removeprefix("$").lower()
            allowed.add(field)
            found = values.get(field, "")
            if not (found == value if kind == "eq" else found.startswith(value)):
                raise Refusal(403, "AccessDenied", f"the policy does not allow this {field}")
    extra = sorted(set(low) - allowed)
    if extra:
        raise Refusal(403, "AccessDenied", f"extra input fields: {', '.join(extra)}")
