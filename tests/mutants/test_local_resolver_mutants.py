"""Wrong local resolvers, each of which the contract suite of resolvers finds out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import BinaryIO

import attrs
import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, AssetNotFound, MediaWatchError, SourceOfflineError, TransientError
from media_watch_tasks.local import confined, looks, resolver, stream
from media_watch_tasks.local.looks import FolderInUse
from media_watch_tasks.local.resolver import LocalMediaResolver
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.model.assets import AssetStat, MediaAsset, ResolvedMedia
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.model.metadata import MediaMetadata

SUITE = "tests/contracts/test_local_resolver.py::TestLocalMediaResolver::"
Kill = Callable[[Mutant, str], None]
Stat = Callable[[LocalMediaResolver, Sequence[MediaAsset]], Sequence[AssetStat | None]]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


def _wrap_stat(
    patch: pytest.MonkeyPatch, wrong: Callable[[Callable[..., object], Sequence[MediaAsset]], object]
) -> None:
    """`wrong(stat, assets)` takes the place of `stat`."""
    right = LocalMediaResolver.stat

    def stat(self: LocalMediaResolver, assets: Sequence[MediaAsset], *, cancel: CancelToken) -> object:
        return wrong(lambda some: right(self, some, cancel=cancel), assets)

    patch.setattr(LocalMediaResolver, "stat", stat)


@killed_by(
    "test_a_version_that_changes_while_it_is_read_does_not_end_well",
    "test_a_change_in_the_last_moment_is_told",
)
def does_not_look_at_the_end_of_a_stream(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalMediaResolver, "_verify", lambda *_: None)


@killed_by("test_a_version_that_changes_while_it_is_read_does_not_end_well")
def reads_on_into_what_a_file_has_grown_by(patch: pytest.MonkeyPatch) -> None:
    def open_plain(self: LocalMediaResolver, asset: MediaAsset, offset: int, _length: int | None) -> BinaryIO:
        file = os.fdopen(self._open_version_of(asset), "rb")
        file.seek(offset)
        return file

    patch.setattr(LocalMediaResolver, "_stream", open_plain)


@killed_by("test_a_change_in_the_last_moment_is_told")
def hands_out_buffered_bytes_without_a_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stream._VersionStream, "_look_at_the_end", lambda *_: None)


@killed_by("test_a_version_that_changes_while_it_is_read_does_not_end_well")
def looks_only_at_the_open_file(patch: pytest.MonkeyPatch) -> None:
    def verify(self: LocalMediaResolver, asset: MediaAsset, descriptor: int) -> None:
        self._compare(asset, resolver._fingerprint(os.fstat(descriptor)))

    patch.setattr(LocalMediaResolver, "_verify", verify)


@killed_by(
    "test_another_version_is_not_resolved",
    "test_another_version_is_not_opened",
    "test_a_version_that_changes_while_it_is_read_does_not_end_well",
    "test_a_range_of_another_version_is_not_read",
)
def compares_sizes_alone(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._compare

    def compare(self: LocalMediaResolver, asset: MediaAsset, found: Fingerprint) -> None:
        right(self, asset, Fingerprint(found.size, asset.mtime_ns))

    patch.setattr(LocalMediaResolver, "_compare", compare)


@killed_by("test_another_version_is_not_resolved", "test_another_version_is_not_opened")
def takes_newer_versions_only_for_changed(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._compare

    def compare(self: LocalMediaResolver, asset: MediaAsset, found: Fingerprint) -> None:
        if found.mtime_ns > asset.mtime_ns:
            right(self, asset, found)

    patch.setattr(LocalMediaResolver, "_compare", compare)


@killed_by("test_a_version_that_changes_while_it_is_read_does_not_end_well")
def takes_a_short_file_for_a_whole_one(patch: pytest.MonkeyPatch) -> None:
    def verify(self: LocalMediaResolver, asset: MediaAsset, descriptor: int) -> None:
        if os.fstat(descriptor).st_size >= asset.size:
            self._compare(asset, resolver._fingerprint(os.fstat(descriptor)))

    def readinto(self: stream._VersionReader, buffer: memoryview) -> int:
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    patch.setattr(LocalMediaResolver, "_verify", verify)
    patch.setattr(stream._VersionReader, "readinto", readinto)


@killed_by("test_every_open_begins_at_byte_0")
def opens_the_same_stream_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalMediaResolver, "_stream", cache(LocalMediaResolver._stream))


@killed_by("test_a_range_holds_its_bytes")
def reads_a_range_to_the_end_of_the_file(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._stream
    patch.setattr(LocalMediaResolver, "_stream", lambda self, asset, offset, _length: right(self, asset, offset, None))


@killed_by("test_a_range_holds_its_bytes")
def reads_a_range_from_the_start(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._stream
    patch.setattr(LocalMediaResolver, "_stream", lambda self, asset, _offset, length: right(self, asset, 0, length))


@killed_by("test_metadata_that_is_known_is_passed_on")
def forgets_what_is_known(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver.resolve_for_upload

    def resolve(
        self: LocalMediaResolver,
        asset: MediaAsset,
        *,
        known_metadata: MediaMetadata | None = None,
        cancel: CancelToken,
    ) -> ResolvedMedia:
        return right(self, asset, cancel=cancel)

    patch.setattr(LocalMediaResolver, "resolve_for_upload", resolve)


@killed_by("test_the_media_describes_the_asset")
def calls_everything_a_stream_of_bytes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolver, "mime_type_of", lambda _: "application/octet-stream")


@killed_by("test_what_was_cancelled_is_not_resolved", "test_looks_that_were_cancelled_are_not_taken")
def does_not_look_at_the_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CancelToken, "raise_if_cancelled", lambda _: None)


@killed_by("test_a_file_that_cannot_be_read_now_may_be_read_later")
def takes_denied_for_gone(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._failed

    def failed(self: LocalMediaResolver, asset: MediaAsset, error: OSError) -> MediaWatchError:
        found = right(self, asset, error)
        return AssetNotFound(str(found)) if isinstance(found, TransientError) else found

    patch.setattr(LocalMediaResolver, "_failed", failed)


@killed_by("test_a_folder_that_cannot_be_read_is_no_proof_of_absence")
def looks_past_unreadable_folders(patch: pytest.MonkeyPatch) -> None:
    right = FolderInUse.look

    def look(self: FolderInUse, path: bytes) -> AssetStat | None:
        try:
            return right(self, path)
        except OSError:
            return None

    patch.setattr(FolderInUse, "look", look)


@killed_by("test_a_place_that_is_offline_is_no_proof_of_absence")
def finds_nothing_in_an_offline_place(patch: pytest.MonkeyPatch) -> None:
    def wrong(stat: Callable[..., object], assets: Sequence[MediaAsset]) -> object:
        try:
            return stat(assets)
        except SourceOfflineError:
            return [None] * len(assets)

    _wrap_stat(patch, wrong)


@killed_by("test_a_place_that_is_offline_is_no_proof_of_absence")
def calls_a_file_gone_when_the_root_is(patch: pytest.MonkeyPatch) -> None:
    def offline(_: LocalRoot, error: OSError) -> MediaWatchError:
        return AssetNotFound(str(error))

    patch.setattr(LocalRoot, "offline", offline)


@killed_by("test_looks_come_in_the_order_of_the_assets")
def gives_looks_in_the_order_of_paths(patch: pytest.MonkeyPatch) -> None:
    _wrap_stat(patch, lambda stat, assets: stat(sorted(assets, key=lambda asset: asset.asset_id)))


@killed_by("test_looks_come_in_the_order_of_the_assets", "test_what_is_gone_is_none_and_the_others_are_there")
def leaves_out_what_is_gone_or_asked_for_twice(patch: pytest.MonkeyPatch) -> None:
    def wrong(stat: Callable[..., object], assets: Sequence[MediaAsset]) -> object:
        found = stat(list(dict.fromkeys(assets)))
        assert isinstance(found, list)
        kept = [each for each in found if each is not None]
        return kept + [None] * (len(assets) - len(kept))

    _wrap_stat(patch, wrong)


@killed_by("test_every_look_is_fresh")
def remembers_looks(patch: pytest.MonkeyPatch) -> None:
    remembered: dict[bytes, object] = {}

    def wrong(stat: Callable[..., object], assets: Sequence[MediaAsset]) -> object:
        for asset in assets:
            found = stat([asset])
            assert isinstance(found, list)
            remembered.setdefault(asset.asset_id, found[0])
        return [remembered[asset.asset_id] for asset in assets]

    _wrap_stat(patch, wrong)


@killed_by("test_a_look_shows_the_file_id_of_the_listing")
def shows_another_file_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(looks, "signed_file_id", lambda inode: inode + 1)


@killed_by("test_a_name_in_another_case_or_form_is_another_file")
def folds_names(patch: pytest.MonkeyPatch) -> None:
    right = FolderInUse.look

    def look(self: FolderInUse, path: bytes) -> AssetStat | None:
        exact = right(self, path)
        if exact is not None:
            return exact
        names = os.listdir(self._descriptor)
        other = [name for name in names if name.isascii() or os.fsencode(name)[:3] == path[:3]]
        return right(self, os.fsencode(min(other)))

    patch.setattr(FolderInUse, "look", look)


def _open_anything(patch: pytest.MonkeyPatch, *, follow: int) -> None:
    def open_below(root: int, path: bytes, flags: int, *, root_path: bytes | None = None) -> int:
        return os.open(path.partition(b"\0")[0] or b".", (flags & ~os.O_NOFOLLOW) | follow, dir_fd=root)

    for module in (confined, resolver, looks):
        patch.setattr(module, "open_below", open_below)


@killed_by("test_an_asset_id_that_no_scan_gives_is_refused")
def opens_every_path(patch: pytest.MonkeyPatch) -> None:
    _open_anything(patch, follow=os.O_NOFOLLOW)
    patch.setattr(resolver, "is_well_formed", lambda _: True)


@killed_by(
    "test_a_link_that_leads_out_of_the_root_is_refused", "test_a_folder_that_was_replaced_by_a_link_is_not_entered"
)
def follows_every_link(patch: pytest.MonkeyPatch) -> None:
    _open_anything(patch, follow=0)


@killed_by(
    "test_a_link_that_leads_out_of_the_root_is_refused", "test_a_folder_that_was_replaced_by_a_link_is_not_entered"
)
def follows_links_to_folders(patch: pytest.MonkeyPatch) -> None:
    _open_anything(patch, follow=os.O_NOFOLLOW)


@killed_by("test_a_file_that_is_gone_is_not_found", "test_a_file_that_is_gone_is_not_opened")
def calls_what_is_gone_changed(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver._failed

    def failed(self: LocalMediaResolver, asset: MediaAsset, error: OSError) -> MediaWatchError:
        found = right(self, asset, error)
        return AssetChanged(str(found)) if isinstance(found, AssetNotFound) else found

    patch.setattr(LocalMediaResolver, "_failed", failed)


@killed_by("test_a_stream_holds_exactly_the_bytes", "test_portions_of_any_size_add_up")
def loses_bytes_between_buffers(patch: pytest.MonkeyPatch) -> None:
    right = stream._VersionReader.readinto

    def readinto(self: stream._VersionReader, buffer: memoryview) -> int:
        before = self._position
        count = right(self, buffer)
        if before and count:
            buffer[0] ^= 1
        return count

    patch.setattr(stream._VersionReader, "readinto", readinto)


@killed_by("test_the_media_describes_the_asset")
def gives_another_asset(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaResolver.resolve_for_upload

    def resolve(self: LocalMediaResolver, asset: MediaAsset, *, cancel: CancelToken) -> ResolvedMedia:
        return attrs.evolve(right(self, asset, cancel=cancel), asset=attrs.evolve(asset, mtime_ns=0))

    patch.setattr(LocalMediaResolver, "resolve_for_upload", resolve)


@MUTANTS.each()
def test_a_wrong_resolver_is_found_out(assert_killed: Kill, mutant: Mutant, test: str) -> None:
    assert_killed(mutant, SUITE + test)
