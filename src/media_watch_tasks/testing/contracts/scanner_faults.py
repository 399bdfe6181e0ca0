"""MediaScanner suite: what cannot be read, what changes under the scan, and a root that is lost."""

# ruff: noqa: S101, PLR2004, D102 - a suite asserts, its numbers are its data, a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.errors import SourceOfflineError
from media_watch_tasks.model.scans import ProblemKind, ScanPage
from media_watch_tasks.testing.contracts.page_rules import check_pages, directories_of, only, paths_of, problems_of
from media_watch_tasks.testing.contracts.source_base import IN_ORDER, SourceSuite, classified_as, fill, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ScannerFaultsContract", "ScannerRootContract"]


class ScannerFaultsContract(SourceSuite):
    """Absence is never made up: what could not be seen is said."""

    @needs("can_deny_reading")
    @pytest.mark.parametrize("denied", [b"a", b"a/b", b"b"])
    def test_a_folder_that_cannot_be_read_is_a_problem_and_the_scan_goes_on(self, place: Place, denied: bytes) -> None:
        fill(place, IN_ORDER)
        place.set_readable(denied, readable=False)
        pages = self.scan(place)
        page = only(page for page in pages if page.directory == denied)
        problem = only(problems_of(pages))
        assert page.problems == (problem,)
        assert (page.complete, page.rows, page.unchanged) == (False, (), False)
        assert (problem.path, problem.kind) == (denied, ProblemKind.UNREADABLE)
        assert problem.message
        assert paths_of(pages) == [path for path in IN_ORDER if not path.startswith(denied + b"/")]
        assert all(other.complete for other in pages if other is not page)

    @needs("can_deny_reading")
    def test_a_folder_that_can_be_read_again_is_listed(self, place: Place) -> None:
        fill(place, IN_ORDER)
        place.set_readable("a", readable=False)
        known = self.remembered(self.scan(place))
        assert b"a" not in known
        place.set_readable("a", readable=True)
        pages = self.scan(place, known=known)
        assert [path for path in IN_ORDER if path.startswith(b"a/")] == [
            path for path in paths_of(pages) if path.startswith(b"a/")
        ]
        assert problems_of(pages) == []

    @needs("can_deny_reading")
    @needs("gives_stamps")
    def test_a_known_folder_that_cannot_be_read_any_more_is_no_unchanged_one(self, place: Place) -> None:
        fill(place, IN_ORDER)
        known = self.remembered(self.scan(place))
        place.tick()
        place.set_readable("a", readable=False)
        pages = self.scan(place, known=known)
        assert [problem.path for problem in problems_of(pages)] == [b"a"]

    def test_a_folder_that_is_deleted_during_the_scan_leaves_it_complete(self, place: Place) -> None:
        # Users do that every day; it must not make the scans of a busy place incomplete for ever.
        fill(place, IN_ORDER)
        pages: list[ScanPage] = []
        for page in place.scanner().scan_assets(cancel=self.token()):
            if not pages:
                place.remove("b")
                place.remove("a/b")
            pages.append(page)
        check_pages(pages)
        assert problems_of(pages) == []
        assert all(page.complete for page in pages)
        stay = [path for path in IN_ORDER if not path.startswith((b"b/", b"a/b/"))]
        assert [path for path in paths_of(pages) if path in stay] == stay

    def test_a_file_that_is_deleted_during_the_scan_leaves_it_complete(self, place: Place) -> None:
        names = [b"flat/%04d.mov" % number for number in range(1_500)]
        fill(place, names)
        pages: list[ScanPage] = []
        for page in place.scanner().scan_assets(cancel=self.token()):
            if page.directory == b"flat" and not any(earlier.directory == b"flat" for earlier in pages):
                place.remove("flat/1400.mov")
            pages.append(page)
        check_pages(pages)
        assert problems_of(pages) == []
        assert set(names) - {b"flat/1400.mov"} <= set(paths_of(pages)) <= set(names)

    def test_what_is_present_for_the_whole_scan_appears_whatever_goes_on_around_it(self, place: Place) -> None:
        stay = [b"d%02d/f%02d.mov" % (folder, file) for folder in range(20) for file in range(5)]
        fill(place, stay)
        fill(place, [b"d%02d/x/gone.mov" % folder for folder in range(20)])
        pages: list[ScanPage] = []
        for number, page in enumerate(place.scanner().scan_assets(cancel=self.token())):
            pages.append(page)
            place.write(f"d{number % 20:02}/new {number}.mov")
            if number < 20:
                place.remove(f"d{19 - number:02}/x")
        check_pages(pages)
        assert problems_of(pages) == []
        assert set(stay) <= set(paths_of(pages))


class ScannerRootContract(SourceSuite):
    """`identify`, and a root that is lost. An offline place is never an empty one."""

    def test_the_identity_stays_while_files_come_and_go(self, place: Place) -> None:
        before = place.scanner().identify(cancel=self.token())
        fill(place, IN_ORDER)
        place.remove("a")
        assert place.scanner().identify(cancel=self.token()) == before

    def test_an_identity_is_two_texts_that_a_database_can_hold(self, place: Place) -> None:
        found = place.scanner().identify(cancel=self.token())
        assert found.strong.isprintable()
        assert found.weak.isprintable()
        assert found.strong or found.weak

    @needs("can_go_offline")
    def test_a_place_that_is_offline_is_not_identified(self, place: Place) -> None:
        scanner = place.scanner()
        place.set_online(online=False)
        with classified_as(SourceOfflineError):
            scanner.identify(cancel=self.token())

    @needs("can_go_offline")
    def test_a_place_that_is_offline_gives_no_page(self, place: Place) -> None:
        fill(place, IN_ORDER)
        scanner = place.scanner()
        place.set_online(online=False)
        pages: list[ScanPage] = []
        with classified_as(SourceOfflineError):
            pages.extend(scanner.scan_assets(cancel=self.token()))
        assert pages == []

    @needs("can_go_offline")
    def test_a_scan_whose_root_is_lost_ends_with_an_error(self, place: Place) -> None:
        count = self.read_ahead + 50
        fill(place, [b"%04d/file.mov" % number for number in range(count)])
        rest = place.scanner().scan_assets(cancel=self.token())
        pages = [next(rest)]
        place.set_online(online=False)
        with classified_as(SourceOfflineError):
            pages.extend(rest)
        assert not [page for page in pages if page.complete and page.directory and not page.rows]

    @needs("can_go_offline")
    def test_the_same_scanner_goes_on_when_the_place_is_back(self, place: Place) -> None:
        fill(place, IN_ORDER)
        scanner = place.scanner()
        before = scanner.identify(cancel=self.token())
        checkpoint = next(iter(scanner.scan_assets(cancel=self.token()))).checkpoint
        place.set_online(online=False)
        with classified_as(SourceOfflineError):
            list(scanner.scan_assets(cancel=self.token()))
        place.set_online(online=True)
        assert scanner.identify(cancel=self.token()) == before
        rest = list(scanner.scan_assets(resume_from=checkpoint, cancel=self.token()))
        assert paths_of(rest) == IN_ORDER[2:]
        assert directories_of(rest)[0] == b"a"
