"""StrictS3: a small S3 server on this machine that believes nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import attrs

from media_watch_tasks.testing.s3.faults import Refusal, S3Fault, S3Faults
from media_watch_tasks.testing.s3.forms import read_form
from media_watch_tasks.testing.s3.objects import Body, Multipart, Shelf, StoredObject
from media_watch_tasks.testing.s3.signatures import Credentials, Request, check_policy, check_request

__all__ = ["SeenRequest", "StrictS3"]

_BLOCK = 1 << 20
_PART = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)
_NUMBER = re.compile(r"<PartNumber>(\d+)</PartNumber>")
_ETAG = re.compile(r"<ETag>(.*?)</ETag>")
_CHECKSUM = re.compile(r"<ChecksumSHA256>(.*?)</ChecksumSHA256>")
_CAPITAL = re.compile("([A-Z])")
_KEPT = ("content-type", "x-amz-storage-class", "x-amz-server-side-encryption")
# (method, has key, the subresource in the query) -> the API's name.
_OPERATIONS = {
    ("PUT", False, ""): "CreateBucket",
    ("HEAD", False, ""): "HeadBucket",
    ("POST", False, ""): "PostObject",
    ("GET", False, "uploads"): "ListMultipartUploads",
    ("PUT", True, ""): "PutObject",
    ("GET", True, ""): "GetObject",
    ("HEAD", True, ""): "HeadObject",
    ("DELETE", True, ""): "DeleteObject",
    ("POST", True, "uploads"): "CreateMultipartUpload",
    ("PUT", True, "uploadId"): "UploadPart",
    ("GET", True, "uploadId"): "ListParts",
    ("POST", True, "uploadId"): "CompleteMultipartUpload",
    ("DELETE", True, "uploadId"): "AbortMultipartUpload",
}


@attrs.define
class SeenRequest:
    """One request that came in."""

    operation: str
    key: str
    headers: Mapping[str, str]
    query: str = ""
    """As sent."""
    received: int = 0
    """Bytes of the body that were read."""
    status: int = 0
    """Of the answer; 0 while there is none, and where it was withheld."""


class StrictS3:
    """S3 with one bucket, in memory, on 127.0.0.1; path-style addresses. A context manager.

    Every request must be signed (Signature Version 4, not expired), bodies are of the announced length, and every hash
    that comes along is checked. What is missing of S3 answers 501.

    Args:
        bucket: the one there is.
        keep_bodies: False keeps hashes only: for files that are larger than the memory.
        least_part: bytes of the smallest part that is not the last; S3's 5 MiB, less for tests.
        port: 0 takes a free one.
        tls: serves HTTPS with its certificate.
    """

    region = "us-east-1"

    def __init__(
        self,
        bucket: str = "media",
        *,
        keep_bodies: bool = True,
        least_part: int = 5 << 20,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.bucket = bucket
        self.keep_bodies = keep_bodies
        self.shelf = Shelf(least_part=least_part)
        self.credentials = Credentials("AKIATESTTESTTESTTEST", "test-secret/with+slash")
        """What clients sign with; set others to make those invalid."""
        self.faults = S3Faults()
        self.requests: list[SeenRequest] = []
        self.parts_per_page = 1_000
        self.answers_expect = True
        """False: `Expect: 100-continue` is not heard."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The server's clock, which judges dates and expiry."""
        handler = type("Handler", (_Handler,), {"s3": self})
        self._http = _Server(("127.0.0.1", port), handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="strict-s3", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def objects(self) -> Mapping[str, StoredObject]:
        """What readers see: key -> object."""
        return dict(self.shelf.objects)

    @property
    def uploads(self) -> Mapping[str, Multipart]:
        """Uploads in parts that are under way, by id."""
        return dict(self.shelf.uploads)

    def fail(self, *faults: S3Fault) -> None:
        """Let these happen, counted from the next request on."""
        self.faults.add(faults)

    def received(self, operation: str) -> int:
        """Bytes of bodies that came with requests of this operation."""
        return sum(request.received for request in self.requests if request.operation == operation)

    def count(self, operation: str) -> int:
        """Requests of this operation."""
        return sum(request.operation == operation for request in self.requests)

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return len(self._http.connections)

    def close_connections(self) -> None:
        """Close those that are there, as a server does that has waited long enough."""
        for connection in self._http.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, object]:
        """As of the base, with a list."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what tests are about."""


class _Gone(Exception):  # noqa: N818 - how a request ended
    """The connection ends without an answer."""


class _Handler(BaseHTTPRequestHandler):
    s3: StrictS3
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    _expects = False

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden parameter
        """A test server is quiet."""

    def handle_expect_100(self) -> bool:
        self._expects = self.s3.answers_expect  # sent once the headers were judged
        return True

    def do_PUT(self) -> None:
        self._serve()

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT  # noqa: N815 - the names that http.server calls

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        _, bucket, *rest = path.split("/", 2)
        key = unquote(rest[0]) if rest else ""
        names = {name for name, _ in pairs}
        resource = next((name for name in ("uploads", "uploadId") if name in names), "")
        operation = _OPERATIONS.get((self.command, bool(key), resource), "Unknown")
        self._request = SeenRequest(operation, key, headers, query)
        self.s3.requests.append(self._request)
        fault = self.s3.faults.due(operation)
        try:
            if fault is not None and fault.early and fault.status is not None:
                self.close_connection = True
                raise Refusal(fault.status, fault.code, "as scripted", fault.headers)  # noqa: TRY301 - one place answers
            if operation == "Unknown":
                self.close_connection = True
                raise Refusal(501, "NotImplemented", "not implemented")  # noqa: TRY301 - as above
            if unquote(bucket) != self.s3.bucket:
                self.close_connection = True
                raise Refusal(404, "NoSuchBucket", "the specified bucket does not exist")  # noqa: TRY301 - as above
            self._act(Request(self.command, path, pairs, headers), operation, key, dict(pairs), fault)
        except Refusal as refusal:
            self._refuse(refusal)
        except (_Gone, ConnectionError, TimeoutError):
            self.close_connection = True

    def _act(self, request: Request, operation: str, key: str, query: Mapping[str, str], fault: S3Fault | None) -> None:
        s3 = self.s3
        payload = "UNSIGNED-PAYLOAD"
        if operation != "PostObject":
            try:
                payload = check_request(
                    request, known={s3.credentials.access_key: s3.credentials}, region=s3.region, now=s3.now()
                )
            except Refusal:
                self.close_connection = True  # what follows is a body that nobody reads
                raise
        keeps = operation in {"PostObject", "CompleteMultipartUpload"} or s3.keep_bodies
        body = self._read(fault, keeps=keeps)
        self._check(request.headers, payload, body)
        if fault is not None and fault.status is not None:
            raise Refusal(fault.status, fault.code, "as scripted", fault.headers)
        if fault is not None and fault.corrupt:
            body = _other_bytes(body)
        perform = getattr(self, _CAPITAL.sub(r"_\1", operation).lower())
        answer: tuple[int, dict[str, str], str | bytes] = perform(request.headers, key, query, body)
        if fault is not None and fault.lose_answer:
            raise _Gone
        self._answer(*answer)

    # ---- the body

    def _read(self, fault: S3Fault | None, *, keeps: bool) -> Body:  # noqa: C901 - a loop, and what goes wrong in it
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise Refusal(411, "MissingContentLength", "you must provide the Content-Length HTTP header")
        left = int(self.headers.get("content-length", "0"))
        if self._expects:
            self._expects = False
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        half = left // 2
        called = False
        md5, sha256, pieces = hashlib.md5(usedforsecurity=False), hashlib.sha256(), []
        while left > 0:
            most = min(left, _BLOCK)
            if fault is not None and fault.reset_at is not None:
                most = min(most, fault.reset_at - self._request.received)
                if most <= 0:
                    self._reset()
            piece = self.rfile.read(most)
            if not piece:
                raise _Gone
            left -= len(piece)
            self._request.received += len(piece)
            md5.update(piece)
            sha256.update(piece)
            if keeps:
                pieces.append(piece)
            if not called and left <= half and fault is not None and fault.calls is not None:
                called = True
                fault.calls()
        if not called and fault is not None and fault.calls is not None:
            fault.calls()
        if fault is not None and fault.reset_at is not None:
            self._reset()
        data = b"".join(pieces) if keeps else None
        return Body(self._request.received, md5.digest(), sha256.digest(), data)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise _Gone

    @staticmethod
    def _check(headers: Mapping[str, str], payload: str, body: Body) -> None:
        if payload != "UNSIGNED-PAYLOAD" and payload != body.sha256.hex():
            raise Refusal(400, "XAmzContentSHA256Mismatch", "the hash of the body is not the one that was signed")
        sent = headers.get("x-amz-checksum-sha256")
        if sent is not None and sent != body.checksum:
            raise Refusal(400, "BadDigest", "the SHA-256 of the body is not the one that was sent")
        sent = headers.get("content-md5")
        if sent is not None and sent != base64.b64encode(body.md5).decode():
            raise Refusal(400, "BadDigest", "the MD5 of the body is not the one that was sent")
        sent = headers.get("x-amz-checksum-crc32")
        if sent is not None and body.data is not None:
            found = base64.b64encode(zlib.crc32(body.data).to_bytes(4, "big")).decode()
            if sent != found:
                raise Refusal(400, "BadDigest", "the CRC-32 of the body is not the one that was sent")

    # ---- operations; each returns (status, headers, body)

    def _head_bucket(self, *_: object) -> tuple[int, dict[str, str], str]:
        return 200, {"x-amz-bucket-region": self.s3.region}, ""

    def _create_bucket(self, *_: object) -> tuple[int, dict[str, str], str]:
        raise Refusal(409, "BucketAlreadyOwnedByYou", "it is there")

    def _put_object(
        self, headers: Mapping[str, str], key: str, _: object, body: Body
    ) -> tuple[int, dict[str, str], str]:
        with_checksum = "x-amz-checksum-sha256" in headers
        made = self.s3.shelf.put(key, body, _kept(headers), headers, with_checksum=with_checksum)
        return 200, _described(made), ""

    def _post_object(
        self, headers: Mapping[str, str], _key: str, _: object, body: Body
    ) -> tuple[int, dict[str, str], str]:
        s3 = self.s3
        fields, data = read_form(headers.get("content-type", ""), body.data or b"")
        check_policy(
            fields,
            len(data),
            bucket=s3.bucket,
            known={s3.credentials.access_key: s3.credentials},
            region=s3.region,
            now=s3.now(),
        )
        file = _body_of(data)
        low = {name.lower(): value for name, value in fields.items()}
        self._check(low, "UNSIGNED-PAYLOAD", file)
        made = s3.shelf.put(low["key"], file, _kept(low), {}, with_checksum="x-amz-checksum-sha256" in low)
        status = low.get("success_action_status", "204")
        return (int(status) if status in {"200", "201"} else 204), _described(made), ""

    def _head_object(self, headers: Mapping[str, str], key: str, *_: object) -> tuple[int, dict[str, str], str]:
        found = self.s3.shelf.get(key)
        said = {**_described(found), **found.headers, "Content-Length": str(found.size)}
        if headers.get("x-amz-checksum-mode", "").upper() != "ENABLED":
            said.pop("x-amz-checksum-sha256", None)
        return 200, said, ""

    def _get_object(self, headers: Mapping[str, str], key: str, *_: object) -> tuple[int, dict[str, str], str | bytes]:
        said = self._head_object(headers, key)[1]
        return 200, said, self.s3.shelf.get(key).data or b""

    def _delete_object(self, _: object, key: str, *__: object) -> tuple[int, dict[str, str], str]:
        self.s3.shelf.objects.pop(key, None)
        return 204, {}, ""

    def _create_multipart_upload(
        self, headers: Mapping[str, str], key: str, *_: object
    ) -> tuple[int, dict[str, str], str]:
        made = self.s3.shelf.begin(key, _kept(headers), with_checksum="x-amz-checksum-algorithm" in headers)
        return (
            200,
            {},
            f"<Result><UploadId>{made.upload_id}</UploadId></Result>",
        )

    def _upload_part(
        self, headers: Mapping[str, str], key: str, query: Mapping[str, str], body: Body
    ) -> tuple[int, dict[str, str], str]:
        upload = self.s3.shelf.upload(key, query["uploadId"])
        if upload.with_checksum and "x-amz-checksum-sha256" not in headers:
            raise Refusal(400, "InvalidRequest", "the part comes without the checksum that was announced")
        upload.parts[int(query["partNumber"])] = body
        return 200, {"ETag": f'"{body.md5.hex()}"', "x-amz-checksum-sha256": body.checksum}, ""

    def _list_parts(self, _: object, key: str, query: Mapping[str, str], __: Body) -> tuple[int, dict[str, str], str]:
        upload = self.s3.shelf.upload(key, query["uploadId"])
        after = int(query.get("part-number-marker", "0"))
        numbers = sorted(number for number in upload.parts if number > after)
        page = numbers[: self.s3.parts_per_page]
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.md5.hex()}&quot;</ETag><Size>{part.size}</Size>"
            f"<ChecksumSHA256>{part.checksum}</ChecksumSHA256></Part>"
            for number in page
            for part in [upload.parts[number]]
        )
        more = f"<IsTruncated>{'true' if len(numbers) > len(page) else 'false'}</IsTruncated>"
        marker = f"<NextPartNumberMarker>{page[-1] if page else 0}</NextPartNumberMarker>"
        return 200, {}, f"<ListPartsResult>{more}{marker}{listed}</ListPartsResult>"

    def _complete_multipart_upload(
        self, headers: Mapping[str, str], key: str, query: Mapping[str, str], body: Body
    ) -> tuple[int, dict[str, str], str]:
        upload = self.s3.shelf.upload(key, query["uploadId"])
        named = [_named(part) for part in _PART.findall((body.data or b"").decode())]
        made = self.s3.shelf.complete(upload, named, headers)
        checksum_line = f"<ChecksumSHA256>{made.checksum}</ChecksumSHA256>" if made.checksum else ""
        return (
            200,
            {},
            f"<Result><ETag>{escape(made.etag)}</ETag>{checksum_line}</Result>",
        )

    def _abort_multipart_upload(
        self, _: object, key: str, query: Mapping[str, str], __: Body
    ) -> tuple[int, dict[str, str], str]:
        self.s3.shelf.abort(key, query["uploadId"])
        return 204, {}, ""

    def _list_multipart_uploads(self, *_: object) -> tuple[int, dict[str, str], str]:
        listed = "".join(
            f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{upload.upload_id}</UploadId></Upload>"
            for upload in self.s3.uploads.values()
        )
        return 200, {}, f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"

    # ---- answers

    def _refuse(self, refusal: Refusal) -> None:
        text = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>"
        self._answer(refusal.status, refusal.headers, "" if self.command == "HEAD" else text)

    def _answer(self, status: int, headers: Mapping[str, str], text: str | bytes) -> None:
        self._request.status = status
        body = text.encode() if isinstance(text, str) else text
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.send_header("x-amz-request-id", "strict")
        self.send_header("Date", self.date_time_string())
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def _named(part: str) -> tuple[int, str, str | None]:
    number, etag, checksum = _NUMBER.search(part), _ETAG.search(part), _CHECKSUM.search(part)
    if number is None or etag is None:
        raise Refusal(400, "MalformedXML", "a part has no number or no ETag")
    return int(number[1]), etag[1].replace("&quot;", '"'), checksum[1] if checksum else None


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in _KEPT or name.startswith("x-amz-meta-")}


def _described(found: StoredObject) -> dict[str, str]:
    said = {"ETag": found.etag}
    if found.checksum is not None:
        said["x-amz-checksum-sha256"] = found.checksum
    return said


def _body_of(data: bytes) -> Body:
    md5 = hashlib.md5(data, usedforsecurity=False)
    return Body(len(data), md5.digest(), hashlib.sha256(data).digest(), data)


def _other_bytes(body: Body) -> Body:
    data = body.data or b"\0" * body.size
    return _body_of(bytes([data[0] ^ 1]) + data[1:]) if data else body
