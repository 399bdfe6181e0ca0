"""One attempt at one task, on a worker thread: look, resolve, ask the destination, send, look again."""

from __future__ import annotations

import logging
from datetime import timedelta

import attrs

from media_watch_tasks.abc.payloads import KeptPayload
from media_watch_tasks.abc.uploader import FindsExisting, Uploader
from media_watch_tasks.clock import from_ns, to_ns
from media_watch_tasks.errors import (
    AlreadyExists,
    AssetChanged,
    AssetNotFound,
    AuthenticationRequiredError,
    OperationCancelled,
    Snooze,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.manager.content import ContentHash, from_source, hash_of, watched
from media_watch_tasks.manager.context import ManagedContext
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.outcomes import Outcome, SourceVersionFound, judge, succeeded
from media_watch_tasks.manager.spooling import Spooling
from media_watch_tasks.model.assets import MediaAsset, ResolvedMedia
from media_watch_tasks.model.events import TaskBegun
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.model.redaction import redact
from media_watch_tasks.model.settlements import ReservationState
from media_watch_tasks.model.sources import AssetState
from media_watch_tasks.model.uploads import Stage, UploadReceipt

__all__ = ["Attempt", "perform"]

_log = logging.getLogger(__name__)
_CONTENT_BUSY_DELAY = timedelta(seconds=5)


def perform(core: ManagerCore, flight: Flight, known: AssetState | None) -> Outcome:
    """Deliver the file of one claim, whatever happens: every exception becomes an outcome."""
    attempt = Attempt(core, flight, known)
    try:
        receipt = attempt.prepare()
        if receipt is None:
            receipt = attempt.send()
        return attempt.success(receipt)
    except Exception as error:  # noqa: BLE001 - the one place where anything raised by a source or destination becomes an outcome
        return attempt.failure(error)


class Attempt:
    """The steps of an attempt, so that single uploads and batches take the same ones."""

    def __init__(self, core: ManagerCore, flight: Flight, known: AssetState | None) -> None:
        flight.begin()
        notifier = core.notifier
        if notifier.active:
            notifier.emit(TaskBegun(at_ns=notifier.now_ns(), task=flight.claim.task))
        self._core = core
        self._flight = flight
        self._task = flight.claim.task
        self._known = known
        self._uploader: Uploader = core.destinations.uploader(self._task.route)
        task = self._task
        file_id = None if known is None else known.file_id
        self._asset = MediaAsset(task.source_id, task.asset_id, *task.fingerprint, file_id)
        timeout = core.options.attempt_timeout
        self.context = ManagedContext(
            core,
            flight,
            check_source=self._check_source,
            deadline=None if timeout is None else from_ns(core.clock.now_ns() + to_ns(timeout)),
        )
        self._media: ResolvedMedia | None = None
        self._content_hash: ContentHash | None = None
        self._reserved: str | None = None
        self._new_metadata: MediaMetadata | None = None
        self._spooling = Spooling(core)
        self._kept: KeptPayload | None = None

    @property
    def media(self) -> ResolvedMedia:
        """The file, once `prepare` has made it readable."""
        if self._media is None:
            raise RuntimeError("prepare() has not run")
        return self._media

    def prepare(self) -> UploadReceipt | None:
        """Everything before the upload; a receipt if nothing has to be sent."""
        self._flight.cancel.raise_if_cancelled()
        self._kept = self._spooling.kept(self._task)
        if self._kept is None:
            self._media = self._resolve()
        else:
            self._check_source()
            self._media = self._from_kept(self._kept)
        if self._kept is None and self._spooling.before_sending:
            self._keep()
        if self._task.ever_begun:
            found = self._find_existing()
            if found is not None:
                return found
        return self._dedup() if self._core.options.enable_hash_dedup else None

    def send(self) -> UploadReceipt:
        """Hand the file to the uploader, and see that what it sent is the version of the task."""
        try:
            receipt = self._uploader.upload(self.media, self.context)
        except AlreadyExists as error:
            receipt = self._judge_existing(error)
        return receipt

    def success(self, receipt: UploadReceipt) -> Outcome:
        """The outcome of a receipt, after a last look at the source."""
        if not isinstance(receipt, UploadReceipt):
            kind = type(self._uploader).__name__
            raise TypeError(f"{kind}.upload returned {type(receipt).__name__}, not an UploadReceipt")
        if self.context.bytes_read_at_confirm != self._flight.bytes_read:
            self._check_source()
        size = self._task.fingerprint.size
        if receipt.size is not None and receipt.size != size:
            raise TransientError(f"the destination holds {receipt.size} bytes of a file of {size}")
        sent_hash = self._content_hash.hex if self._content_hash is not None else None
        if self._reserved is not None and (sent_hash or receipt.sha256 or self._reserved) != self._reserved:
            raise TransientError("the bytes sent are not those that were hashed before")
        known_hash = receipt.sha256 or sent_hash or self._reserved
        complete = receipt
        if receipt.size is None or receipt.sha256 != known_hash:
            complete = attrs.evolve(receipt, size=size, sha256=known_hash)
        sent = 0 if receipt.deduplicated else max(self._flight.bytes_sent, size if self._flight.bytes_read else 0)
        return succeeded(
            self._flight.claim,
            complete,
            bytes_sent=sent,
            metadata=self._new_metadata,
            action=self._core.owed_action(complete),
        )

    def failure(self, error: BaseException) -> Outcome:
        """The outcome of an exception. When the work was asked to stop, that is why it ended, whatever was raised."""
        reason = self._flight.cancel.reason
        if reason is not None and not isinstance(error, SourceVersionFound | AssetNotFound):
            error = OperationCancelled(reason)
        elif isinstance(error, AssetChanged):
            error = self._what_changed(error)
        outcome = judge(
            self._flight.claim,
            error,
            options=self._core.options,
            now_ns=self._core.clock.now_ns(),
            draw=self._core.rng.random(),
        )
        if reason is None and self._media is not None and self._spooling.wanted_after(outcome):
            self._keep_after_failure()
        return attrs.evolve(outcome, metadata=self._new_metadata, bytes_sent=self._flight.bytes_sent)

    def _keep(self) -> None:
        """Keep the bytes, if they are still those of the task; from then on the upload reads what is kept."""
        if self._kept is not None:
            return
        kept = self._spooling.keep(self._task, self.media)
        if kept is None:
            return
        try:
            self._check_source()
        except Exception:
            # Read while the file changed, or vanished half-way: nobody knows what these bytes are.
            self._spooling.forget(self._task, reason="the source changed meanwhile")
            raise
        self._kept = kept
        self._media = self._from_kept(kept)

    def _keep_after_failure(self) -> None:
        try:
            self._keep()
        except Exception as error:  # noqa: BLE001 - the attempt has failed for another reason, and ends with that one
            _log.warning("not kept: %s", redact(str(error)), extra={"task_id": self._task.id})

    def _from_kept(self, kept: KeptPayload) -> ResolvedMedia:
        known = self._known
        current = known.current_metadata if known and known.fingerprint == self._task.fingerprint else None
        media = ResolvedMedia(self._asset, kept.mime_type, kept.open_stream, metadata=current, sha256=kept.sha256)
        if self._core.options.enable_hash_dedup and self._content_hash is None:
            self._content_hash = ContentHash(self._task.fingerprint.size)
        return watched(media, on_read=self._flight.on_read, content_hash=self._content_hash)

    def _check_source(self) -> None:
        try:
            (found,) = from_source(self._core.resolver.stat, (self._asset,), cancel=self._flight.cancel)
        except (SourceOfflineError, AuthenticationRequiredError, TransientError):
            if self._kept is None:
                raise
            return  # the bytes are here
        if found is None:
            if self._kept is None:
                self._raise_gone()
        elif found.fingerprint != self._task.fingerprint:
            raise SourceVersionFound(found.fingerprint)

    def _raise_gone(self) -> None:
        # An empty mount point or another disk at the same path also has no such file: only the right root proves it.
        root = from_source(self._core.scanner.identify, cancel=self._flight.cancel)
        if not self._core.is_accepted_root(root):
            if self._core.media_state.source(self._core.source_id).quarantine is not None:
                # The source goes on with what is there: only the files of the place that is missing wait.
                raise Snooze(self._core.options.party_pause_max, "the source is in quarantine")
            raise SourceOfflineError(f"another place stands at the root of {self._core.source_id} now")
        raise AssetNotFound(f"{self._task.display} is not at {self._core.source_id} any more")

    def _resolve(self) -> ResolvedMedia:
        known = self._known
        current = known.current_metadata if known and known.fingerprint == self._task.fingerprint else None
        try:
            media = from_source(
                self._core.resolver.resolve_for_upload,
                self._asset,
                known_metadata=current,
                cancel=self._flight.cancel,
            )
        except AssetNotFound:
            self._raise_gone()
            raise
        except (SourceOfflineError, AuthenticationRequiredError, OperationCancelled):
            raise
        except Exception:
            # That the file is another version counts before whatever keeps it from being read.
            self._check_source()
            raise
        # A trouble of the reading says nothing of the file: what is not kept is asked for again.
        if media.metadata is not None and not media.metadata.transient and media.metadata != current:
            self._new_metadata = media.metadata
        if self._core.options.enable_hash_dedup:
            self._content_hash = ContentHash(self._task.fingerprint.size)
        return watched(media, on_read=self._flight.on_read, content_hash=self._content_hash)

    def _find_existing(self) -> UploadReceipt | None:
        if not isinstance(self._uploader, FindsExisting):
            return None
        return self._uploader.find_existing(self.media, self.context)

    def _dedup(self) -> UploadReceipt | None:
        ref = self._flight.claim.ref
        size = self._task.fingerprint.size
        if not self._core.tasks.has_content_of_size(ref, size):
            return None  # nothing can equal it: the hash is taken while the bytes stream
        digest = self.media.sha256 or self._hash()
        state, receipt = self._core.tasks.reserve_content(ref, digest)
        if state is ReservationState.BUSY:
            raise Snooze(_CONTENT_BUSY_DELAY, "equal content is being sent by another task")
        if state is ReservationState.DELIVERED and receipt is not None:
            return attrs.evolve(receipt, deduplicated=True)
        self._reserved = digest
        self._media = attrs.evolve(self.media, sha256=digest)
        return None

    def _hash(self) -> str:
        done = 0

        def on_read(count: int) -> None:
            nonlocal done
            done += count
            self.context.progress(done, total=self._task.fingerprint.size, stage=Stage.HASH)

        return hash_of(self.media, on_read=on_read)

    def _judge_existing(self, error: AlreadyExists) -> UploadReceipt:
        receipt = error.receipt
        if receipt is not None:
            if error.by_key:
                return receipt
            if receipt.size == self._task.fingerprint.size and (
                receipt.sha256 is None or receipt.sha256 == (self.media.sha256 or self._hash())
            ):
                return receipt
        found = self._find_existing()
        if found is None:
            raise error
        return found

    def _what_changed(self, error: AssetChanged) -> BaseException:
        """A reader saw another version: find out which, so that it can be queued at once."""
        try:
            self._check_source()
        except Exception as finding:  # noqa: BLE001 - whatever the look raises says more about the file than the reader could
            return finding
        return TransientError(f"{error}; yet the file looks as it did before")
