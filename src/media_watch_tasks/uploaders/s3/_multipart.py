"""MultipartUpload: one file in parts, several on their way at once, resumed from what has arrived."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, BinaryIO

import attrs

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AssetChanged, LeaseLost, OperationCancelled, TransientError
from media_watch_tasks.http.bodies import fill
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import Stage
from media_watch_tasks.uploaders.s3._bucket import Bucket, Told
from media_watch_tasks.uploaders.s3.bodies import PartBody
from media_watch_tasks.uploaders.s3.budget import ByteBudget
from media_watch_tasks.uploaders.s3.standing import Standing

__all__ = ["MultipartUpload", "part_size_for"]

_MOST_PARTS = 10_000
_MIB = 1 << 20
_LOOK_SECONDS = 0.2
_STOP_SECONDS = 2.0
_TRIES = 3


def part_size_for(size: int, wanted: int) -> int:
    """Bytes of a part: as wanted, or as many MiB as keep the file within S3's 10,000 parts."""
    least = -(-size // _MOST_PARTS)
    return max(wanted, -(-least // _MIB) * _MIB)


@attrs.frozen
class _Part:
    etag: str
    checksum: str | None


class _OtherBytes(Exception):  # noqa: N818 - a finding
    """What S3 stored of a part is not what was sent."""


class MultipartUpload:
    """The attempt of one task. `deliver` is called once, by the thread of the upload.

    Args:
        bucket: where to.
        key: the object's.
        media: what is sent.
        context: its task; the state that is kept names the upload and the size of its parts, and nothing else: which
            parts have arrived is asked of S3.
        part_size: bytes of a part of a new upload.
        budget: the memory of all uploads together.
        senders: the threads of all uploads together.
    """

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        media: ResolvedMedia,
        context: UploadContext,
        *,
        part_size: int,
        budget: ByteBudget,
        senders: ThreadPoolExecutor,
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._media = media
        self._context = context
        self._part_size = part_size
        self._budget = budget
        self._senders = senders
        self._upload_id = ""
        self._parts: dict[int, _Part] = {}
        self._resumed = 0
        self._pending: dict[Future[_Part], tuple[int, PartBody]] = {}
        self._sent = 0
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def deliver(self, settings: Mapping[str, Any], conditions: Mapping[str, str]) -> Standing:
        """Send what is missing, then make the object visible; what stands there then.

        Args:
            settings: of the object: metadata, content type, storage class.
            conditions: `IfMatch` or `IfNoneMatch` for the last step.

        Raises:
            Told: a condition does not hold any more.
            MediaWatchError: as `Uploader.upload`; the parts are kept.
        """
        if not self._resume():
            self._begin(settings)
        try:
            self._send()
        except _OtherBytes as error:
            # Parts like that one must not be taken for good ones by the next attempt.
            self._bucket.abort(self._key, self._upload_id)
            self._context.save_resume_state(None)
            raise TransientError(str(error)) from None
        except BaseException as error:
            self._drain(stop=isinstance(error, OperationCancelled | LeaseLost))
            raise
        return self._complete(conditions)

    # ---- the state

    def _resume(self) -> bool:
        state = self._context.resume_state or {}
        upload_id, part_size = state.get("upload_id"), state.get("part_size")
        if not isinstance(upload_id, str) or not isinstance(part_size, int) or state.get("object") != self._key:
            return False
        self._part_size, self._upload_id = part_size, upload_id
        self._context.progress(0, total=self._media.size, stage=Stage.INITIALISE)
        try:
            listed = list(self._bucket.parts(self._key, upload_id))
        except Told:
            return False
        keeps_checksums = any(part.get("ChecksumSHA256") for part in listed)
        for part in listed:
            number, checksum = int(part["PartNumber"]), part.get("ChecksumSHA256")
            if number <= self._count and part["Size"] == self._length(number) and (checksum or not keeps_checksums):
                self._parts[number] = _Part(part["ETag"], checksum)
        self._resumed = sum(self._length(number) for number in self._parts)
        return True

    def _begin(self, settings: Mapping[str, Any]) -> None:
        self._context.progress(0, total=self._media.size, stage=Stage.INITIALISE)
        answer = self._bucket.call(
            "create_multipart_upload", doing=f"CreateMultipartUpload {self._key}",
            Key=self._key, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE", **settings,
        )  # fmt: skip
        self._upload_id = str(answer["UploadId"])
        try:
            self._save()
        except BaseException:
            # Nobody would ever know of it.
            self._bucket.abort(self._key, self._upload_id)
            raise

    def _save(self, **more: str) -> None:
        state = {"object": self._key, "upload_id": self._upload_id, "part_size": self._part_size, **more}
        self._context.save_resume_state(state)

    @property
    def _count(self) -> int:
        return max(1, -(-self._media.size // self._part_size))

    def _length(self, number: int) -> int:
        return min(self._part_size, self._media.size - (number - 1) * self._part_size)

    # ---- sending

    def _send(self) -> None:
        missing = [number for number in range(1, self._count + 1) if number not in self._parts]
        for number, data in self._read(missing):
            body = PartBody(data, self._stop.is_set)
            self._pending[self._senders.submit(self._send_part, number, body)] = (number, body)
            del data, body  # a part that was sent must not stay in memory
            self._collect(timeout=0)
        while self._pending:
            self._collect(timeout=_LOOK_SECONDS)

    def _read(self, missing: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        media = self._media
        for first, last in _runs(missing):
            start = (first - 1) * self._part_size
            end = min(last * self._part_size, media.size)
            # A read of the whole file is one stream from its first byte, so that whoever hashes streams sees all of it.
            whole = (start, end) == (0, media.size)
            with media.open() if whole else media.open_range(start, end - start) as opened:
                stream = self._context.watch(opened, offset=start)
                for number in range(first, last + 1):
                    size = self._length(number)
                    while not self._budget.take(size, timeout=_LOOK_SECONDS):
                        self._collect(timeout=0)
                    memory = self._budget.lend(size)
                    try:
                        data = self._whole_part(stream, memoryview(memory)[:size])
                    except BaseException:
                        self._budget.give_back(size)
                        raise
                    yield number, data
                    del data, memory
                if whole and fill(media, stream, memoryview(bytearray(1))):
                    raise AssetChanged(f"{media.asset.display} is longer than the {media.size} bytes it had")

    def _whole_part(self, stream: BinaryIO, memory: memoryview) -> memoryview:
        data = fill(self._media, stream, memory)
        if len(data) < len(memory):
            raise AssetChanged(f"{self._media.asset.display} is shorter than the {self._media.size} bytes it had")
        return data

    def _collect(self, *, timeout: float) -> None:
        """Take over parts that were sent, tell how far it is, and see whether it has to stop."""
        self._context.cancel.raise_if_cancelled()
        done = wait(self._pending, timeout, FIRST_COMPLETED).done if self._pending else set()
        if self._error is not None:
            raise self._error
        for future in done:
            number, _ = self._pending.pop(future)
            self._parts[number] = future.result()
            self._sent += self._length(number)
        under_way = sum(body.furthest for _, body in self._pending.values())
        self._context.progress(self._resumed + self._sent + under_way, total=self._media.size)

    def _send_part(self, number: int, body: PartBody) -> _Part:
        """Runs in a thread of `senders`."""
        try:
            return self._send_checked(number, body)
        except BaseException as error:
            # What has not begun need not begin, and what that raises is not what went wrong.
            self._error = self._error or error
            raise
        finally:
            size = len(body)
            self._budget.give_back(size, body.release())

    def _send_checked(self, number: int, body: PartBody) -> _Part:
        if self._stop.is_set() or self._error is not None:
            raise InterruptedError("the upload was stopped")
        checksum = base64.b64encode(hashlib.sha256(body.data).digest()).decode()
        for _ in range(_TRIES):
            body.seek(0)
            answer = self._bucket.call(
                "upload_part", doing=f"UploadPart {number} of {self._key}",
                Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=body,
                ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum,
            )  # fmt: skip
            stored = answer.get("ChecksumSHA256")
            if stored in {None, checksum}:
                return _Part(answer["ETag"], stored)
        raise _OtherBytes(f"S3 stores other bytes than it is sent: part {number} of {self._key}")

    def _drain(self, *, stop: bool) -> None:
        """Let what is on its way arrive: the next attempt need not send it again. Asked to stop, it is cut off."""
        while self._pending:
            if stop or self._context.cancel.cancelled:
                self._stop.set()
            done = wait(self._pending, _STOP_SECONDS if self._stop.is_set() else _LOOK_SECONDS, FIRST_COMPLETED).done
            for future in done:
                del self._pending[future]
            if self._stop.is_set() and not done:
                return  # a connection that hangs: its time-out ends it

    # ---- the end

    def _complete(self, conditions: Mapping[str, str]) -> Standing:
        self._context.progress(self._media.size, total=self._media.size, stage=Stage.FINALISE)
        parts = [self._parts[number] for number in range(1, self._count + 1)]
        checksum = _composite(parts)
        if checksum is not None:
            # If the answer gets lost, this tells the object that stands there from any other.
            self._save(checksum=checksum)
        self._context.confirm()
        named = [
            {"PartNumber": number, "ETag": part.etag, **({"ChecksumSHA256": part.checksum} if part.checksum else {})}
            for number, part in enumerate(parts, start=1)
        ]
        answer = self._bucket.call(
            "complete_multipart_upload", doing=f"CompleteMultipartUpload {self._key}",
            told={"PreconditionFailed", "412", "NoSuchUpload", "NoSuchKey", "NotImplemented"},
            Key=self._key, UploadId=self._upload_id, MultipartUpload={"Parts": named}, **conditions,
        )  # fmt: skip
        return Standing(
            size=self._media.size,
            etag=str(answer.get("ETag", "")).strip('"'),
            # Where S3 named the hash of each part and took it back, its own of the whole can only be this one.
            checksum=answer.get("ChecksumSHA256") or checksum,
            metadata={},
            version_id=answer.get("VersionId"),
        )


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of every stretch of consecutive numbers."""
    for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        stretch = [number for _, number in run]
        yield stretch[0], stretch[-1]


def _composite(parts: Sequence[_Part]) -> str | None:
    """S3's checksum of an object in parts: the hash of their hashes, and their number."""
    hashes = [base64.b64decode(part.checksum) for part in parts if part.checksum]
    if len(hashes) < len(parts):
        return None
    return f"{base64.b64encode(hashlib.sha256(b''.join(hashes)).digest()).decode()}-{len(parts)}"
