"""MediaScanner suite: what pages hold, and in which order they come."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from media_watch_tasks.abc.scanner import Filters
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import NANOSECONDS, from_ns
from media_watch_tasks.errors import OperationCancelled
from media_watch_tasks.model import identity
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.testing.contracts.page_rules import directories_of, only, paths_of, problems_of
from media_watch_tasks.testing.contracts.source_base import IN_ORDER, ODD_NAMES, SourceSuite, classified_as, fill, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ScannerNamesContract", "ScannerPagesContract"]


class ScannerPagesContract(SourceSuite):
    """`scan_assets` of a place that nobody disturbs."""

    def test_the_source_has_a_name_that_every_scanner_gives_it(self, place: Place) -> None:
        place.write("a.mov")
        assert place.scanner().source_id == place.scanner().source_id == place.resolver().source_id
        assert {page.source_id for page in self.scan(place)} == {place.scanner().source_id}

    def test_an_empty_place_gives_one_complete_page(self, place: Place) -> None:
        page = only(self.scan(place))
        assert (page.directory, page.rows, page.complete, page.problems) == (b"", (), True, ())

    def test_a_folder_without_files_has_a_complete_page(self, place: Place) -> None:
        place.mkdir("a/b")
        pages = self.scan(place)
        assert directories_of(pages) == [b"", b"a", b"a/b"]
        assert all(page.complete and not page.rows for page in pages)

    def test_every_file_appears_once_in_the_order_of_path_components(self, place: Place) -> None:
        fill(place, reversed(IN_ORDER))
        pages = self.scan(place)
        assert paths_of(pages) == IN_ORDER
        assert all(page.complete for page in pages)
        assert problems_of(pages) == []

    def test_a_second_scan_shows_the_same(self, place: Place) -> None:
        fill(place, IN_ORDER)
        scanner = place.scanner()
        first = list(scanner.scan_assets(cancel=CancelToken()))
        assert list(scanner.scan_assets(cancel=CancelToken())) == first
        assert self.scan(place) == first

    @needs("names_directories")
    def test_the_last_page_of_a_directory_names_its_folders(self, place: Place) -> None:
        fill(place, IN_ORDER)
        place.mkdir("a/empty")
        named = {page.directory: page.directories for page in self.scan(place)}
        assert named[b""] == (b"a", b"a b", b"a-b", b"a.b", b"aa", b"b")
        assert named[b"a"] == (b"b", b"d", b"empty")
        assert named[b"a/empty"] == ()

    def test_sizes_are_the_bytes_of_the_files(self, place: Place) -> None:
        for size in (1, 4_095, 4_096, 70_001):
            place.write(f"{size}.mov", bytes(size))
        assert {asset.asset_id: asset.size for asset in self.assets(place).values()} == {
            b"%d.mov" % size: size for size in (1, 4_095, 4_096, 70_001)
        }

    def test_no_time_of_modification_hides_a_file(self, place: Place) -> None:
        # A camera with an empty battery dates its files to 1980; another one to the year 2100.
        times = {
            b"long ago.mov": 315_532_800 * NANOSECONDS,
            b"future.mov": 4_102_444_800 * NANOSECONDS + 123_456_789,
            b"precise.mov": 1_700_000_000_123_456_789,
            b"before 1970.mov": max(self.earliest_mtime_ns, -1_000_000_000_000_000_000),
        }
        place.write("now.mov")
        for name, time in times.items():
            place.write(name, mtime_ns=time)
        found = self.assets(place)
        assert set(found) == {*times, b"now.mov"}
        assert {name: found[name].mtime_ns for name in times} == {
            name: self.mtime(time) for name, time in times.items()
        }

    def test_since_hides_nothing_that_is_there(self, place: Place) -> None:
        place.write("old.mov", mtime_ns=315_532_800 * NANOSECONDS)
        newest = max(asset.mtime_ns for asset in self.assets(place).values())
        pages = self.scan(place, since=_later(newest))
        assert paths_of(pages) == [b"old.mov"]

    @pytest.mark.parametrize(("files", "pages"), [(999, 1), (1_000, 1), (1_001, 2), (2_003, 3)])
    def test_a_directory_comes_in_pages_of_at_most_a_thousand(self, place: Place, files: int, pages: int) -> None:
        names = sorted(b"%d.mov" % number for number in range(files))
        fill(place, [identity.join(b"flat", name) for name in names])
        found = [page for page in self.scan(place) if page.directory == b"flat"]
        assert [name for page in found for name, _, _ in page.rows] == names
        assert [page.complete for page in found] == [False] * (len(found) - 1) + [True]
        assert len(found) >= pages

    def test_the_assets_of_a_page_are_its_rows(self, place: Place) -> None:
        fill(place, IN_ORDER)
        for page in self.scan(place):
            assert [(asset.directory, asset.name, asset.size, asset.mtime_ns) for asset in page.assets] == [
                (page.directory, *row) for row in page.rows
            ]

    def test_a_file_keeps_its_id_where_ids_are_stable(self, place: Place) -> None:
        place.write("a/old.mov")
        stable = place.scanner().identify(cancel=CancelToken()).file_ids_stable
        before = self.asset(place, "a/old.mov").file_id
        assert before is not None or not stable
        place.rename("a/old.mov", "new.mov")
        place.write("a/old.mov")
        found = self.assets(place)
        if stable:
            assert found[b"new.mov"].file_id == before
            assert found[b"a/old.mov"].file_id != before

    def test_a_deep_tree_is_listed_to_its_end(self, place: Place) -> None:
        deepest = b"/".join([b"level"] * 60) + b"/end.mov"
        place.write(deepest)
        place.write("level/z/beside.mov")
        assert paths_of(self.scan(place)) == [deepest, b"level/z/beside.mov"]

    def test_folders_are_read_only_as_their_pages_are_asked_for(self, place: Place) -> None:
        count = self.read_ahead + 50
        for number in range(count):
            place.mkdir(f"{number:04}")
        pages = place.scanner().scan_assets(cancel=CancelToken())
        next(pages)
        place.write(f"{count - 1:04}/late.mov")
        assert paths_of(pages) == [b"%04d/late.mov" % (count - 1)]

    def test_a_scan_that_is_cancelled_before_it_begins_lists_nothing(self, place: Place) -> None:
        cancel = CancelToken()
        cancel.cancel(CancelReason.USER)
        with pytest.raises(OperationCancelled) as raised:
            list(place.scanner().scan_assets(cancel=cancel))
        assert raised.value.reason is CancelReason.USER

    def test_a_scan_that_is_cancelled_stops(self, place: Place) -> None:
        for number in range(self.read_ahead + 50):
            place.mkdir(f"{number:04}")
        cancel = CancelToken()
        pages = place.scanner().scan_assets(cancel=cancel)
        next(pages)
        cancel.cancel()
        more: list[ScanPage] = []
        with classified_as(OperationCancelled):
            more.extend(pages)
        assert len(more) <= self.read_ahead

    def test_a_scan_may_be_given_up_and_another_one_begun(self, place: Place) -> None:
        fill(place, IN_ORDER)
        scanner = place.scanner()
        for _ in range(20):
            next(iter(scanner.scan_assets(cancel=CancelToken())))
        assert paths_of(scanner.scan_assets(cancel=CancelToken())) == IN_ORDER

    def test_what_is_listed_is_visible_to_the_filter_of_the_scanner(self, place: Place) -> None:
        fill(place, IN_ORDER)
        scanner = place.scanner()
        if isinstance(scanner, Filters):
            assert scanner.filter_spec == place.scanner().filter_spec  # type: ignore[attr-defined]  # the same class
            assert all(scanner.was_visible(scanner.filter_spec, asset) for asset in self.assets(place).values())

    def test_no_folder_that_is_listed_is_said_to_be_left_out(self, place: Place) -> None:
        fill(place, [*IN_ORDER, b".hidden/in it/1.mov", b"@eaDir/2.mov", b"card/.cache/3.mov"])
        scanner = place.scanner()
        if isinstance(scanner, Filters):
            listed = directories_of(self.scan(place))
            made = [*listed, b".hidden", b".hidden/in it", b"@eaDir", b"card/.cache"]
            assert [path for path in made if scanner.leaves_out(path)] == [path for path in made if path not in listed]


class ScannerNamesContract(SourceSuite):
    """Names are bytes, and come back as they are."""

    def test_names_are_listed_byte_for_byte(self, place: Place) -> None:
        names = [name for name in ODD_NAMES if place.holds(name)]
        assert len(names) >= 10, "a place that holds no names is no test of them"
        fill(place, names)
        assert paths_of(self.scan(place)) == sorted(names)

    def test_folders_with_such_names_are_listed_too(self, place: Place) -> None:
        names = sorted(name for name in ODD_NAMES if place.holds(name))
        fill(place, [identity.join(name, b"in it.mov") for name in names])
        pages = self.scan(place)
        assert directories_of(pages) == [b"", *names]
        assert paths_of(pages) == [identity.join(name, b"in it.mov") for name in names]

    def test_a_scan_resumes_behind_a_folder_with_such_a_name(self, place: Place) -> None:
        names = sorted(name for name in ODD_NAMES if place.holds(name))
        fill(place, [identity.join(name, b"in it.mov") for name in names])
        pages = self.scan(place)
        for index, page in enumerate(pages):
            assert self.scan(place, resume_from=page.checkpoint) == pages[index + 1 :]

    @needs("holds_links")
    def test_links_are_not_followed(self, place: Place) -> None:
        place.write("a/1.mov")
        place.link("file link.mov", "a/1.mov")
        place.link("folder link", "a")
        place.link("a/up", "..")
        place.link("a/out", "../../outside")
        place.link("dangling.mov", "nowhere")
        pages = self.scan(place)
        assert paths_of(pages) == [b"a/1.mov"]
        assert directories_of(pages) == [b"", b"a"]
        assert problems_of(pages) == []


def _later(moment_ns: int) -> datetime:
    return from_ns(moment_ns) + timedelta(days=1)
