"""Wrong uploaders into a folder, each of which the contract suite or the tests of its promises find out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.abc import UploadContext
from media_watch_tasks.errors import AssetChanged
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders import DirectoryUploader
from media_watch_tasks.uploaders.directory import copying, decision, receipts, root, template, writing
from media_watch_tasks.uploaders.directory.decision import Decision, Place, SameBytes
from media_watch_tasks.uploaders.directory.existing import Standing
from media_watch_tasks.uploaders.directory.root import DestinationRoot
from media_watch_tasks.uploaders.directory.temporary import TemporaryFiles
from media_watch_tasks.uploaders.directory.writing import FileWriter

CONTRACT = "tests/contracts/test_directory_uploader.py::TestDirectoryUploader::"
BY_DATE = "tests/contracts/test_directory_uploader.py::TestDirectoryUploaderByDate::"
TARGETS = "tests/integration/directory/test_directory_targets.py::"
NAMES = "tests/integration/directory/test_directory_names.py::"
LEFTOVERS = "tests/integration/directory/test_directory_leftovers.py::"
FAULTS = "tests/integration/directory/test_directory_faults.py::"
Take = Callable[[memoryview], object]

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


def _overwrite(folder_fd: int, temporary: bytes, name: bytes) -> None:
    os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


# ---- visibility


@killed_by(
    CONTRACT + "test_nothing_is_visible_before_the_lease_is_confirmed",
    CONTRACT + "test_a_lost_lease_leaves_nothing",
    CONTRACT + "test_a_lost_lease_leaves_the_older_version",
)
def makes_it_visible_before_it_asks(patch: pytest.MonkeyPatch) -> None:
    right = FileWriter._make_visible

    def make_visible(self: FileWriter, *arguments: Any) -> UploadReceipt:
        folder_fd, temporary = arguments[-2:]
        os.link(temporary, b"early", src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        receipt = right(self, *arguments)
        os.unlink(b"early", dir_fd=folder_fd)
        return receipt

    patch.setattr(FileWriter, "_make_visible", make_visible)


@killed_by(CONTRACT + "test_nothing_is_visible_before_the_lease_is_confirmed")
def never_asks(patch: pytest.MonkeyPatch) -> None:
    def make_visible(
        self: FileWriter, decision: Decision, place: Place, _context: UploadContext, folder_fd: int, temporary: bytes
    ) -> UploadReceipt:
        assert self._place(place, folder_fd, temporary)
        return decision.receipt(place.name, verified=True)

    patch.setattr(FileWriter, "_make_visible", make_visible)


@killed_by(LEFTOVERS + "test_every_failure_removes_the_copy")
def leaves_its_copy_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TemporaryFiles, "discard", lambda *_: None)


@killed_by(LEFTOVERS + "test_a_copy_in_progress_is_hidden_and_named_after_its_key")
def writes_under_a_visible_name(patch: pytest.MonkeyPatch) -> None:
    right = TemporaryFiles.create

    def create(self: TemporaryFiles, folder_fd: int, key: str) -> tuple[int, bytes]:
        fd, name = right(self, folder_fd, key)
        os.rename(name, name[1:], src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        return fd, name[1:]

    patch.setattr(TemporaryFiles, "create", create)


# ---- what stands there


@killed_by(
    TARGETS + "TestForeignFiles::test_a_foreign_file_stays_and_its_receipt_proves_nothing",
    TARGETS + "TestTwoAssetsOneTarget::test_the_second_one_is_refused",
    BY_DATE + "test_files_of_one_name_never_overwrite_each_other",
)
def overwrites_whatever_stands_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decision, "decide", lambda self, _: Place(self._name))
    patch.setattr(writing, "place_new", _overwrite)


@killed_by(TARGETS + "TestForeignFiles::test_a_file_that_appears_while_the_copy_is_made_stays")
def looks_only_before_the_copy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writing, "place_new", _overwrite)


@killed_by(
    CONTRACT + "test_equal_name_and_size_is_no_proof",
    TARGETS + "TestForeignFiles::test_a_foreign_file_stays_and_its_receipt_proves_nothing[XXXXXXXXXXXXXXXXXXX]",
)
def takes_name_and_size_for_proof(patch: pytest.MonkeyPatch) -> None:
    def same(self: Decision, standing: Standing, name: bytes) -> SameBytes | None:
        return SameBytes(name, shared=True) if standing.stat.st_size == self._media.size else None

    patch.setattr(Decision, "_same", same)


@killed_by(CONTRACT + "test_a_file_that_shrank_is_no_proof")
def takes_a_name_for_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decision, "_same", lambda _self, _standing, name: SameBytes(name, shared=True))


@killed_by(TARGETS + "TestEarlierVersions::test_an_earlier_version_that_somebody_changed_stays")
def believes_the_receipt_without_looking(patch: pytest.MonkeyPatch) -> None:
    def delivered_as(self: Decision, standing: Standing, _number: int) -> set[str]:
        return {standing.hash(lambda _: None)} if self._previous_receipt() is not None else set()

    patch.setattr(Decision, "_delivered_as", delivered_as)


@killed_by(TARGETS + "TestEarlierVersions::test_an_earlier_version_that_changes_during_the_copy_stays")
def replaces_what_changed_meanwhile(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "is_still", lambda *_: True)


@killed_by(TARGETS + "TestTwoAssetsOneTarget::test_equal_bytes_are_shared_and_then_never_replaced")
def replaces_what_another_asset_counts_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decision, "_others_count_on", lambda *_: False)


@killed_by(TARGETS + "TestEarlierVersions::test_a_receipt_for_another_path_proves_nothing")
def lets_a_receipt_for_another_path_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decision, "_previous_number", lambda _: 1)


@killed_by(TARGETS + "TestVersionsSideBySide::test_a_file_changed_back_becomes_a_version_of_its_own")
def finds_an_older_version_that_is_history(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Decision, "_previous_number", lambda _: None)


# ---- the bytes


def _read_all(*, check_end: bool = True, check_growth: bool = True) -> Callable[..., None]:
    def read_all(media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Take) -> None:
        read = 0
        with media.open() as stream:
            watched = watch(stream)
            while part := watched.read(1 << 20):
                read += len(part)
                if check_growth and read > media.size:
                    raise AssetChanged("longer")
                take(memoryview(part))
        if check_end and read < media.size:
            raise AssetChanged("shorter")

    return read_all


@killed_by(BY_DATE + "test_exactly_the_bytes_arrive[several parts]")
def loses_the_last_part(patch: pytest.MonkeyPatch) -> None:
    def read_all(media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Take) -> None:
        with media.open() as stream:
            watched = watch(stream)
            while len(part := watched.read(1 << 20)) == 1 << 20:
                take(memoryview(part))

    patch.setattr(copying, "_read_all", read_all)


@killed_by(BY_DATE + "test_a_file_that_ends_early_is_not_delivered")
def delivers_a_file_that_ended_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copying, "_read_all", _read_all(check_end=False))


@killed_by(BY_DATE + "test_a_file_that_grows_is_never_delivered_longer")
def delivers_what_a_growing_file_gives(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copying, "_read_all", _read_all(check_growth=False))


@killed_by(CONTRACT + "test_streams_are_closed_and_files_never_read_whole")
def reads_the_file_whole(patch: pytest.MonkeyPatch) -> None:
    def read_all(media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Take) -> None:
        with media.open() as stream:
            take(memoryview(watch(stream).read()))

    patch.setattr(copying, "_read_all", read_all)


@killed_by(
    CONTRACT + "test_streams_are_closed_and_files_never_read_whole",
    CONTRACT + "test_what_was_delivered_is_found",
    CONTRACT + "test_a_cancelled_upload_stops_and_leaves_nothing",
)
def leaves_the_stream_open(patch: pytest.MonkeyPatch) -> None:
    kept: list[BinaryIO] = []

    def read_all(media: ResolvedMedia, watch: Callable[[BinaryIO], BinaryIO], take: Take) -> None:
        stream = media.open()
        kept.append(stream)
        watched = watch(stream)
        kept.append(watched)
        while part := watched.read(1 << 20):
            take(memoryview(part))

    patch.setattr(copying, "_read_all", read_all)


@killed_by(BY_DATE + "test_progress_is_told")
def tells_no_progress(patch: pytest.MonkeyPatch) -> None:
    right = copying._read_all
    patch.setattr(copying, "_read_all", lambda media, _watch, take: right(media, lambda stream: stream, take))


@killed_by(CONTRACT + "test_exactly_the_bytes_arrive")
def writes_a_wrong_size_into_the_receipt(patch: pytest.MonkeyPatch) -> None:
    right = receipts.receipt_for
    patch.setattr(decision, "receipt_for", lambda path, *, size, **rest: right(path, size=size + 1, **rest))


@killed_by(FAULTS + "TestDamage::test_a_copy_that_reads_back_otherwise_is_not_delivered")
def compares_the_hash_with_itself(patch: pytest.MonkeyPatch) -> None:
    right = copying.copy_and_hash

    def copy(media: ResolvedMedia, context: UploadContext, fd: int, *, sync: bool) -> str:
        right(media, context, fd, sync=sync)
        return copying.hash_of_file(fd, progress=lambda _: None)[0]

    patch.setattr(writing, "copy_and_hash", copy)


@killed_by(TARGETS + "TestReceipt::test_it_names_the_path_and_what_was_compared")
def forgets_the_modification_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "utime", lambda *_, **__: None)


# ---- looks


@killed_by(CONTRACT + "test_a_damaged_object_does_not_verify", CONTRACT + "test_an_unknown_object_does_not_verify")
def verifies_whatever_it_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DirectoryUploader, "verify", lambda *_: True)


@killed_by(CONTRACT + "test_a_damaged_object_does_not_verify")
def verifies_that_there_is_a_file(patch: pytest.MonkeyPatch) -> None:
    def verify(self: DirectoryUploader, _media: ResolvedMedia | None, receipt: UploadReceipt) -> bool:
        return os.path.isfile(os.path.join(self.target, receipt.remote_id or ""))

    patch.setattr(DirectoryUploader, "verify", verify)


@killed_by(CONTRACT + "test_a_usable_destination_passes_and_stays_empty")
def leaves_a_file_of_its_check(patch: pytest.MonkeyPatch) -> None:
    def check(self: DirectoryUploader) -> None:
        with open(os.path.join(self.target, "check"), "w", encoding="ascii"):
            pass

    patch.setattr(DirectoryUploader, "check", check)


# ---- the place


@killed_by(NAMES + "test_a_path_that_leads_out_is_refused[../escape.mov]")
def lets_a_name_lead_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(template, "components_of", lambda path: tuple(path.split(b"/")))


@killed_by(NAMES + "TestLinks::test_a_link_that_leads_out_is_refused[outside]")
def follows_links_out(patch: pytest.MonkeyPatch) -> None:
    class Blind:
        def __getattr__(self, name: str) -> object:
            return 0 if name == "O_NOFOLLOW" else getattr(os, name)

    patch.setattr(root, "os", Blind())


@killed_by(FAULTS + "TestIdentityOfThePlace::test_another_device_at_the_same_path_is_refused")
def does_not_see_that_the_mount_is_gone(patch: pytest.MonkeyPatch) -> None:
    right = DestinationRoot._check

    def check(self: DestinationRoot, fd: int) -> None:
        self._device = None
        right(self, fd)

    patch.setattr(DestinationRoot, "_check", check)
    # What would be written on the wrong device is the second finding; that it cannot be written there is beside it.
    patch.setattr(DirectoryUploader, "check", lambda _: None)


@killed_by(FAULTS + "TestIdentityOfThePlace::test_without_its_marker_nothing_is_written")
def needs_no_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DestinationRoot, "_check", lambda *_: None)


@killed_by(FAULTS + "TestGone::test_it_is_created_at_the_start_and_by_check")
def creates_a_destination_only_at_the_start(patch: pytest.MonkeyPatch) -> None:
    right = DestinationRoot.create

    def create(self: DestinationRoot) -> None:
        if not os.path.exists(os.path.dirname(self.path)):
            right(self)

    patch.setattr(DestinationRoot, "create", create)
    patch.setattr(DirectoryUploader, "check", lambda self: pytest.fail("not created") if self._create else None)


@killed_by(
    LEFTOVERS + "TestSweep::test_only_ours_and_only_old_ones_or_those_of_this_key_are_removed",
    LEFTOVERS + "TestSweep::test_age_is_not_that_of_the_footage",
)
def sweeps_what_another_process_is_writing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TemporaryFiles, "_is_left_over", lambda *_, **__: True)


@killed_by(LEFTOVERS + "TestSweep::test_age_is_not_that_of_the_footage")
def judges_age_by_the_time_of_the_footage(patch: pytest.MonkeyPatch) -> None:
    def is_left_over(_self: TemporaryFiles, folder_fd: int, name: bytes, *, is_mine: bool, now_ns: int) -> bool:
        return is_mine or now_ns - os.stat(name, dir_fd=folder_fd).st_mtime_ns > 86_400 * 10**9

    patch.setattr(TemporaryFiles, "_is_left_over", is_left_over)


@killed_by(LEFTOVERS + "TestSweep::test_the_next_attempt_removes_the_leftover_of_its_key")
def never_sweeps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TemporaryFiles, "sweep", lambda *_, **__: 0)


@MUTANTS.each()
def test_a_wrong_folder_uploader_is_found_out(
    assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str
) -> None:
    assert_killed(mutant, test)
