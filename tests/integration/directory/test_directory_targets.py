"""Which file may get a name at the destination: nothing is overwritten without proof."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from media_watch_tasks.errors import AlreadyExists, AssetChanged, LeaseLost
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders import DirectoryUploader

Look = Callable[[], dict[str, bytes]]
OLD, NEW, OTHER = b"old version", b"new, longer version", b"somebody else's"


@pytest.fixture
def uploader(target: Path) -> DirectoryUploader:
    return DirectoryUploader(target)


@pytest.fixture
def versioning(target: Path) -> DirectoryUploader:
    return DirectoryUploader(target, on_newer="version")


@pytest.fixture
def flat(target: Path) -> DirectoryUploader:
    """Files of one name and different folders have the same target."""
    return DirectoryUploader(target, template="{name}")


def _without_marks(target: Path) -> None:
    """As a file system has it that keeps no extended attributes."""
    for path in target.rglob("*"):
        for name in os.listxattr(path):
            os.removexattr(path, name)


class TestReceipt:
    def test_it_names_the_path_and_what_was_compared(
        self, uploader: DirectoryUploader, source: Any, target: Path, sha256: Callable[[bytes], str]
    ) -> None:
        media = source.new("2026/clip.mov", OLD, mtime_ns=1_234_567_890_123_456_789)
        receipt = source.upload(uploader, media)
        assert receipt == UploadReceipt("2026/clip.mov", size=len(OLD), sha256=sha256(OLD), verified=True)
        assert (target / "2026/clip.mov").stat().st_mtime_ns == 1_234_567_890_123_456_789

    @pytest.mark.parametrize("verify", ["size", "none"])
    def test_only_a_comparison_of_bytes_counts_as_verified(self, target: Path, source: Any, verify: Any) -> None:
        receipt = source.upload(DirectoryUploader(target, verify=verify), source.new("clip.mov", OLD))
        assert not receipt.verified
        assert receipt.sha256 is not None

    def test_files_get_the_usual_permissions(self, uploader: DirectoryUploader, source: Any, target: Path) -> None:
        before = os.umask(0o027)
        try:
            source.upload(uploader, source.new("folder/clip.mov", OLD))
        finally:
            os.umask(before)
        assert (target / "folder/clip.mov").stat().st_mode & 0o777 == 0o640
        assert (target / "folder").stat().st_mode & 0o777 == 0o750

    def test_a_time_that_cannot_be_kept_does_not_stop_a_file(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        source.upload(uploader, source.new("clip.mov", OLD, mtime_ns=2**80))
        assert everything() == {"clip.mov": OLD}


class TestForeignFiles:
    @pytest.mark.parametrize("foreign", [OTHER, b"X" * len(NEW), b""])
    def test_a_foreign_file_stays_and_its_receipt_proves_nothing(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look, foreign: bytes
    ) -> None:
        (target / "clip.mov").write_bytes(foreign)
        media = source.new("clip.mov", NEW)
        with pytest.raises(AlreadyExists) as caught:
            source.upload(uploader, media)
        assert caught.value.receipt is None
        assert "clip.mov" in str(caught.value)
        assert source.find(uploader, media) is None
        assert everything() == {"clip.mov": foreign}

    def test_a_foreign_file_is_found_out_before_anything_is_read(
        self, uploader: DirectoryUploader, source: Any, target: Path
    ) -> None:
        (target / "clip.mov").write_bytes(OTHER)
        media = source.new("clip.mov", NEW)
        context = source.context(uploader, media)
        with pytest.raises(AlreadyExists):
            uploader.upload(media, context)
        assert (context.bytes_read, context.confirmations) == (0, 0)

    def test_equal_bytes_count_as_delivered_and_are_told_as_not_sent(
        self,
        uploader: DirectoryUploader,
        source: Any,
        target: Path,
        everything: Look,
        sha256: Callable[[bytes], str],
    ) -> None:
        (target / "clip.mov").write_bytes(NEW)
        with pytest.raises(AlreadyExists) as caught:
            source.upload(uploader, source.new("clip.mov", NEW))
        assert caught.value.receipt == UploadReceipt(
            "clip.mov", size=len(NEW), sha256=sha256(NEW), verified=True, deduplicated=True
        )
        assert everything() == {"clip.mov": NEW}

    @pytest.mark.parametrize("kind", ["folder", "dangling link", "link to a file", "pipe"])
    def test_what_is_no_file_stays(
        self, uploader: DirectoryUploader, source: Any, target: Path, tmp_path: Path, kind: str
    ) -> None:
        outside = tmp_path / "outside.mov"
        match kind:
            case "folder":
                (target / "clip.mov").mkdir()
            case "dangling link":
                (target / "clip.mov").symlink_to(outside)
            case "link to a file":
                outside.write_bytes(NEW)
                (target / "clip.mov").symlink_to(outside)
            case "pipe":
                os.mkfifo(target / "clip.mov")
        before = (target / "clip.mov").lstat().st_ino
        media = source.new("clip.mov", NEW)
        with pytest.raises(AlreadyExists) as caught:
            source.upload(uploader, media)
        assert caught.value.receipt is None
        assert source.find(uploader, media) is None
        assert (target / "clip.mov").lstat().st_ino == before
        assert outside.exists() == (kind == "link to a file")

    def test_a_file_in_the_place_of_a_folder_stays(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        (target / "folder").write_bytes(OTHER)
        media = source.new("folder/clip.mov", NEW)
        with pytest.raises(AlreadyExists, match="not a folder"):
            source.upload(uploader, media)
        assert source.find(uploader, media) is None
        assert everything() == {"folder": OTHER}

    def test_a_file_that_appears_while_the_copy_is_made_stays(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        media = source.new("clip.mov", NEW)
        with pytest.raises(AlreadyExists):
            source.upload(uploader, media, on_confirm=lambda: (target / "clip.mov").write_bytes(OTHER))
        assert everything() == {"clip.mov": OTHER}

    def test_the_same_bytes_that_appear_meanwhile_are_enough(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        media = source.new("clip.mov", NEW)
        with pytest.raises(AlreadyExists) as caught:
            source.upload(uploader, media, on_confirm=lambda: (target / "clip.mov").write_bytes(NEW))
        assert caught.value.receipt is not None
        assert everything() == {"clip.mov": NEW}


class TestEarlierVersions:
    def test_a_proven_earlier_version_is_replaced(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        receipt = source.upload(uploader, source.new("clip.mov", NEW), previous=previous)
        assert receipt.remote_id == "clip.mov"
        assert everything() == {"clip.mov": NEW}

    def test_the_receipt_alone_proves_it(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        _without_marks(target)
        source.upload(uploader, source.new("clip.mov", NEW), previous=previous)
        assert everything() == {"clip.mov": NEW}

    def test_the_mark_alone_proves_it_where_a_crash_lost_the_receipt(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        source.upload(uploader, source.new("clip.mov", OLD))
        source.upload(uploader, source.new("clip.mov", NEW))
        assert everything() == {"clip.mov": NEW}

    @pytest.mark.parametrize("marks", [True, False])
    def test_an_earlier_version_that_somebody_changed_stays(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look, *, marks: bool
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        if not marks:
            _without_marks(target)
        (target / "clip.mov").write_bytes(OTHER)
        with pytest.raises(AlreadyExists):
            source.upload(uploader, source.new("clip.mov", NEW), previous=previous)
        assert everything() == {"clip.mov": OTHER}

    def test_without_receipt_and_mark_nothing_is_proven(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        source.upload(uploader, source.new("clip.mov", OLD))
        _without_marks(target)
        with pytest.raises(AlreadyExists):
            source.upload(uploader, source.new("clip.mov", NEW))
        assert everything() == {"clip.mov": OLD}

    def test_a_receipt_for_another_path_proves_nothing(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        (target / "clip.mov").rename(target / "elsewhere.mov")
        _without_marks(target)
        (target / "clip.mov").write_bytes(OLD)
        other_place = attrs.evolve(previous, remote_id="elsewhere.mov")
        with pytest.raises(AlreadyExists):
            source.upload(uploader, source.new("clip.mov", NEW), previous=other_place)
        assert everything() == {"clip.mov": OLD, "elsewhere.mov": OLD}

    def test_an_earlier_version_that_changes_during_the_copy_stays(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        with pytest.raises(AlreadyExists):
            source.upload(
                uploader,
                source.new("clip.mov", NEW),
                previous=previous,
                on_confirm=lambda: (target / "clip.mov").write_bytes(OTHER),
            )
        assert everything() == {"clip.mov": OTHER}

    def test_a_version_of_the_same_size_replaces_too(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", b"aaaa"))
        source.upload(uploader, source.new("clip.mov", b"bbbb"), previous=previous)
        assert everything() == {"clip.mov": b"bbbb"}

    def test_a_file_changed_back_is_delivered_again(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        first = source.upload(uploader, source.new("clip.mov", OLD))
        second = source.upload(uploader, source.new("clip.mov", NEW), previous=first)
        restored = source.new("clip.mov", OLD)
        assert source.find(uploader, restored, previous=second) is None
        source.upload(uploader, restored, previous=second)
        assert everything() == {"clip.mov": OLD}

    def test_a_source_that_differs_from_its_known_hash_is_not_delivered(
        self, uploader: DirectoryUploader, source: Any, everything: Look, sha256: Callable[[bytes], str]
    ) -> None:
        media = attrs.evolve(source.new("clip.mov", NEW), sha256=sha256(OTHER))
        with pytest.raises(AssetChanged):
            source.upload(uploader, media)
        assert everything() == {}


class TestVersionsSideBySide:
    def test_newer_versions_are_numbered(self, versioning: DirectoryUploader, source: Any, everything: Look) -> None:
        receipt = None
        for number in range(1, 4):
            receipt = source.upload(versioning, source.new("a/clip.mov", b"v" * number), previous=receipt)
        assert receipt is not None
        assert receipt.remote_id == "a/clip.3.mov"
        assert everything() == {"a/clip.mov": b"v", "a/clip.2.mov": b"vv", "a/clip.3.mov": b"vvv"}

    def test_a_number_that_is_taken_is_passed_over(
        self, versioning: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        (target / "clip.2.mov").write_bytes(OTHER)
        previous = source.upload(versioning, source.new("clip.mov", OLD))
        assert source.upload(versioning, source.new("clip.mov", NEW), previous=previous).remote_id == "clip.3.mov"
        assert everything() == {"clip.mov": OLD, "clip.2.mov": OTHER, "clip.3.mov": NEW}

    def test_a_foreign_file_is_no_first_version(
        self, versioning: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        (target / "clip.mov").write_bytes(OTHER)
        with pytest.raises(AlreadyExists):
            source.upload(versioning, source.new("clip.mov", NEW))
        assert everything() == {"clip.mov": OTHER}

    def test_a_version_whose_receipt_was_lost_is_found_and_not_sent_again(
        self, versioning: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        previous = source.upload(versioning, source.new("clip.mov", OLD))
        media = source.new("clip.mov", NEW)
        sent = source.upload(versioning, media, previous=previous)
        assert source.find(versioning, media, previous=previous) == sent
        assert source.upload(versioning, media, previous=previous) == sent
        assert everything() == {"clip.mov": OLD, "clip.2.mov": NEW}

    def test_a_file_changed_back_becomes_a_version_of_its_own(
        self, versioning: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        first = source.upload(versioning, source.new("clip.mov", OLD))
        second = source.upload(versioning, source.new("clip.mov", NEW), previous=first)
        restored = source.new("clip.mov", OLD)
        assert source.find(versioning, restored, previous=second) is None

    def test_names_without_extension_and_with_dots_are_numbered_before_the_extension(
        self, versioning: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        for name in ("README", "holiday.2024.mov"):
            previous = source.upload(versioning, source.new(name, OLD))
            source.upload(versioning, source.new(name, NEW), previous=previous)
        assert sorted(everything()) == ["README", "README.2", "holiday.2024.2.mov", "holiday.2024.mov"]


class TestTwoAssetsOneTarget:
    def test_the_second_one_is_refused(self, flat: DirectoryUploader, source: Any, everything: Look) -> None:
        source.upload(flat, source.new("a/clip.mov", OLD))
        with pytest.raises(AlreadyExists):
            source.upload(flat, source.new("b/clip.mov", NEW))
        assert everything() == {"clip.mov": OLD}

    def test_equal_bytes_are_shared_and_then_never_replaced(
        self, flat: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        first = source.upload(flat, source.new("a/clip.mov", OLD))
        with pytest.raises(AlreadyExists) as caught:
            source.upload(flat, source.new("b/clip.mov", OLD))
        second = caught.value.receipt
        assert second is not None
        assert second.deduplicated
        # Both count on the bytes now: a newer version of either goes beside them.
        assert source.upload(flat, source.new("a/clip.mov", NEW), previous=first).remote_id == "clip.2.mov"
        assert source.upload(flat, source.new("b/clip.mov", OTHER), previous=second).remote_id == "clip.3.mov"
        assert everything() == {"clip.mov": OLD, "clip.2.mov": NEW, "clip.3.mov": OTHER}

    @pytest.mark.parametrize("marks", [True, False])
    def test_the_asset_that_had_to_go_beside_replaces_its_own_file_later(
        self, flat: DirectoryUploader, source: Any, target: Path, everything: Look, *, marks: bool
    ) -> None:
        source.upload(flat, source.new("a/clip.mov", OLD))
        with pytest.raises(AlreadyExists) as caught:
            source.upload(flat, source.new("b/clip.mov", OLD))
        receipt = caught.value.receipt
        for data in (NEW, OTHER):
            if not marks:
                _without_marks(target)
            receipt = source.upload(flat, source.new("b/clip.mov", data), previous=receipt)
            assert receipt.remote_id == "clip.2.mov"
        assert everything() == {"clip.mov": OLD, "clip.2.mov": OTHER}

    def test_a_name_that_a_folding_file_system_takes_for_the_same_is_refused(
        self, uploader: DirectoryUploader, source: Any, target: Path, everything: Look
    ) -> None:
        source.upload(uploader, source.new("Clip.mov", OLD))
        # What such a file system shows: the same file also under the other spelling.
        (target / "clip.mov").hardlink_to(target / "Clip.mov")
        with pytest.raises(AlreadyExists):
            source.upload(uploader, source.new("clip.mov", NEW))
        assert everything() == {"Clip.mov": OLD, "clip.mov": OLD}

    def test_two_sources_with_equal_paths_are_two_assets(self, target: Path, source: Any, everything: Look) -> None:
        other = type(source)(type(source.tree)("fake:other"))
        uploader = DirectoryUploader(target, template="{source}/{path}")
        source.upload(uploader, source.new("clip.mov", OLD))
        other.upload(uploader, other.new("clip.mov", NEW))
        assert everything() == {"fake%3Atree/clip.mov": OLD, "fake%3Aother/clip.mov": NEW}


class TestLooks:
    def test_what_was_put_there_for_this_asset_is_found_as_sent(self, uploader: DirectoryUploader, source: Any) -> None:
        media = source.new("clip.mov", NEW)
        sent = source.upload(uploader, media)
        assert source.find(uploader, media) == sent

    def test_equal_bytes_of_unknown_origin_are_found_as_shared(
        self, uploader: DirectoryUploader, source: Any, target: Path
    ) -> None:
        (target / "clip.mov").write_bytes(NEW)
        found = source.find(uploader, source.new("clip.mov", NEW))
        assert found is not None
        assert found.deduplicated

    def test_a_look_never_creates_a_folder(self, uploader: DirectoryUploader, source: Any, target: Path) -> None:
        assert source.find(uploader, source.new("a/b/clip.mov", NEW)) is None
        assert list(target.iterdir()) == []

    def test_a_look_at_another_size_reads_nothing(self, uploader: DirectoryUploader, source: Any, target: Path) -> None:
        (target / "clip.mov").write_bytes(OTHER)
        media = source.new("clip.mov", NEW)
        context = source.context(uploader, media)
        assert uploader.find_existing(media, context) is None
        assert context.progress_calls == []

    def test_a_receipt_of_another_kind_does_not_verify(
        self, uploader: DirectoryUploader, source: Any, target: Path
    ) -> None:
        receipt = source.upload(uploader, source.new("folder/clip.mov", NEW))
        assert uploader.verify(None, receipt)
        (target / "folder/link.mov").symlink_to(target / "folder/clip.mov")
        for changed in (
            attrs.evolve(receipt, remote_id=None),
            attrs.evolve(receipt, remote_id="../backup/folder/clip.mov"),
            attrs.evolve(receipt, remote_id="folder"),
            attrs.evolve(receipt, remote_id="folder/link.mov"),
            attrs.evolve(receipt, remote_id="folder/clip.mov/more"),
            attrs.evolve(receipt, sha256=None),
            attrs.evolve(receipt, size=1),
            attrs.evolve(receipt, details={"path_hex": "no hex"}),
        ):
            assert not uploader.verify(None, changed), changed

    def test_a_lost_lease_keeps_the_earlier_version_and_leaves_nothing_else(
        self, uploader: DirectoryUploader, source: Any, everything: Look
    ) -> None:
        previous = source.upload(uploader, source.new("clip.mov", OLD))
        with pytest.raises(LeaseLost):
            source.upload(uploader, source.new("clip.mov", NEW), previous=previous, lose_lease=True)
        assert everything() == {"clip.mov": OLD}
