"""A destination that is full, read-only, forbidden, gone or damaged: real file systems, real refusals."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from media_watch_tasks.errors import (
    ConfigurationError,
    DestinationFull,
    DestinationOfflineError,
    PermanentError,
    TransientError,
)
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders import DirectoryUploader

MOUNT = """
def mount(*options, at=target):
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", at], check=True)
"""


class TestFull:
    def test_a_file_that_does_not_fit_is_refused_before_the_copy(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m")
            uploader = DirectoryUploader(target)
            small, large = new("small.mov", b"s" * 1_000_000), new("large.mov", b"l" * 3_000_000)
            context = FakeContext.for_media(large)
            try:
                uploader.upload(large, context)
            except errors.DestinationFull as error:
                say(type(error).__name__, str(error), context.bytes_read)
            say(attempt(uploader, small), everything(target))
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said[0][0] == "DestinationFull"
        assert "make room" in said[0][1]
        assert said[0][2] == 0
        assert said[1] == [["delivered", "small.mov"], ["small.mov"]]

    def test_a_disk_that_fills_up_during_the_copy_is_left_as_it_was(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=3m")
            uploader = DirectoryUploader(target)
            media = new("clip.mov", b"c" * 2_500_000)

            class FillsUp(FakeContext):
                def watch(self, stream):
                    with open(os.path.join(target, "other"), "wb") as other:
                        other.write(b"o" * 2_000_000)
                    return super().watch(stream)

            try:
                uploader.upload(media, FillsUp.for_media(media))
            except errors.MediaWatchError as error:
                say(type(error).__name__)
            say(everything(target))
            os.unlink(os.path.join(target, "other"))
            say(attempt(uploader, media, attempt=2), everything(target))
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said == [["DestinationFull"], [["other"]], [["delivered", "clip.mov"], ["clip.mov"]]]

    def test_a_disk_without_inodes_is_full_too(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m", "nr_inodes=4")
            uploader = DirectoryUploader(target)
            say(*[attempt(uploader, new(f"{number}.mov", b"x"))[0] for number in range(4)])
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said[0][0] == "delivered"
        assert said[0][-1] == "DestinationFull"

    @pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT"])
    def test_the_system_says_full_in_the_middle(self, run_program: Any, tmp_path: Path, number: str) -> None:
        said = run_program(
            """
            uploader = DirectoryUploader(target)
            media = new("clip.mov", b"c" * 3_000_000)
            say(attempt(uploader, media)[0], everything(target))
            """,
            under=_injecting(tmp_path, f"write:error={number}:when=2"),
        )
        assert said == [["DestinationFull", []]]
        assert _injected(tmp_path) == {"write"}


class TestReadOnlyAndForbidden:
    def test_a_read_only_destination_pauses(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m")
            os.mkdir(os.path.join(target, "folder"))
            uploader = DirectoryUploader(target)
            subprocess.run(["mount", "-o", "remount,ro", target], check=True)
            for path in ("clip.mov", "folder/clip.mov", "new/clip.mov"):
                say(*attempt(uploader, new(path, b"data")))
            try:
                uploader.check()
            except errors.MediaWatchError as error:
                say(type(error).__name__, str(error))
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert [line[0] for line in said] == ["DestinationOfflineError"] * 4
        assert all("mount it writable" in line[1] for line in said)

    def test_a_forbidden_destination_asks_for_rights(self, run_program: Any, ordinary_rights: Any) -> None:
        said = run_program(
            """
            uploader = DirectoryUploader(target)
            for mode in (0o555, 0o000):
                os.chmod(target, mode)
                media = new("clip.mov", b"data")
                for call in (lambda: uploader.upload(media, FakeContext.for_media(media)), uploader.check):
                    try:
                        call()
                    except errors.AuthenticationRequiredError as error:
                        say(type(error).__name__, error.party, str(error))
            os.chmod(target, 0o755)
            """,
            under=ordinary_rights,
        )
        assert [line[:2] for line in said] == [["AuthenticationRequiredError", "destination"]] * 4
        assert all("give this user the right" in line[2] for line in said)

    def test_one_forbidden_folder_concerns_its_files_only(self, run_program: Any, ordinary_rights: Any) -> None:
        said = run_program(
            """
            uploader = DirectoryUploader(target)
            for name, mode in (("closed", 0o555), ("locked", 0o000)):
                os.mkdir(os.path.join(target, name), mode)
                say(*attempt(uploader, new(f"{name}/clip.mov", b"data")))
            say(*attempt(uploader, new("open/clip.mov", b"data")))
            os.chmod(os.path.join(target, "locked"), 0o755)
            say(everything(target))
            """,
            under=ordinary_rights,
        )
        assert [line[0] for line in said[:3]] == ["TransientError", "TransientError", "delivered"]
        assert "give this user the right to write to that folder" in said[0][1]
        assert said[3] == [["open/clip.mov"]]

    def test_a_file_that_cannot_be_read_there_is_a_foreign_one(self, run_program: Any, ordinary_rights: Any) -> None:
        said = run_program(
            """
            path = os.path.join(target, "clip.mov")
            with open(path, "wb") as file:
                file.write(b"data")
            os.chmod(path, 0o000)
            say(*attempt(DirectoryUploader(target), new("clip.mov", b"data")))
            """,
            under=ordinary_rights,
        )
        assert said[0][0] == "AlreadyExists"


class TestGone:
    def test_an_unmounted_destination_pauses_and_gets_nothing(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m")
            uploader = DirectoryUploader(target)
            say(*attempt(uploader, new("first.mov", b"data")))
            subprocess.run(["umount", target], check=True)
            say(*attempt(uploader, new("second.mov", b"data")))
            receipt = uploader.upload
            say(everything(target))
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said[0] == ["delivered", "first.mov"]
        assert said[1][0] == "DestinationOfflineError"
        assert "another device" in said[1][1]
        assert said[2] == [[]]

    def test_a_destination_unmounted_during_a_copy_is_noticed(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m")
            uploader = DirectoryUploader(target)
            say(*attempt(uploader, new("first.mov", b"data")))
            media = new("second.mov", b"data")

            class Unmounts(FakeContext):
                def confirm(self):
                    super().confirm()
                    # The folder of the target vanishes with all that is in it.
                    subprocess.run(["umount", "--lazy", target], check=True)

            receipt = uploader.upload(media, Unmounts.for_media(media))
            # Lazily unmounted, the file is on the file system that was meant; the next one is not written elsewhere.
            say(receipt.remote_id, everything(target), attempt(uploader, new("third.mov", b"data"))[0])
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said == [["delivered", "first.mov"], ["second.mov", [], "DestinationOfflineError"]]

    def test_a_marker_tells_a_missing_mount_at_the_start_and_welcomes_a_remount(
        self, run_program: Any, own_mounts: Any
    ) -> None:
        said = run_program(
            MOUNT
            + """
            uploader = DirectoryUploader(target, require_marker=".this-is-the-nas")
            say(*attempt(uploader, new("first.mov", b"data")))
            devices = set()
            for number in range(2):
                mount("size=2m")
                devices.add(os.stat(target).st_dev)
                # The first one stays mounted somewhere, so that the second one gets another device number.
                keep = f"{target}-{number}"
                os.mkdir(keep)
                subprocess.run(["mount", "--bind", target, keep], check=True)
                open(os.path.join(target, ".this-is-the-nas"), "w").close()
                say(*attempt(uploader, new(f"{number}.mov", b"data")))
                subprocess.run(["umount", target], check=True)
            say(len(devices), *attempt(uploader, new("last.mov", b"data")))
            say(everything(target))
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said[0][0] == "DestinationOfflineError"
        assert ".this-is-the-nas" in said[0][1]
        assert said[1:3] == [["delivered", "0.mov"], ["delivered", "1.mov"]]
        assert said[3][:2] == [2, "DestinationOfflineError"]
        assert said[4] == [[]]

    def test_a_missing_destination_is_never_created_by_an_upload(self, source: Any, tmp_path: Path) -> None:
        for create in (False, True):
            uploader = DirectoryUploader(tmp_path / "nas/backup", create=create)
            if create:
                uploader.check()
                os.rmdir(tmp_path / "nas/backup")
            with pytest.raises(DestinationOfflineError, match="is it mounted"):
                source.upload(uploader, source.new("clip.mov", b"data"))
            with pytest.raises(DestinationOfflineError):
                uploader.verify(None, UploadReceipt("clip.mov", size=4, sha256="0" * 64))
            with pytest.raises(DestinationOfflineError):
                source.find(uploader, source.new("clip.mov", b"data"))
            assert not (tmp_path / "nas/backup").exists()

    def test_by_default_it_is_created_at_the_start_beside_other_things(self, source: Any, tmp_path: Path) -> None:
        (tmp_path / "home/documents").mkdir(parents=True)
        uploader = DirectoryUploader(tmp_path / "home/backup/clips")
        source.upload(uploader, source.new("clip.mov", b"data"))
        assert (tmp_path / "home/backup/clips/clip.mov").read_bytes() == b"data"

    def test_by_default_it_is_not_created_in_an_empty_mount_point(self, source: Any, tmp_path: Path) -> None:
        (tmp_path / "nas").mkdir()
        uploader = DirectoryUploader(tmp_path / "nas/backup/clips")
        with pytest.raises(DestinationOfflineError, match="is it mounted"):
            source.upload(uploader, source.new("clip.mov", b"data"))
        assert list((tmp_path / "nas").iterdir()) == []

    def test_it_is_created_at_the_start_and_by_check(self, source: Any, tmp_path: Path) -> None:
        uploader = DirectoryUploader(tmp_path / "a/b", create=True)
        assert (tmp_path / "a/b").is_dir()
        os.rmdir(tmp_path / "a/b")
        uploader.check()
        source.upload(uploader, source.new("clip.mov", b"data"))
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ConfigurationError, match="cannot be created"):
            DirectoryUploader(tmp_path / "file/x", create=True)

    def test_a_destination_that_is_a_file_is_a_wrong_setting(self, source: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ConfigurationError, match="not a folder"):
            source.upload(DirectoryUploader(tmp_path / "file"), source.new("clip.mov", b"data"))

    def test_no_descriptor_keeps_the_destination_busy(self, run_program: Any, own_mounts: Any) -> None:
        said = run_program(
            MOUNT
            + """
            mount("size=2m")
            uploader = DirectoryUploader(target)
            media = new("folder/clip.mov", b"data")
            receipt = uploader.upload(media, FakeContext.for_media(media))
            uploader.find_existing(media, FakeContext.for_media(media))
            uploader.verify(media, receipt)
            for bad in (new("../x", b""), new("n" * 300, b"")):
                attempt(uploader, bad)
            say(subprocess.run(["umount", target]).returncode, len(os.listdir("/proc/self/fd")) < 10)
            """.replace("\n            ", "\n"),
            under=own_mounts,
        )
        assert said == [[0, True]]

    def test_a_folder_that_vanishes_during_the_copy_is_retried(self, source: Any, target: Path) -> None:
        uploader = DirectoryUploader(target)
        media = source.new("folder/clip.mov", b"data")

        def remove() -> None:
            for path in (target / "folder").iterdir():
                path.unlink()
            (target / "folder").rmdir()

        with pytest.raises(TransientError):
            source.upload(uploader, media, on_confirm=remove)
        source.upload(uploader, media, attempt=2)
        assert (target / "folder/clip.mov").read_bytes() == b"data"


def _injecting(tmp_path: Path, *faults: str) -> list[str]:
    """The start of a command whose system calls fail as told; the trace shows that they did."""
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    command = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={calls}"]
    for fault in faults:
        command += ["-e", f"inject={fault}"]
    return command


def _injected(tmp_path: Path) -> set[str]:
    """The calls that a fault was put into."""
    return set(re.findall(r"^\d+ +(\w+)\(.*INJECTED", (tmp_path / "trace").read_text(), re.MULTILINE))


class TestDamage:
    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            ("fsync:error=EIO:when=2", "TransientError"),
            ("linkat:error=EIO:when=1", "TransientError"),
            ("mkdirat:error=ENOSPC:when=1", "DestinationFull"),
            ("write:error=EFBIG:when=1", "PermanentError"),
            ("preadv2:error=EIO:when=1", "TransientError"),
            ("fsync:error=EIO:when=3", "TransientError"),
        ],
    )
    def test_an_error_of_the_disk_leaves_no_receipt_and_can_be_repaired(
        self, run_program: Any, tmp_path: Path, fault: str, outcome: str
    ) -> None:
        said = run_program(
            """
            uploader = DirectoryUploader(target)
            media = new("folder/clip.mov", b"c" * 3_000_000)
            say(attempt(uploader, media)[0])
            context = FakeContext.for_media(media, attempt=2)
            found = uploader.find_existing(media, context)
            say(attempt(uploader, media, attempt=2)[0] if found is None else "found", everything(target))
            """,
            under=_injecting(tmp_path, fault),
        )
        assert said[0] == [outcome]
        assert said[1][0] in {"delivered", "found"}
        assert said[1][1] == ["folder/clip.mov"]
        assert _injected(tmp_path) == {fault.partition(":")[0]}

    def test_a_copy_that_reads_back_otherwise_is_not_delivered(self, source: Any, target: Path) -> None:
        uploader = DirectoryUploader(target)
        media = source.new("clip.mov", b"c" * 3_000_000)

        class Damages(type(source.context(uploader, media))):  # type: ignore[misc]  # the class of a fixture's value
            def progress(self, done: int, **told: Any) -> None:
                super().progress(done, **told)
                # All is read: the byte flips before the copy is synced and compared.
                if done == media.size and "stage" not in told:
                    (temporary,) = target.glob(".mwt-*")
                    with open(temporary, "r+b") as file:
                        file.write(b"X")

        with pytest.raises(TransientError, match="reads back otherwise"):
            uploader.upload(media, Damages.for_media(media))
        assert list(target.iterdir()) == []

    def test_a_copy_of_another_size_is_not_delivered(self, source: Any, target: Path) -> None:
        uploader = DirectoryUploader(target, verify="size")
        media = source.new("clip.mov", b"c" * 3_000_000)

        class Lengthens(type(source.context(uploader, media))):  # type: ignore[misc]  # the class of a fixture's value
            def progress(self, done: int, **told: Any) -> None:
                super().progress(done, **told)
                if done == media.size:
                    (temporary,) = target.glob(".mwt-*")
                    with open(temporary, "ab") as file:
                        file.write(b"X")

        with pytest.raises(TransientError, match="instead of 3000000"):
            uploader.upload(media, Lengthens.for_media(media))
        assert list(target.iterdir()) == []


class TestFileSystemsWithoutLinks:
    """FAT, exFAT, some SMB and FUSE mounts: the calls fail as they do there."""

    PROGRAM: ClassVar[str] = """
        uploader = DirectoryUploader(target)
        say(*attempt(uploader, new("clip.mov", b"first")))
        with open(os.path.join(target, "foreign.mov"), "wb") as file:
            file.write(b"foreign")
        media = new("late.mov", b"late")

        def appears():
            with open(os.path.join(target, "late.mov"), "wb") as file:
                file.write(b"foreign")

        say(attempt(uploader, new("foreign.mov", b"mine"))[0], attempt(uploader, media, on_confirm=appears)[0])
        say({name: open(os.path.join(target, name), "rb").read().decode() for name in everything(target)})
    """
    EXPECTED: ClassVar[list[Any]] = [
        ["delivered", "clip.mov"],
        ["AlreadyExists", "AlreadyExists"],
        [{"clip.mov": "first", "foreign.mov": "foreign", "late.mov": "foreign"}],
    ]

    @pytest.mark.parametrize("number", ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK", "ENOSPC"])
    def test_a_rename_that_does_not_replace_takes_its_place(
        self, run_program: Any, tmp_path: Path, number: str
    ) -> None:
        under = _injecting(tmp_path, f"linkat:error={number}")
        assert run_program(self.PROGRAM, under=under) == self.EXPECTED
        assert _injected(tmp_path) == {"linkat"}

    def test_where_that_is_missing_too_a_look_and_a_rename_do_it(self, run_program: Any, tmp_path: Path) -> None:
        under = _injecting(tmp_path, "linkat:error=EPERM", "renameat2:error=EINVAL")
        assert run_program(self.PROGRAM, under=under) == self.EXPECTED
        assert _injected(tmp_path) == {"linkat", "renameat2"}

    def test_a_name_that_the_file_system_refuses_is_refused_for_good(self, run_program: Any, tmp_path: Path) -> None:
        under = _injecting(
            tmp_path,
            *(f"{call}:error=EINVAL" for call in ("linkat", "renameat2", "renameat")),
        )
        said = run_program(
            """
            say(*attempt(DirectoryUploader(target), new("what?.mov", b"data")))
            say(everything(target))
            """,
            under=under,
        )
        assert said[0][0] == "PermanentError"
        assert "cannot hold the name what?.mov" in said[0][1]
        assert said[1] == [[]]

    def test_a_link_whose_answer_was_lost_counts(self, run_program: Any, tmp_path: Path) -> None:
        # The call is made and its answer replaced, as NFS does when it repeats a request.
        under = _injecting(tmp_path, "unlinkat:error=EIO:when=1")
        said = run_program(
            """
            uploader = DirectoryUploader(target)
            media = new("clip.mov", b"data")
            folder = os.open(target, os.O_RDONLY)
            from media_watch_tasks.uploaders.directory.placing import place_new
            fd = os.open(".temporary", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
            os.link(".temporary", "clip.mov", src_dir_fd=folder, dst_dir_fd=folder)
            place_new(folder, b".temporary", b"clip.mov")
            say(everything(target))
            """,
            under=under,
        )
        # The name too many could not be removed, and that is no failure of the delivery.
        assert said == [[[".temporary", "clip.mov"]]]

    def test_folders_that_cannot_be_synced_are_taken_as_they_are(self, run_program: Any, tmp_path: Path) -> None:
        under = _injecting(tmp_path, "fsync:error=EINVAL:when=1")
        said = run_program(
            """
            say(*attempt(DirectoryUploader(target), new("folder/clip.mov", b"data")))
            """,
            under=under,
        )
        assert said == [["delivered", "folder/clip.mov"]]
        assert _injected(tmp_path) == {"fsync"}


def test_errors_are_told_apart_by_class() -> None:
    assert issubclass(DestinationOfflineError, DestinationFull)
    assert not issubclass(PermanentError, TransientError)


class TestIdentityOfThePlace:
    def test_without_its_marker_nothing_is_written(self, source: Any, target: Path) -> None:
        uploader = DirectoryUploader(target, require_marker="meta/.this-is-the-nas")
        for call in (uploader.check, lambda: source.upload(uploader, source.new("clip.mov", b"data"))):
            with pytest.raises(DestinationOfflineError, match="marker"):
                call()
        assert list(target.iterdir()) == []
        (target / "meta").mkdir()
        (target / "meta/.this-is-the-nas").touch()
        uploader.check()
        source.upload(uploader, source.new("clip.mov", b"data"))

    def test_another_device_at_the_same_path_is_refused(self, source: Any, target: Path, tmp_path: Path) -> None:
        shortcut = tmp_path / "shortcut"
        shortcut.symlink_to(target)
        uploader = DirectoryUploader(shortcut)
        source.upload(uploader, source.new("first.mov", b"data"))
        # /proc is on a device of its own on every Linux, and nothing can be written there by mistake.
        shortcut.unlink()
        shortcut.symlink_to("/proc/self")
        for call in (uploader.check, lambda: source.upload(uploader, source.new("second.mov", b"data"))):
            with pytest.raises(DestinationOfflineError, match="another device"):
                call()
        shortcut.unlink()
        shortcut.symlink_to(target)
        source.upload(uploader, source.new("third.mov", b"data"))
