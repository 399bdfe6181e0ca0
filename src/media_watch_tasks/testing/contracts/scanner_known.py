"""MediaScanner suite: directories that are left unlisted because they are as they were."""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from media_watch_tasks.model.scans import KnownDirectory
from media_watch_tasks.testing.contracts.page_rules import directories_of, paths_of
from media_watch_tasks.testing.contracts.source_base import IN_ORDER, SourceSuite, fill, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ScannerKnownContract"]

_Known = Mapping[bytes, KnownDirectory]

_CHANGES: dict[str, Callable[[Place], None]] = {
    "a new file": lambda place: place.write("a/b/new.mov"),
    "a file gone": lambda place: place.remove("a/b/3.mov"),
    "a file renamed": lambda place: place.rename("a/b/3.mov", "a/b/4.mov"),
    "a file replaced": lambda place: place.rename("above.mov", "a/b/3.mov"),
    "a new folder": lambda place: place.mkdir("a/b/new"),
    "a folder gone": lambda place: place.remove("a/b/c"),
    "a file moved in": lambda place: place.rename("z.mov", "a/b/z.mov"),
}


class ScannerKnownContract(SourceSuite):
    """`known`. A stamp is compared for equality, never with a clock."""

    @pytest.fixture
    def known(self, place: Place) -> _Known:
        """The tree `IN_ORDER`, and what is known of it."""
        fill(place, IN_ORDER)
        place.tick()
        known = self.remembered(self.scan(place))
        place.tick()
        return known

    @needs("gives_stamps")
    def test_a_tree_that_did_not_change_is_not_listed_and_still_visited(self, place: Place, known: _Known) -> None:
        assert set(known) == set(directories_of(self.scan(place)))
        pages = self.scan(place, known=known)
        assert [page.directory for page in pages] == directories_of(self.scan(place))
        assert all(page.unchanged and page.complete and not page.rows for page in pages)
        assert {page.directory: page.stamp for page in pages} == {
            directory: entry.stamp for directory, entry in known.items()
        }
        assert self.remembered(pages) == known

    @needs("gives_stamps")
    @pytest.mark.parametrize("change", _CHANGES)
    def test_a_directory_whose_entries_changed_is_listed(self, place: Place, known: _Known, change: str) -> None:
        _CHANGES[change](place)
        pages = self.scan(place, known=known)
        listed = {page.directory for page in pages if not page.unchanged}
        assert b"a/b" in listed
        assert not {b"b", b"aa", b"a/d"} & listed
        complete = self.scan(place)
        assert directories_of(pages) == directories_of(complete)
        assert [page for page in pages if page.directory == b"a/b"] == [
            page for page in complete if page.directory == b"a/b"
        ]

    @needs("gives_stamps")
    @needs("shows_set_back_times")
    def test_a_folder_whose_time_was_set_back_is_listed(self, place: Place, known: _Known) -> None:
        # As rsync does, after it has copied a file into the folder.
        before = known[b"a/b"].stamp.mtime_ns
        place.write("a/b/new.mov")
        place.set_mtime("a/b", before)
        pages = self.scan(place, known=known)
        assert b"a/b/new.mov" in paths_of(pages)

    @needs("gives_stamps")
    def test_a_folder_that_took_the_place_of_another_is_listed(self, place: Place, known: _Known) -> None:
        # It keeps its own time, which is older than that of the last scan.
        place.write("other/new.mov")
        place.set_mtime("other", known[b"a/b"].stamp.mtime_ns)
        place.rename("a/b", "aside")
        place.rename("other", "a/b")
        pages = self.scan(place, known=known)
        assert b"a/b/new.mov" in paths_of(pages)
        assert b"aside/3.mov" in paths_of(pages)
        assert b"aside/c/4.mov" in paths_of(pages)

    def test_a_directory_that_is_not_known_is_listed(self, place: Place, known: _Known) -> None:
        some = {directory: entry for directory, entry in known.items() if directory != b"a/b"}
        pages = self.scan(place, known=some)
        assert paths_of(pages) == [b"a/b/3.mov"] if self.gives_stamps else IN_ORDER

    def test_an_empty_memory_lists_everything(self, place: Place, known: _Known) -> None:
        assert known or not self.gives_stamps
        assert paths_of(self.scan(place, known={})) == IN_ORDER

    @needs("gives_stamps")
    def test_known_folders_of_a_directory_that_changed_are_not_asked_for(self, place: Place, known: _Known) -> None:
        place.remove("a/b")
        pages = self.scan(place, known=known)
        assert not [directory for directory in directories_of(pages) if directory.startswith(b"a/b")]

    @needs("gives_stamps")
    def test_the_rest_behind_a_checkpoint_is_left_unlisted_too(self, place: Place, known: _Known) -> None:
        pages = self.scan(place, known=known)
        for index, page in enumerate(pages):
            assert self.scan(place, known=known, resume_from=page.checkpoint) == pages[index + 1 :], page.directory

    @needs("gives_stamps")
    def test_a_stamp_is_that_from_before_the_listing(self, place: Place) -> None:
        fill(place, [b"flat/%04d.mov" % number for number in range(1_500)])
        place.tick()
        stamps = {}
        for page in place.scanner().scan_assets(cancel=self.token()):
            if page.directory == b"flat":
                place.write("flat/0000 late.mov")
            if page.stamp is not None:
                stamps[page.directory] = KnownDirectory(page.stamp, page.directories or ())
        assert b"flat/0000 late.mov" in paths_of(self.scan(place, known=stamps))
