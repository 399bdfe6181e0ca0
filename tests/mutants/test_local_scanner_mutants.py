"""Wrong local scanners, each of which the contract suite of scanners finds out."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

import attrs
import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, to_ns
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, SourceOfflineError
from media_watch_tasks.local import descriptors, folder, listing
from media_watch_tasks.local.descriptors import DirectoryChain
from media_watch_tasks.local.folder import FolderPages
from media_watch_tasks.local.reading_ahead import FolderListing
from media_watch_tasks.local.root import LocalRoot
from media_watch_tasks.local.scanner import LocalMediaScanner
from media_watch_tasks.local.walk import TreeWalk
from media_watch_tasks.model import identity
from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.scans import AssetRow, DirectoryStamp, KnownDirectory, ScanPage
from media_watch_tasks.scanning import MediaFilter, Position, Resume, checkpoints

SUITE = "tests/contracts/test_local_scanner.py::TestLocalMediaScanner::"
SUITE_AHEAD = "tests/contracts/test_local_scanner.py::TestLocalMediaScannerThatReadsAhead::"
Kill = Callable[[Mutant, str], None]
Pages = Iterator[ScanPage]
Found = list[os.stat_result]
Failures = list[OSError]
Rows = tuple[tuple[AssetRow, ...], tuple[int, ...]]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by
MUTANTS_AHEAD = Mutants()
read_ahead_killed_by = MUTANTS_AHEAD.killed_by


def _wrap_scan(patch: pytest.MonkeyPatch, wrong: Callable[..., Pages]) -> None:
    """`wrong(scan, **options)` takes the place of `scan_assets`."""
    right: Callable[..., Pages] = LocalMediaScanner.scan_assets

    def scan_assets(self: LocalMediaScanner, **options: object) -> Pages:
        return wrong(partial(right, self, **options), **options)

    patch.setattr(LocalMediaScanner, "scan_assets", scan_assets)


@killed_by(
    "test_a_checkpoint_whose_directory_is_gone_skips_nothing",
    "test_a_checkpoint_skips_nothing_when_the_folders_above_it_are_gone",
    "test_a_checkpoint_skips_nothing_when_a_file_stands_in_its_place",
)
def skips_until_it_meets_the_checkpoint(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], *, resume_from: str | None = None, **_: object) -> Pages:
        pages = scan(resume_from=None)
        if resume_from is not None:
            for page in pages:
                if page.checkpoint == resume_from:
                    break
        yield from pages

    _wrap_scan(patch, wrong)


@killed_by("test_a_scan_goes_on_with_exactly_the_rest_behind_every_checkpoint")
def compares_paths_as_texts(patch: pytest.MonkeyPatch) -> None:
    def position(self: Resume, directory: bytes) -> Position:
        if identity.is_below(self.directory, directory):
            return Position.ON_THE_WAY
        return Position.AHEAD if directory > self.directory else Position.BEHIND

    patch.setattr(Resume, "position", position)


@killed_by(
    "test_a_scan_goes_on_with_exactly_the_rest_behind_every_checkpoint",
    "test_folders_that_appear_behind_a_checkpoint_are_listed",
)
def forgets_what_is_below_the_checkpoint(patch: pytest.MonkeyPatch) -> None:
    right = Resume.position

    def position(self: Resume, directory: bytes) -> Position:
        return Position.BEHIND if directory and directory == self.directory else right(self, directory)

    patch.setattr(Resume, "position", position)


@killed_by("test_what_is_no_checkpoint_is_refused")
def begins_anew_with_a_bad_checkpoint(patch: pytest.MonkeyPatch) -> None:
    right = checkpoints.decode_checkpoint

    def decode(checkpoint: str) -> bytes:
        try:
            return right(checkpoint)
        except ConfigurationError:
            return b""

    patch.setattr(checkpoints, "decode_checkpoint", decode)


@killed_by(
    "test_a_folder_that_cannot_be_read_is_a_problem_and_the_scan_goes_on",
    "test_a_known_folder_that_cannot_be_read_any_more_is_no_unchanged_one",
    "test_a_folder_above_the_checkpoint_that_cannot_be_read_any_more_is_a_problem",
)
def takes_an_unreadable_folder_for_an_empty_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FolderPages, "unlisted", lambda self, directory, *_: self.empty(directory))


@killed_by("test_a_folder_that_is_deleted_during_the_scan_leaves_it_complete")
def complains_of_what_was_deleted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TreeWalk, "_is_gone", lambda *_: False)


@killed_by("test_a_folder_that_is_deleted_during_the_scan_leaves_it_complete")
def says_nothing_of_a_folder_that_was_deleted(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], **_: object) -> Pages:
        for page in scan():
            if page.rows or page.stamp is not None or page.problems:
                yield page

    _wrap_scan(patch, wrong)


@killed_by("test_a_file_that_is_deleted_during_the_scan_leaves_it_complete")
def complains_of_a_file_that_was_deleted(patch: pytest.MonkeyPatch) -> None:
    right = listing._one_by_one

    def one_by_one(descriptor: int, names: list[bytes], look: listing.Look) -> tuple[list[bytes], Found, Failures]:
        there, found, failures = right(descriptor, names, look)
        for name in set(names) - set(there):
            failures.append(OSError(2, "gone", name))
        return there, found, failures

    patch.setattr(listing, "_one_by_one", one_by_one)


@killed_by("test_no_time_of_modification_hides_a_file")
def takes_only_recent_files(patch: pytest.MonkeyPatch) -> None:
    right = listing.FileColumns.rows

    def rows(columns: listing.FileColumns, names: list[bytes], smallest: int, largest: int) -> Rows:
        found, file_ids = right(columns, names, smallest, largest)
        kept = [row[2] > 1_400_000_000 * NANOSECONDS for row in found]
        return (
            tuple(row for row, keep in zip(found, kept, strict=True) if keep),
            tuple(number for number, keep in zip(file_ids, kept, strict=True) if keep),
        )

    patch.setattr(listing.FileColumns, "rows", rows)


@killed_by("test_since_hides_nothing_that_is_there")
def takes_only_files_since(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], *, since: datetime | None = None, **_: object) -> Pages:
        for page in scan():
            if since is None:
                yield page
            else:
                rows = tuple(row for row in page.rows if row[2] >= to_ns(since))
                yield attrs.evolve(page, rows=rows, file_ids=())

    _wrap_scan(patch, wrong)


@killed_by("test_every_file_appears_once_in_the_order_of_path_components")
def sorts_directories_as_texts(patch: pytest.MonkeyPatch) -> None:
    _wrap_scan(patch, lambda scan, **_: iter(sorted(scan(), key=lambda page: page.directory)))


@killed_by("test_every_file_appears_once_in_the_order_of_path_components")
def lists_in_the_order_of_the_disk(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], **_: object) -> Pages:
        return (attrs.evolve(page, rows=page.rows[::-1]) for page in scan())

    _wrap_scan(patch, wrong)


@killed_by(
    "test_folders_are_read_only_as_their_pages_are_asked_for",
    "test_a_scan_that_is_cancelled_stops",
    "test_a_scan_whose_root_is_lost_ends_with_an_error",
)
def lists_everything_before_the_first_page(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], **_: object) -> Pages:
        yield from list(scan())

    _wrap_scan(patch, wrong)


@killed_by("test_a_scan_that_is_cancelled_before_it_begins_lists_nothing", "test_a_scan_that_is_cancelled_stops")
def does_not_look_at_the_token(patch: pytest.MonkeyPatch) -> None:
    _wrap_scan(patch, lambda scan, **_: scan(cancel=CancelToken()))


@killed_by("test_a_scan_that_is_cancelled_stops")
def ends_quietly_when_cancelled(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], **_: object) -> Pages:
        try:
            yield from scan()
        except OperationCancelled:
            return

    _wrap_scan(patch, wrong)


@killed_by("test_a_directory_comes_in_pages_of_at_most_a_thousand")
def gives_a_directory_as_one_page(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listing, "_PORTION", 1_000_000)


@killed_by("test_a_directory_comes_in_pages_of_at_most_a_thousand")
def loses_the_last_file_of_a_page(patch: pytest.MonkeyPatch) -> None:
    right = listing.FileColumns.rows
    patch.setattr(listing.FileColumns, "rows", lambda *a: tuple(column[:999] for column in right(*a)))


@killed_by("test_a_file_keeps_its_id_where_ids_are_stable")
def gives_every_file_the_same_id(patch: pytest.MonkeyPatch) -> None:
    right = listing.FileColumns.rows
    patch.setattr(listing.FileColumns, "rows", lambda *a: (right(*a)[0], (1,) * len(right(*a)[1])))


@killed_by(
    "test_a_folder_whose_time_was_set_back_is_listed",
    "test_a_folder_that_took_the_place_of_another_is_listed",
)
def trusts_the_mtime_of_a_folder(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folder, "directory_stamp", lambda found, **_: DirectoryStamp(found.st_mtime_ns, 0))


@killed_by("test_a_folder_that_took_the_place_of_another_is_listed", "test_a_folder_whose_time_was_set_back_is_listed")
def leaves_out_folders_that_are_not_newer(patch: pytest.MonkeyPatch) -> None:
    class Older(DirectoryStamp):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, DirectoryStamp) and self.mtime_ns <= other.mtime_ns

        __hash__ = DirectoryStamp.__hash__

    patch.setattr(folder, "directory_stamp", lambda found, **_: Older(found.st_mtime_ns, found.st_ctime_ns))


@killed_by("test_a_tree_that_did_not_change_is_not_listed_and_still_visited")
def does_not_visit_what_is_below_an_unchanged_folder(patch: pytest.MonkeyPatch) -> None:
    right = TreeWalk._known_directory

    def known_directory(self: TreeWalk, directory: bytes) -> KnownDirectory | None:
        known = right(self, directory)
        return None if known is None else KnownDirectory(known.stamp)

    patch.setattr(TreeWalk, "_known_directory", known_directory)


@killed_by("test_a_tree_that_did_not_change_is_not_listed_and_still_visited")
def lists_known_folders_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TreeWalk, "_known_directory", lambda *_: None)


@killed_by("test_a_directory_whose_entries_changed_is_listed")
def trusts_every_known_folder(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folder, "directory_stamp", lambda *_, **__: DirectoryStamp(0, 0))


@killed_by("test_a_stamp_is_that_from_before_the_listing")
def takes_the_stamp_after_the_listing(patch: pytest.MonkeyPatch) -> None:
    right = FolderPages._listed

    def listed(self: FolderPages, directory: bytes, content: folder._Content, *, with_ids: bool) -> Pages:
        for page in right(self, directory, content, with_ids=with_ids):
            found = os.fstat(self._chain.descriptor())
            late = page.stamp and DirectoryStamp(found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            yield attrs.evolve(page, stamp=late)

    patch.setattr(FolderPages, "_listed", listed)


@killed_by("test_links_are_not_followed")
def follows_links(patch: pytest.MonkeyPatch) -> None:
    right = listing.read_names

    def read_names(descriptor: int, cancel: CancelToken) -> listing.FolderNames:
        names = right(descriptor, cancel)
        names.directories += [name for name in names.links if b"." not in name]
        return names

    patch.setattr(folder, "read_names", read_names)
    patch.setattr(descriptors, "_OPEN", os.O_RDONLY | os.O_DIRECTORY)


@killed_by("test_names_are_listed_byte_for_byte", "test_folders_with_such_names_are_listed_too")
def normalises_names(patch: pytest.MonkeyPatch) -> None:
    right = listing._as_bytes

    def as_bytes(names: list[str]) -> list[bytes]:
        return right([unicodedata.normalize("NFC", name) for name in names])

    patch.setattr(listing, "_as_bytes", as_bytes)


@killed_by("test_names_are_listed_byte_for_byte")
def leaves_out_names_that_are_no_text(patch: pytest.MonkeyPatch) -> None:
    right = MediaFilter.files

    def files(self: MediaFilter, directory: bytes, names: list[bytes]) -> list[bytes]:
        return [name for name in right(self, directory, names) if name.decode("utf-8", "ignore").encode() == name]

    patch.setattr(MediaFilter, "files", files)


@killed_by("test_names_are_listed_byte_for_byte")
def takes_line_breaks_for_the_end_of_a_name(patch: pytest.MonkeyPatch) -> None:
    def as_bytes(names: list[str]) -> list[bytes]:
        return b"\n".join(map(os.fsencode, names)).splitlines()

    patch.setattr(listing, "_as_bytes", as_bytes)


@killed_by("test_a_scan_resumes_behind_a_folder_with_such_a_name")
def writes_checkpoints_as_text(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        folder, "encode_checkpoint", lambda path: checkpoints.encode_checkpoint(path.decode(errors="replace").encode())
    )


@killed_by("test_a_deep_tree_is_listed_to_its_end")
def gives_up_in_the_depth(patch: pytest.MonkeyPatch) -> None:
    right = TreeWalk._visited

    def visited(self: TreeWalk, directory: bytes, name: bytes, *, silent: bool) -> folder.Pages:
        names = yield from right(self, directory, name, silent=silent)
        return names if directory.count(b"/") < 30 else ()

    patch.setattr(TreeWalk, "_visited", visited)


@killed_by("test_a_deep_tree_is_listed_to_its_end")
def does_not_find_back_from_the_depth(patch: pytest.MonkeyPatch) -> None:
    def open_again(_: DirectoryChain) -> int:
        raise FileNotFoundError(2, "lost")

    patch.setattr(DirectoryChain, "_open_again", open_again)


@killed_by("test_a_scan_whose_root_is_lost_ends_with_an_error")
def does_not_see_that_the_root_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalRoot, "require", lambda *_: None)


@killed_by("test_a_place_that_is_offline_gives_no_page", "test_the_same_scanner_goes_on_when_the_place_is_back")
def takes_an_offline_place_for_an_empty_one(patch: pytest.MonkeyPatch) -> None:
    def wrong(scan: Callable[..., Pages], **_: object) -> Pages:
        try:
            yield from scan()
        except SourceOfflineError:
            yield ScanPage("offline", b"", checkpoint="after:/")

    _wrap_scan(patch, wrong)


@killed_by("test_the_identity_stays_while_files_come_and_go")
def counts_the_time_of_the_root_as_identity(patch: pytest.MonkeyPatch) -> None:
    right = LocalMediaScanner.identify

    def identify(self: LocalMediaScanner, *, cancel: CancelToken) -> RootIdentity:
        changed = os.stat(self._root.path).st_mtime_ns
        return attrs.evolve(right(self, cancel=cancel), weak=str(changed))

    patch.setattr(LocalMediaScanner, "identify", identify)


@MUTANTS.each()
def test_a_wrong_scanner_is_found_out(assert_killed: Kill, mutant: Mutant, test: str) -> None:
    assert_killed(mutant, SUITE + test)


@read_ahead_killed_by("test_every_file_appears_once_in_the_order_of_path_components")
def forgets_the_folders_in_what_was_read_ahead(patch: pytest.MonkeyPatch) -> None:
    right = FolderPages.read_ahead

    def read_ahead(self: FolderPages, directory: bytes, listing: FolderListing) -> folder.Pages:
        yield from right(self, directory, listing)
        return ()

    patch.setattr(FolderPages, "read_ahead", read_ahead)


@read_ahead_killed_by("test_every_file_appears_once_in_the_order_of_path_components")
def gives_what_was_read_ahead_in_another_order(patch: pytest.MonkeyPatch) -> None:
    right = FolderPages.read_ahead

    def read_ahead(self: FolderPages, directory: bytes, listing: FolderListing) -> folder.Pages:
        return right(self, directory, listing._replace(names=listing.names[::-1]))

    patch.setattr(FolderPages, "read_ahead", read_ahead)


@read_ahead_killed_by("test_no_folder_that_is_listed_is_said_to_be_left_out")
def filters_no_folders_in_what_was_read_ahead(patch: pytest.MonkeyPatch) -> None:
    right = FolderPages.read_ahead

    def read_ahead(self: FolderPages, directory: bytes, listing: FolderListing) -> folder.Pages:
        yield from right(self, directory, listing)
        return tuple(listing.folders)

    patch.setattr(FolderPages, "read_ahead", read_ahead)


@MUTANTS_AHEAD.each()
def test_a_wrong_scanner_that_reads_ahead_is_found_out(assert_killed: Kill, mutant: Mutant, test: str) -> None:
    assert_killed(mutant, SUITE_AHEAD + test)
