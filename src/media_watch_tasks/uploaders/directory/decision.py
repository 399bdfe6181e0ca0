"""What to do about the name that a file shall get: the rules that keep one file from overwriting another."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

import attrs

from media_watch_tasks.abc.uploader import UploadContext
from media_watch_tasks.errors import AlreadyExists
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.model.uploads import Stage, UploadReceipt
from media_watch_tasks.model.values import Value
from media_watch_tasks.uploaders.directory.copying import hash_of_source
from media_watch_tasks.uploaders.directory.existing import (
    Standing,
    Stranger,
    look_at,
    version_name,
    version_number,
    versions_of,
)
from media_watch_tasks.uploaders.directory.ownership import Mark, owner_of
from media_watch_tasks.uploaders.directory.receipts import path_of, receipt_for
from media_watch_tasks.uploaders.directory.template import TargetPath

__all__ = ["Decision", "OnNewer", "Place", "SameBytes"]

OnNewer = Literal["replace", "version"]
"""What becomes of an earlier version of the same asset."""


@attrs.frozen(eq=False, repr=False)
class Place(Value):
    """Put the copy here."""

    name: bytes
    over: Standing | None = None
    """The earlier version that it replaces, if that is still the file it was. None: nothing may have the name."""


@attrs.frozen(eq=False, repr=False)
class SameBytes(Value):
    """The bytes stand here already; they were compared."""

    name: bytes
    shared: bool
    """True where nothing proves that they were put there for this asset."""


class Decision:
    """Decides for one upload or look. Files are hashed only where an equal size, or a replacement, makes it matter."""

    def __init__(self, media: ResolvedMedia, context: UploadContext, path: TargetPath, *, on_newer: OnNewer) -> None:
        self._media = media
        self._context = context
        self._folder, self._name = path[:-1], path[-1]
        self._on_newer = on_newer
        self._owner = owner_of(media.asset)
        self._previous: UploadReceipt | None = None
        self._asked_previous = False
        self.sha256: str | None = media.sha256
        """Of the source, hex, once known."""
        self.shown = display_text(b"/".join(path))
        """The target for people."""

    def decide(self, folder_fd: int) -> Place | SameBytes:
        """What to do about the template's name.

        Nothing has it: the copy gets it. The same bytes: nothing is sent. An earlier version of this asset, on proof:
        it is replaced, or the copy gets the next version's name, also where another asset counts on those bytes.

        Raises:
            AlreadyExists: anything else has the name.
            OSError: the look failed.
        """
        try:
            with look_at(folder_fd, self._name) as standing:
                if standing is None:
                    return Place(self._name)
                found = self._same(standing, self._name) or self._own_version(folder_fd)
                return found or self._about(standing, folder_fd)
        except Stranger as error:
            raise AlreadyExists(f"{self.shown} at the destination cannot be compared: {error}; left alone") from error

    def find(self, folder_fd: int) -> SameBytes | None:
        """Where the bytes stand: under the template's name, or as a version later than the last one delivered."""
        latest = self._previous_number()
        for number in reversed(versions_of(folder_fd, self._name)):
            # Of versions kept side by side an older one with these bytes is history: the file was changed back.
            if self._on_newer == "version" and latest is not None and number <= latest:
                continue
            found = self._same_under(folder_fd, version_name(self._name, number))
            if found is not None:
                return found
        return None

    def receipt(self, name: bytes, *, verified: bool, shared: bool = False) -> UploadReceipt:
        """The receipt for the bytes under this name."""
        path = (*self._folder, name)
        return receipt_for(
            path, size=self._media.size, sha256=self._source_hash(), verified=verified, deduplicated=shared
        )

    def mark(self) -> Mark:
        """The mark of a new copy."""
        return Mark(self._source_hash(), frozenset({self._owner}))

    def _own_version(self, folder_fd: int) -> Place | SameBytes | None:
        """Replace the asset's own numbered file, where another asset needed the template's name."""
        latest = self._previous_number()
        if self._on_newer != "replace" or latest is None or latest == 1:
            return None
        name = version_name(self._name, latest)
        with contextlib.suppress(Stranger), look_at(folder_fd, name) as standing:
            if standing is None:
                return None
            same = self._same(standing, name)
            if same is not None:
                return same
            if self._hash_of(standing) in self._delivered_as(standing, latest) and not self._others_count_on(standing):
                return Place(name, over=standing)
        return None

    def _about(self, standing: Standing, folder_fd: int) -> Place | SameBytes:
        """Other bytes have the name."""
        latest = self._previous_number()
        marked = standing.mark is not None and self._owner in standing.mark.owners
        if self._on_newer == "version":
            is_earlier = marked or latest is not None
        else:
            is_earlier = self._hash_of(standing) in self._delivered_as(standing, 1)
        if not is_earlier:
            raise AlreadyExists(
                f"another file stands at {self.shown}, and nothing proves that it is an earlier version of"
                f" {self._media.asset.display}; it was left alone"
            )
        if self._on_newer == "replace" and not self._others_count_on(standing):
            return Place(self._name, over=standing)
        numbers = versions_of(folder_fd, self._name)
        newest = numbers[-1] if numbers else 1
        if newest > max(latest or 1, 1):
            found = self._same_under(folder_fd, version_name(self._name, newest))
            if found is not None and not found.shared:
                return found
        return Place(version_name(self._name, newest + 1))

    def _delivered_as(self, standing: Standing, number: int) -> set[str]:
        """Hashes of versions of this asset that are known to have been delivered under the name of that version."""
        hashes = set()
        if standing.mark is not None and self._owner in standing.mark.owners:
            hashes.add(standing.mark.sha256)
        previous = self._previous_receipt()
        if previous is not None and previous.sha256 is not None and self._previous_number() == number:
            hashes.add(previous.sha256)
        return hashes

    def _others_count_on(self, standing: Standing) -> bool:
        if standing.mark is not None:
            return bool(standing.mark.owners - {self._owner})
        # Without a mark: bytes that were there already when this asset came may be another one's.
        previous = self._previous_receipt()
        return previous is None or previous.deduplicated

    def _same_under(self, folder_fd: int, name: bytes) -> SameBytes | None:
        try:
            with look_at(folder_fd, name) as standing:
                return None if standing is None else self._same(standing, name)
        except Stranger:
            return None

    def _same(self, standing: Standing, name: bytes) -> SameBytes | None:
        """If the bytes are the asset's: then the file is durable, and marked as one that this asset counts on."""
        if standing.stat.st_size != self._media.size or self._hash_of(standing) != self._source_hash():
            return None
        os.fsync(standing.fd)
        owners: frozenset[bytes] = frozenset()
        if standing.mark is not None and standing.mark.sha256 == self.sha256:
            owners = standing.mark.owners
        if self._owner in owners:
            return SameBytes(name, shared=False)
        Mark(self._source_hash(), owners | {self._owner}).write(standing.fd)
        return SameBytes(name, shared=bool(owners) or not self._is_previous(name))

    def _is_previous(self, name: bytes) -> bool:
        """True if the last receipt says that this asset's bytes were put under this name."""
        previous = self._previous_receipt()
        return (
            previous is not None
            and not previous.deduplicated
            and previous.sha256 == self.sha256
            and path_of(previous) == (*self._folder, name)
        )

    def _previous_receipt(self) -> UploadReceipt | None:
        # It may cost a look into the database, and most uploads never ask.
        if not self._asked_previous:
            self._previous, self._asked_previous = self._context.previous, True
        return self._previous

    def _previous_number(self) -> int | None:
        """Which version of the template's name the last receipt names; None if it names another place."""
        previous = self._previous_receipt()
        path = None if previous is None else path_of(previous)
        if path is None or path[:-1] != self._folder:
            return None
        return version_number(self._name, path[-1])

    def _hash_of(self, standing: Standing) -> str:
        total = standing.stat.st_size
        return standing.hash(lambda done: self._context.progress(done, total=total, stage=Stage.HASH))

    def _source_hash(self) -> str:
        if self.sha256 is None:
            self.sha256 = hash_of_source(self._media, self._context)
        return self.sha256
