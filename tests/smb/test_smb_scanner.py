"""Scanning a share: what is found, in which order, at how many frames, and what is said of what cannot be read."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    OperationCancelled,
    SourceOfflineError,
)
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import KnownDirectory, ProblemKind, ScanPage
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.smb import SmbConnection, SmbMediaScanner, collected, walk
from media_watch_tasks.smb.entries import Entry

Options = Any
Server = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

NAMES = [
    "plain.mp4", "with space.mov", "한국어 파일.mp4", "日本語のファイル.mkv", "emoji 😀🎬.jpg", "[x].ts",
    "\u00e9.jpg", "e\u0301.jpg", "UPPER.JPG", "upper.jpg", "\u00e9" * 127 + "x", "n" * 251 + ".mp4",
    "\ufb00 ligature.wav", "a#b;c&d.mp3", "100%.avi",
]  # fmt: skip
"""Among them NFC and NFD twins, twins that differ in case, and 255 bytes, which is the most that a name has."""


def scan(scanner: SmbMediaScanner, **options: Options) -> list[ScanPage]:
    return list(scanner.scan_assets(cancel=options.pop("cancel", CancelToken()), **options))


def ids(pages: list[ScanPage]) -> list[bytes]:
    return [asset.asset_id for page in pages for asset in page.assets]


def frames(connection: SmbConnection, action: Callable[[], object]) -> int:
    before = connection.status().frames_sent
    action()
    return connection.status().frames_sent - before


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def connection(server: Server) -> Iterator[SmbConnection]:
    with server.connect() as made:
        yield made


def test_every_name_comes_back_byte_for_byte_and_can_be_opened(server: Server, connection: SmbConnection) -> None:
    for name in NAMES:
        write(server.share / "d" / name, name.encode())
    found = ids(scan(SmbMediaScanner(connection)))
    assert found == sorted(b"d/" + name.encode() for name in NAMES)
    for asset_id in found:
        assert connection.read_partial(asset_id) == identity.split(asset_id)[1]


def test_paths_far_beyond_260_characters_are_listed_and_read(server: Server, connection: SmbConnection) -> None:
    deep = "/".join(["한" * 80] * 5 + ["d" * 200] * 3)
    folder = os.open(server.share, os.O_RDONLY)
    for part in deep.split("/"):
        os.mkdir(part, dir_fd=folder)
        folder, parent = os.open(part, os.O_RDONLY, dir_fd=folder), folder
        os.close(parent)
    with os.fdopen(os.open("film.mp4", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "wb") as file:
        file.write(b"deep")
    os.close(folder)
    assert len(deep) > 1_000
    assert ids(scan(SmbMediaScanner(connection))) == [f"{deep}/film.mp4".encode()]
    assert connection.read_partial(f"{deep}/film.mp4") == b"deep"


def test_the_modification_time_keeps_its_100_nanoseconds(server: Server, connection: SmbConnection) -> None:
    for number, ns in enumerate([1_700_000_000_123_456_789, -1_000_000_000_000_000_100, 5_000_000_000_000_000_000]):
        os.utime(write(server.share / f"{number}.mp4"), ns=(ns, ns))
    scanner = SmbMediaScanner(connection)
    [page] = scan(scanner)
    assert [row[2] for row in page.rows] == [
        os.stat(server.share / f"{n}.mp4").st_mtime_ns // 100 * 100 for n in range(3)
    ]
    assert [asset.mtime_ns for asset in page.assets] == [connection.stat(f"{n}.mp4").mtime_ns for n in range(3)]


def test_directories_come_in_the_order_of_path_components_as_bytes(server: Server, connection: SmbConnection) -> None:
    for folder in ["a", "a/b", "a-b", "a b", "a/z/y", "B", "ä", "a.", "a0"]:
        write(server.share / folder / "f.mp4")
    pages = scan(SmbMediaScanner(connection))
    order = [page.directory for page in pages]
    assert order == sorted(order, key=lambda directory: directory.split(b"/") if directory else [])
    assert len(order) == 11
    by_directory = {page.directory: page for page in pages}
    assert by_directory[b"a"].directories == (b"b", b"z")
    assert all(page.stamp is not None and page.complete and page.checkpoint for page in pages)


def test_what_nas_systems_and_the_hidden_attribute_leave_out_is_not_listed(
    server: Server, connection: SmbConnection
) -> None:
    for name in [
        "@eaDir/x.jpg",
        "#recycle/y.mp4",
        "#snapshot/a/z.mp4",
        ".hidden.mp4",
        "Thumbs.db",
        "f.mp4.part",
        "kept.mp4",
    ]:
        write(server.share / name)
    write(server.share / "empty.mp4", b"")
    # DOS attributes as Samba keeps them: hidden, system.
    for name, attribute in [("dos-hidden.mp4", "0x2"), ("dos-system.mp4", "0x4")]:
        os.setxattr(write(server.share / name), "user.DOSATTRIB", attribute.encode() + b"\0")
    counted = frames(connection, lambda: ids(scan(SmbMediaScanner(connection))))
    assert counted == 1, "what is left out is not even listed"
    assert ids(scan(SmbMediaScanner(connection))) == [b"kept.mp4"]
    shown = ids(scan(SmbMediaScanner(connection, filter=MediaFilter(include_hidden=True))))
    assert shown == [b".hidden.mp4", b"dos-hidden.mp4", b"dos-system.mp4", b"kept.mp4"]


def test_a_small_directory_costs_one_frame(server: Server, connection: SmbConnection) -> None:
    for number in range(50):
        write(server.share / f"folder {number}" / "a.mp4")
    assert frames(connection, lambda: scan(SmbMediaScanner(connection))) == 51


@pytest.mark.parametrize("count", [999, 1_000, 1_001, 7_500])
def test_a_large_directory_comes_whole_sorted_and_in_pages_of_a_thousand(
    server: Server, connection: SmbConnection, count: int
) -> None:
    (server.share / "flat").mkdir()
    for number in range(count):
        (
            server.share / "flat" / f"a rather long name, to fill the buffers {number * 7919 % count:06d}.mp4"
        ).write_bytes(b"x")
    pages = [page for page in scan(SmbMediaScanner(connection)) if page.directory == b"flat"]
    assert [len(page.rows) for page in pages[:-1]] == [1_000] * (len(pages) - 1)
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    found = ids(pages)
    assert found == sorted(found)
    assert len(set(found)) == count == len(found)


def test_a_directory_that_is_sorted_on_the_disk_comes_as_one_that_is_sorted_in_memory(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9_000):
        write(server.share / "flat" / f"a rather long name, to fill the buffers {number * 7919 % 9_000:06d}.mp4")
    (server.share / "flat" / "b").mkdir()
    in_memory = scan(SmbMediaScanner(connection, file_ids=True))
    shown = list(connection.list_directory("flat"))
    monkeypatch.setattr(collected, "_IN_MEMORY", 700)
    files = len(os.listdir("/proc/self/fd"))
    assert scan(SmbMediaScanner(connection, file_ids=True)) == in_memory
    assert list(connection.list_directory("flat")) == shown
    assert len(os.listdir("/proc/self/fd")) == files, "the files of the listings are closed"


def test_a_name_that_is_shown_twice_comes_once_in_its_last_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(_directory: bytes, found: list[Entry]) -> collected.Chosen:
        return [tuple(entry) for entry in found], []

    for most in (1, 100_000):
        monkeypatch.setattr(collected, "_IN_MEMORY", most)
        kept = collected.Collected(b"", choose, largest=100)
        for portion in ([b"b", b"a"], [b"c", b"d"], [b"c", b"b"]):
            kept.add([Entry(name, 1, 1, 0, None, 0) for name in portion])
        assert [row[0] for row in kept.rows] == [b"a", b"b", b"c", b"d"]


def test_a_listing_that_the_disk_has_no_room_for_is_a_problem(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3_000):
        write(server.share / "flat" / f"{number} {'x' * 60}.mp4")
    write(server.share / "other.mp4")
    fired: list[int] = []

    def full(**_options: Options) -> Options:
        fired.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(collected, "_IN_MEMORY", 700)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    pages = scan(SmbMediaScanner(connection))
    assert ids(pages) == [b"other.mp4"]
    assert ["No space left" in problem.message for page in pages for problem in page.problems] == [True]
    assert fired


def test_a_directory_beyond_the_limit_is_a_problem_not_a_memory_shortage(
    server: Server, connection: SmbConnection
) -> None:
    for number in range(6_000):
        write(server.share / "flat" / f"{number} {'x' * 60}.mp4")
    write(server.share / "other.mp4")
    pages = scan(SmbMediaScanner(connection, max_directory_entries=5_000))
    assert ids(pages) == [b"other.mp4"]
    assert [problem.kind for page in pages for problem in page.problems] == [ProblemKind.UNREADABLE]


def test_file_ids_come_when_asked_for_and_are_those_of_a_stat(server: Server, connection: SmbConnection) -> None:
    inode = write(server.share / "a.mp4").stat().st_ino
    [plain] = scan(SmbMediaScanner(connection))
    assert plain.file_ids == ()
    [page] = scan(SmbMediaScanner(connection, file_ids=True))
    assert page.file_ids == (inode,) == (connection.stat("a.mp4").file_id,)
    assert page.rows == plain.rows


def tree(share: Path) -> None:
    for folder in ["a/1", "a/2/x", "a/2/y", "b", "c/1/2/3/4", "d"]:
        write(share / folder / "f.mp4")


def test_a_scan_resumes_behind_every_checkpoint(server: Server, connection: SmbConnection) -> None:
    tree(server.share)
    scanner = SmbMediaScanner(connection)
    whole = scan(scanner)
    for number, page in enumerate(whole):
        rest = scan(scanner, resume_from=page.checkpoint)
        assert [p.directory for p in rest] == [p.directory for p in whole[number + 1 :]]
        assert [p.rows for p in rest] == [p.rows for p in whole[number + 1 :]]


def test_a_checkpoint_whose_directory_is_gone_skips_nothing_behind_it(
    server: Server, connection: SmbConnection
) -> None:
    tree(server.share)
    scanner = SmbMediaScanner(connection)
    [checkpoint] = [page.checkpoint for page in scan(scanner) if page.directory == b"a/2/x"]
    shutil.rmtree(server.share / "a/2/x")
    assert scan(scanner, resume_from=checkpoint)[0].directory == b"a/2/y"
    shutil.rmtree(server.share / "a")
    assert scan(scanner, resume_from=checkpoint)[0].directory == b"b"


def test_a_text_that_is_no_checkpoint_is_refused(connection: SmbConnection) -> None:
    with pytest.raises(ConfigurationError):
        scan(SmbMediaScanner(connection), resume_from="nonsense")


def known_of(pages: list[ScanPage]) -> dict[bytes, KnownDirectory]:
    return {
        page.directory: KnownDirectory(page.stamp, page.directories or ()) for page in pages if page.stamp is not None
    }


def test_an_unchanged_tree_is_looked_at_and_not_listed(server: Server, connection: SmbConnection) -> None:
    tree(server.share)
    scanner = SmbMediaScanner(connection)
    first = scan(scanner)
    again: list[ScanPage] = []
    counted = frames(connection, lambda: again.extend(scan(scanner, known=known_of(first))))
    assert [page.directory for page in again] == [page.directory for page in first]
    assert all(page.unchanged and page.complete and not page.rows for page in again)
    assert [(page.stamp, page.directories) for page in again] == [(page.stamp, page.directories) for page in first]
    assert counted == len(first)


def test_only_what_changed_is_listed_again(server: Server, connection: SmbConnection) -> None:
    tree(server.share)
    scanner = SmbMediaScanner(connection)
    first = scan(scanner)
    write(server.share / "a/2/x/new.mp4")
    write(server.share / "a/2/fresh/deep/new.mp4")
    shutil.rmtree(server.share / "c/1")
    again = {page.directory: page for page in scan(scanner, known=known_of(first))}
    full = {page.directory: page for page in scan(scanner)}
    assert list(again) == list(full)
    listed = {directory for directory, page in again.items() if not page.unchanged}
    assert listed == {b"a/2", b"a/2/x", b"a/2/fresh", b"a/2/fresh/deep", b"c"}
    assert {d: again[d].rows for d in listed} == {d: full[d].rows for d in listed}
    assert {d: page.directories for d, page in again.items()} == {d: page.directories for d, page in full.items()}


@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns", "file_id"])
def test_a_stamp_that_differs_in_any_field_is_not_trusted(
    server: Server, connection: SmbConnection, field: str
) -> None:
    write(server.share / "a/f.mp4")
    known = known_of(scan(SmbMediaScanner(connection)))
    stamp = known[b"a"].stamp
    known[b"a"] = KnownDirectory(attrs.evolve(stamp, **{field: getattr(stamp, field) + 100}))
    pages = {page.directory: page for page in scan(SmbMediaScanner(connection), known=known)}
    assert (pages[b""].unchanged, pages[b"a"].unchanged) == (True, False)
    assert ids([pages[b"a"]]) == [b"a/f.mp4"]


def test_a_symlink_into_itself_is_a_loop_and_ends(server: Server, connection: SmbConnection) -> None:
    write(server.share / "a/b/f.mp4")
    (server.share / "a/b/up").symlink_to("..")
    pages = scan(SmbMediaScanner(connection))
    problems = [(page.directory, problem.kind) for page in pages for problem in page.problems]
    assert problems == [(b"a/b/up", ProblemKind.LOOP)]
    assert ids(pages) == [b"a/b/f.mp4"]


def test_a_folder_without_permission_is_a_problem_and_the_rest_is_listed(server: Server) -> None:
    for name in ["a/f.mp4", "closed/g.mp4", "z/h.mp4"]:
        write(server.share / name)
    (server.share / "closed").chmod(0)
    try:
        with server.connect(share="plain") as connection:
            pages = scan(SmbMediaScanner(connection))
    finally:
        (server.share / "closed").chmod(0o755)
    assert ids(pages) == [b"a/f.mp4", b"z/h.mp4"]
    [page] = [page for page in pages if page.problems]
    assert (page.directory, page.complete, page.stamp) == (b"closed", False, None)
    assert page.problems[0].kind is ProblemKind.UNREADABLE
    assert "ACCESS_DENIED" in page.problems[0].message


def test_a_closed_root_asks_for_credentials(server: Server) -> None:
    (server.share / "root").mkdir()
    (server.share / "root").chmod(0)
    try:
        with server.connect(share="plain") as connection, pytest.raises(AuthenticationRequiredError):
            scan(SmbMediaScanner(connection, "root"))
    finally:
        (server.share / "root").chmod(0o755)


def test_a_root_that_is_not_there_is_offline(server: Server, connection: SmbConnection) -> None:
    scanner = SmbMediaScanner(connection, "nothing/here")
    with pytest.raises(SourceOfflineError):
        scan(scanner)
    with pytest.raises(SourceOfflineError):
        scanner.identify(cancel=CancelToken())


def test_a_folder_deleted_during_the_walk_is_an_empty_complete_page(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_IN_FLIGHT", 0)
    tree(server.share)
    pages = []
    for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
        pages.append(page)
        if page.directory == b"a":
            shutil.rmtree(server.share / "a/2")
    by_directory = {page.directory: page for page in pages}
    assert (by_directory[b"a/2"].complete, by_directory[b"a/2"].rows, by_directory[b"a/2"].directories) == (
        True,
        (),
        (),
    )
    assert not any(page.problems for page in pages)
    assert b"b/f.mp4" in ids(pages)


def test_a_folder_renamed_during_the_walk_loses_nothing_that_stays(
    server: Server, connection: SmbConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_IN_FLIGHT", 0)
    tree(server.share)
    pages = []
    for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
        pages.append(page)
        if page.directory == b"a":
            (server.share / "a/2").rename(server.share / "e")
    found = ids(pages)
    assert {b"a/1/f.mp4", b"b/f.mp4", b"c/1/2/3/4/f.mp4", b"d/f.mp4"} <= set(found)
    # It was in the listing of the root before it moved there: a later scan finds it, nothing is reported as read.
    assert b"a/2/x/f.mp4" not in found
    assert b"e/x/f.mp4" in ids(scan(SmbMediaScanner(connection)))


def test_cancelling_ends_the_scan(server: Server, connection: SmbConnection) -> None:
    tree(server.share)
    cancel = CancelToken()
    pages = SmbMediaScanner(connection).scan_assets(cancel=cancel)
    next(pages)
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        list(pages)


def test_a_root_that_is_replaced_has_another_identity(server: Server, connection: SmbConnection) -> None:
    scanner = SmbMediaScanner(connection)
    write(server.share / "a.mp4")
    before = scanner.identify(cancel=CancelToken())
    assert scanner.identify(cancel=CancelToken()) == before
    aside = server.root / "aside"
    server.share.rename(aside)
    try:
        # As an unmounted disk leaves it: an empty folder in its place.
        server.share.mkdir()
        connection.reconnect()
        after = scanner.identify(cancel=CancelToken())
        assert (after.strong or after.weak) != (before.strong or before.weak)
        server.share.rmdir()
        connection.close()
        with pytest.raises(SourceOfflineError):
            scanner.identify(cancel=CancelToken())
        with pytest.raises(SourceOfflineError):
            scan(scanner)
    finally:
        shutil.rmtree(server.share, ignore_errors=True)
        aside.rename(server.share)


def test_a_marker_tells_places_apart_and_must_be_there(server: Server, connection: SmbConnection) -> None:
    scanner = SmbMediaScanner(connection, marker="marker.txt")
    with pytest.raises(SourceOfflineError):
        scanner.identify(cancel=CancelToken())
    write(server.share / "marker.txt", b"disk one")
    one = scanner.identify(cancel=CancelToken())
    write(server.share / "marker.txt", b"disk two")
    assert one.strong
    assert scanner.identify(cancel=CancelToken()).strong != one.strong


def test_the_slow_path_sees_exactly_what_the_fast_path_sees(server: Server) -> None:
    tree(server.share)
    for name in NAMES:
        write(server.share / "names" / name, name.encode())
    for number in range(1_500):
        write(server.share / "flat" / f"{number:05d} {'x' * 40}.mp4")
    results = []
    for fast in (True, False):
        with server.connect(fast_path=fast) as connection:
            pages = scan(SmbMediaScanner(connection, file_ids=True))
            looks = [connection.stat(asset_id) for asset_id in ids(pages)[:40]]
            heads = [connection.read_partial(asset_id, 10) for asset_id in ids(pages)[:40]]
            assert connection.status().fast_path is fast
            results.append((pages, looks, heads, list(connection.list_directory(recursive=True))))
    fast_pages, slow_pages = results[0][0], results[1][0]
    assert fast_pages == slow_pages
    assert results[0][1:3] == results[1][1:3]
    assert [(e.path, e.size, e.mtime_ns) for e in results[0][3]] == [
        (e.path, e.size, e.mtime_ns) for e in results[1][3]
    ]


def test_source_id_names_the_place_without_secrets(connection: SmbConnection) -> None:
    port = connection.url.rpartition(":")[2].partition("/")[0]
    assert SmbMediaScanner(connection, "a\\b/c").source_id == f"smb://127.0.0.1:{port}/media/a/b/c"
    assert SmbMediaScanner(connection, source_id="my nas").source_id == "my nas"


def test_memory_does_not_grow_with_the_tree(server: Server, connection: SmbConnection) -> None:
    # One file under many names: a disk takes a long time to make and to remove as many files.
    one = server.root / "one"
    one.write_bytes(b"x")
    for folder in range(1_200):
        (server.share / f"{folder:04d}").mkdir()
        for number in range(15):
            (server.share / f"{folder:04d}" / f"{number:02d}.mp4").hardlink_to(one)
    peaks, seen = [], 0
    tracemalloc.start()
    try:
        for page in SmbMediaScanner(connection).scan_assets(cancel=CancelToken()):
            seen += len(page.rows)
            if page.directory in {b"0400", b"0800", b"1199"}:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert seen == 18_000
    # Pages on their way make the peak unsteady; a hundred bytes kept of each file would be 600 kB more at each look.
    assert peaks[1] < peaks[0] + (300 << 10)
    assert peaks[2] < peaks[0] + (300 << 10)
    assert max(peaks) < 16 << 20
