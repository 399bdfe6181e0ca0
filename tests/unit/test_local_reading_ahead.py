"""Folders that another process reads ahead of a scan: the pages are the same, whatever becomes of that process."""

from __future__ import annotations

import logging
import marshal
import os
import signal
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.local import LocalMediaScanner, folder_reader, reading_ahead
from media_watch_tasks.local import folder as folder_module
from media_watch_tasks.local import scan as scan_module
from media_watch_tasks.local.file_systems import FileSystem
from media_watch_tasks.local.folder import FolderPages, Pages
from media_watch_tasks.local.reader_process import ReaderProcess
from media_watch_tasks.local.reading_ahead import FolderListing, ReadingAhead
from media_watch_tasks.model.scans import DirectoryStamp, KnownDirectories, KnownDirectory, ScanPage
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.testing.permissions import permissions_enforced

Processes = list[ReaderProcess]
FOLDERS, FILES = 60, 7


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders in folders, with files of all sizes and what a filter leaves out."""
    for number in range(FOLDERS):
        folder = tmp_path / f"{number // 6:02} month" / f"{number:02} day"
        folder.mkdir(parents=True)
        for file in range(FILES):
            path = folder / f"clip {file * 5 % FILES}.mov"
            path.write_bytes(bytes(file * number))
            os.utime(path, ns=(10**18 + file, 10**18 + number * FILES + file))
        (folder / ".hidden").touch()
        (folder / "half.part").write_bytes(b"half")
    (tmp_path / "00 month" / ".hidden" / "below").mkdir(parents=True)
    (tmp_path / "00 month" / ".hidden" / "below" / "clip.mov").write_bytes(b"hidden")
    return tmp_path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is started with the first folder and waited for, however busy the machine is."""
    monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", 0)
    monkeypatch.setattr(reading_ahead, "_LEAST_PATIENCE", 30)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors and next to nothing to do, whatever runs beside the tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    monkeypatch.setattr(reading_ahead, "_computing", lambda: 1)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """The processes that scans have started."""
    processes: Processes = []
    right = ReaderProcess.start.__func__  # type: ignore[attr-defined]  # of the class method

    def start(cls: type[ReaderProcess], root: int) -> ReaderProcess | None:
        process: ReaderProcess | None = right(cls, root)
        if process is not None:
            processes.append(process)
        return process

    monkeypatch.setattr(ReaderProcess, "start", classmethod(start))
    return processes


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Folders whose page was made of what the process has read."""
    folders: list[bytes] = []
    right = FolderPages.read_ahead

    def read_ahead(self: FolderPages, directory: bytes, listing: FolderListing) -> Pages:
        folders.append(directory)
        return right(self, directory, listing)

    monkeypatch.setattr(FolderPages, "read_ahead", read_ahead)
    return folders


def alone(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[ScanPage]:
    with monkeypatch.context() as patch:
        patch.setattr(reading_ahead, "_WORTH_A_PROCESS", 10**9)
        return scan(root, **options)


def scan(root: Path, *, cancel: CancelToken | None = None, **options: Any) -> list[ScanPage]:
    return list(LocalMediaScanner(root, **options).scan_assets(cancel=cancel or CancelToken()))


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    "filter_",
    [
        MediaFilter(),
        MediaFilter(include_hidden=True, exclude_names=(), min_size=0),
        MediaFilter(kinds=frozenset({"video"}), exclude_paths=("01 month/**", "*/1? day"), min_size=20, max_size=90),
    ],
    ids=["default", "all", "some"],
)
@pytest.mark.usefixtures("at_once")
def test_the_pages_are_those_of_a_scan_without_it(
    tree: Path, filter_: MediaFilter, started: Processes, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scan(tree, filter=filter_)
    assert found == alone(tree, monkeypatch, filter=filter_)
    assert [page.file_ids for page in found] == [page.file_ids for page in alone(tree, monkeypatch, filter=filter_)]
    assert len(started) == 1
    assert len(taken) > FOLDERS // 10
    assert len(taken) == len(set(taken))


@pytest.mark.usefixtures("at_once")
def test_a_tree_of_nothing_but_depth_needs_no_other_process_to_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path
    for _ in range(50):
        folder /= "deeper"
        (folder / "beside").mkdir(parents=True)
        (folder / "beside" / "clip.mov").write_bytes(b"clip")
        (folder / "clip.mov").write_bytes(b"clip")
    assert scan(tmp_path) == alone(tmp_path, monkeypatch)


@pytest.mark.usefixtures("at_once")
def test_a_process_that_is_killed_costs_nothing_but_time(
    tree: Path,
    started: Processes,
    taken: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    pages = LocalMediaScanner(tree).scan_assets(cancel=CancelToken())
    found = []
    for page in pages:
        found.append(page)
        if len(found) == FOLDERS // 3:
            before = len(taken)
            os.kill(started[0].pid, signal.SIGKILL)
    assert found == alone(tree, monkeypatch)
    assert before > 0
    assert "the process that reads ahead is gone" in caplog.text
    assert len(started) == 1


@pytest.mark.usefixtures("at_once")
def test_a_process_that_cannot_be_started_costs_nothing_but_time(
    tree: Path, started: Processes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    right = alone(tree, monkeypatch)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert scan(tree) == right
    assert "nobody reads ahead" in caplog.text
    assert started == []


@pytest.mark.parametrize("reason", ["frozen", "no interpreter", "one processor", "busy processors"])
@pytest.mark.usefixtures("at_once")
def test_where_it_is_of_no_use_nothing_is_started(
    tree: Path, reason: str, started: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    elif reason == "no interpreter":
        monkeypatch.setattr(sys, "executable", "")
    elif reason == "one processor":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    else:
        monkeypatch.setattr(reading_ahead, "_computing", lambda: 4)
    assert scan(tree)
    assert started == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets capabilities back by starting a program")
@pytest.mark.usefixtures("at_once")
def test_a_process_that_could_read_more_than_the_scan_is_not_started(tree: Path, started: Processes) -> None:
    (tree / "05 month").chmod(0)
    with permissions_enforced():
        pages = scan(tree)
    assert [problem.path for page in pages for problem in page.problems] == [b"05 month"]
    assert started == []


def test_a_small_tree_starts_nothing(tree: Path, started: Processes) -> None:
    assert scan(tree)
    assert started == []


def test_a_scan_tries_again_when_a_processor_has_time(process: _Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", 100)
    computing = [7, 3]
    monkeypatch.setattr(reading_ahead, "_computing", lambda: computing.pop(0))
    ahead = ReadingAhead(0)
    for looks in (99, 100, 101, 199):
        ahead.ask(folders(1, 20), looks=looks)
    assert (computing, process.requests) == ([3], [])
    ahead.ask(folders(1, 20), looks=200)
    assert process.requests == [[b"0002", b"0004"]]


def test_it_is_known_how_many_compute() -> None:
    assert 1 <= reading_ahead._computing() < 1_000


def test_a_large_tree_starts_one_process(tree: Path, started: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", FOLDERS * FILES // 2)
    pages = LocalMediaScanner(tree).scan_assets(cancel=CancelToken())
    looked_at = 0
    for page in pages:
        if started:
            break
        looked_at += len(page.rows)
    pages.close()  # type: ignore[attr-defined]  # a generator
    assert len(started) == 1
    assert FOLDERS * FILES // 3 < looked_at <= FOLDERS * FILES // 2


@pytest.mark.parametrize("options", [{"known": {}}, {"follow_symlinks": True}])
@pytest.mark.usefixtures("at_once")
def test_what_is_known_and_what_follows_links_is_read_by_the_scan(
    tree: Path, options: dict[str, object], started: Processes
) -> None:
    known: dict[bytes, KnownDirectory] | None = options.pop("known", None)  # type: ignore[assignment]
    scanner = LocalMediaScanner(tree, **options)  # type: ignore[arg-type]
    assert list(scanner.scan_assets(known=known, cancel=CancelToken()))
    assert started == []


@pytest.mark.usefixtures("at_once")
def test_where_folders_do_not_tell_that_they_changed_a_rescan_reads_ahead_too(
    tree: Path, started: Processes, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (folder_module, scan_module):
        monkeypatch.setattr(module, "file_system_of", lambda _descriptor: FileSystem("exfat"))
    known = _Asked()
    pages = list(LocalMediaScanner(tree).scan_assets(known=known, cancel=CancelToken()))
    assert pages == alone(tree, monkeypatch)
    assert len(started) == 1
    assert taken
    assert known.directories == [page.directory for page in pages]


class _Asked(KnownDirectories):
    """Knows stamps that no folder has, and remembers in which order it was asked."""

    def __init__(self) -> None:
        self.directories: list[bytes] = []

    def get(self, directory: bytes, /) -> KnownDirectory | None:
        self.directories.append(directory)
        return KnownDirectory(DirectoryStamp(1, 2))


@pytest.mark.usefixtures("at_once")
def test_the_process_ends_with_the_scan(tree: Path, started: Processes) -> None:
    scan(tree)
    pages = LocalMediaScanner(tree).scan_assets(cancel=CancelToken())
    for _ in range(20):
        next(pages)
    assert not is_gone(started[1].pid)
    pages.close()  # type: ignore[attr-defined]  # a generator
    assert [is_gone(process.pid) for process in started] == [True, True]


@pytest.mark.usefixtures("at_once")
def test_a_process_that_hangs_costs_nothing_but_time(
    tree: Path, started: Processes, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = LocalMediaScanner(tree).scan_assets(cancel=CancelToken())
    found = [next(pages) for _ in range(FOLDERS // 2)]
    assert taken
    monkeypatch.setattr(reading_ahead, "_LEAST_PATIENCE", 0.001)
    os.kill(started[0].pid, signal.SIGSTOP)
    found += pages
    assert found == alone(tree, monkeypatch)
    assert is_gone(started[0].pid)


@pytest.mark.usefixtures("at_once")
def test_a_folder_that_was_exchanged_after_it_was_read_is_read_again(
    tree: Path, taken: list[bytes], started: Processes
) -> None:
    """Its folders would be looked for in the wrong one."""
    for number in range(40):
        (tree / f"{number:02} month" / "below").mkdir(parents=True, exist_ok=True)
    pages = LocalMediaScanner(tree).scan_assets(cancel=CancelToken())
    found = [next(pages) for _ in range(10)]
    wait_until(lambda: _answers_all(started[0]))
    (tree / "39 month").rename(tree / "once 39 month")
    for number in range(2, 40):
        month = tree / f"{number:02} month"
        if month.exists():
            month.rename(tree / f"once {number:02} month")
        (month / "other").mkdir(parents=True)
        (month / "other" / "new.mov").write_bytes(b"new")
    found += pages
    there = {page.directory for page in found if page.directory.endswith(b" month") and b"other" in page.directories}  # type: ignore[operator]
    assert {b"%02d month" % number for number in range(2, 40)} == there
    assert {page.directory for page in found if page.rows} >= {b"%02d month/other" % number for number in range(2, 40)}
    assert taken


def wait_until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


def _answers_all(process: ReaderProcess) -> bool:
    """True once everything it was asked for lies in the pipe: it waits for the next request."""
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0]
    return state == "S"


@pytest.mark.parametrize("itself", ["the root", "another file system", "another folder"])
@pytest.mark.usefixtures("at_once")
def test_what_may_not_stand_for_a_listing_is_not_taken(
    tree: Path, itself: str, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that leads back to a folder above, or to a file system of which nothing is known yet."""
    right, wrong = ReadingAhead.answer, []

    def answer(self: ReadingAhead, directory: bytes, cancel: CancelToken, *, patience: float) -> FolderListing | None:
        listing = right(self, directory, cancel, patience=patience)
        if listing is None or (itself == "another folder" and not listing.folders):
            return None
        wrong.append(directory)
        device = above.st_dev + (itself == "another file system")
        place = {"st_dev": device, "st_ino": above.st_ino if itself == "the root" else 1}
        return listing._replace(itself=listing.itself._replace(**place))

    above = tree.stat()
    monkeypatch.setattr(ReadingAhead, "answer", answer)
    assert scan(tree) == alone(tree, monkeypatch)
    assert wrong
    assert taken == []


class _Process:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: deque[bytes] = deque()
        self.requests: list[list[bytes]] = []
        self.answering = 0
        self.closed = False

    def request(self, directories: list[bytes]) -> None:
        self.requests.append(directories)
        self.asked += directories

    def receive(self, _timeout_ms: int) -> Iterator[tuple[bytes, folder_reader.Answer | None]]:
        while self.answering and self.asked:
            self.answering -= 1
            yield self.asked.popleft(), ((1, 2, 3, 4), b"", b"", b"", b"", b"")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> _Process:
    made = _Process()
    monkeypatch.setattr(ReaderProcess, "start", lambda _root: made)
    monkeypatch.setattr(reading_ahead, "_WORTH_A_PROCESS", 0)
    return made


def folders(first: int, last: int) -> list[bytes]:
    return [b"%04d" % number for number in range(first, last)]


def test_every_second_folder_is_left_to_the_scan(process: _Process) -> None:
    ahead = ReadingAhead(0)
    ahead.ask(folders(1, 20), looks=0)
    assert process.requests == [[b"0002", b"0004"]]
    process.answering = 1
    ahead.ask(folders(2, 20), looks=0)
    assert process.requests == [[b"0002", b"0004"], [b"0006"]]
    assert ahead.answer(b"0003", CancelToken()) is None
    assert ahead.answer(b"0002", CancelToken()) is not None


def test_an_idle_process_far_ahead_is_given_all_but_the_next_folder(process: _Process) -> None:
    ahead = ReadingAhead(0)
    process.answering = 10**9
    for _ in range(40):
        ahead.ask(folders(1, 1_000), looks=0)
    requested = [directory for request in process.requests for directory in request]
    assert len(requested) == len(set(requested)) == reading_ahead._AHEAD
    assert b"0001" not in requested
    assert {b"0003", b"0005", b"0007"} <= set(requested)


def test_a_folder_that_is_read_too_slowly_is_left_to_the_scan(process: _Process) -> None:
    ahead = ReadingAhead(0)
    ahead.ask(folders(1, 20), looks=0)
    assert ahead.answer(b"0002", CancelToken()) is None
    assert ahead.answer(b"0004", CancelToken(), patience=10**9) is None
    process.answering = 2
    ahead.ask(folders(5, 20), looks=0)
    assert process.requests == [[b"0002", b"0004"], [b"0006", b"0008"]]
    assert ahead.folders_in(b"0002") == ahead.folders_in(b"0004") == []
    process.answering = 2
    assert ahead.answer(b"0006", CancelToken()) is not None


def test_waiting_for_a_slow_place_can_be_cancelled(process: _Process) -> None:
    ahead = ReadingAhead(0)
    ahead.ask(folders(1, 20), looks=0)
    assert process.asked
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        ahead.answer(b"0002", cancel, patience=10**9)


def test_folders_that_the_scan_never_came_to_do_not_fill_the_room(process: _Process) -> None:
    ahead = ReadingAhead(0)
    process.answering = 10**9
    for _ in range(40):
        ahead.ask(folders(1, 1_000), looks=0)
    assert ahead.answer(b"0500", CancelToken()) is None
    before = len(process.requests)
    ahead.ask(folders(501, 1_000), looks=0)
    assert len(process.requests) == before + 1


def test_folders_below_one_that_is_read_already_are_upcoming_too(
    tmp_path: Path, process: _Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/x", "b/x", "b/y", "c"):
        (tmp_path / name).mkdir(parents=True)
    told: list[list[bytes]] = []
    right = ReadingAhead.ask

    def ask(self: ReadingAhead, upcoming: Iterable[bytes], *, looks: int) -> None:
        told.append(list(upcoming))
        right(self, told[-1], looks=looks)

    monkeypatch.setattr(ReadingAhead, "ask", ask)
    monkeypatch.setattr(ReadingAhead, "folders_in", lambda _, directory: [b"x", b"y"] if directory == b"b" else [])
    process.answering = 10**9
    scan(tmp_path)
    assert told[0] == [b"b", b"b/x", b"b/y", b"c"]
    assert told[1] == [b"b", b"b/x", b"b/y", b"c"]
    assert process.closed


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_the_reader_gives_names_numbers_and_times(tmp_path: Path, root: int) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("folder")
    for name, size, mtime in (("z", 5, -7), ("m", 0, 10**18)):
        (folder / name).write_bytes(bytes(size))
        os.utime(folder / name, ns=(mtime, mtime))
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    answer = folder_reader.read_folder(root, b"a/b")
    assert answer is not None
    itself, names, sizes, times, inodes, folders = answer
    there = folder.stat()
    assert itself == (there.st_dev, there.st_ino, there.st_mtime_ns, there.st_ctime_ns)
    assert (names, folders) == (b"m\0z\0\xff", b"folder")
    assert array("q", sizes).tolist() == [0, 5, 0]
    assert array("q", times).tolist()[:2] == [10**18, -7]
    assert array("q", inodes).tolist()[:2] == [(folder / name).stat().st_ino for name in "mz"]
    assert marshal.loads(marshal.dumps(answer)) == answer


def test_the_reader_takes_the_times_from_before_the_listing(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    os.utime(tmp_path / "folder", ns=(5, 5))
    right = os.scandir

    def scandir(descriptor: int) -> object:
        (tmp_path / "folder" / "late.mov").touch()
        return right(descriptor)

    monkeypatch.setattr(os, "scandir", scandir)
    answer = folder_reader.read_folder(root, b"folder")
    assert answer is not None
    assert (answer[0][2], answer[1]) == (5, b"late.mov")
    assert (tmp_path / "folder").stat().st_mtime_ns != 5


@pytest.mark.parametrize("what", ["nothing", "file", "link", "link above", "many"])
def test_the_reader_leaves_alone_what_is_no_ordinary_folder(tmp_path: Path, root: int, what: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "below").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("folder")
    if what == "many":
        for number in range(folder_reader.LARGEST + 1):
            (tmp_path / "folder" / f"{number}").touch()
    paths = {"link above": b"link/below", "many": b"folder"}
    before = len(os.listdir("/proc/self/fd"))
    assert folder_reader.read_folder(root, paths.get(what, what.encode())) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_reader_leaves_alone_what_it_cannot_look_at(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "clip.mov").touch()
    faults: list[object] = []

    def refuse(*arguments: object, **_: object) -> os.stat_result:
        faults.append(arguments)
        raise OSError(5, "broken disk")

    monkeypatch.setattr(os, "stat", refuse)
    assert folder_reader.read_folder(root, b"folder") is None
    assert len(faults) == 1


def test_the_reader_leaves_alone_what_is_no_file_any_more(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "clip.mov").touch()
    now_a_folder = os.stat(tmp_path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: now_a_folder)
    assert folder_reader.read_folder(root, b"folder") is None


def test_numbers_that_no_database_holds_are_left_to_the_scan(
    tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "clip.mov").touch()
    real = os.stat(tmp_path / "folder" / "clip.mov")
    beyond = os.stat_result((real.st_mode, 2**64 - 1, *real[2:]), {"st_mtime_ns": 5})
    monkeypatch.setattr(os, "stat", lambda *_, **__: beyond)
    assert folder_reader.read_folder(root, b"folder") is None
