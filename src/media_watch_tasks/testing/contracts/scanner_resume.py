"""MediaScanner suite: checkpoints, and scans that go on behind them."""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.scans import ScanPage
from media_watch_tasks.testing.contracts.page_rules import directories_of, only, paths_of, problems_of
from media_watch_tasks.testing.contracts.source_base import IN_ORDER, SourceSuite, classified_as, fill, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ScannerResumeContract"]


class ScannerResumeContract(SourceSuite):
    """`resume_from`."""

    def test_a_scan_goes_on_with_exactly_the_rest_behind_every_checkpoint(self, place: Place) -> None:
        fill(place, IN_ORDER)
        place.mkdir("a/b/empty")
        pages = self.scan(place)
        for index, page in enumerate(pages):
            assert self.scan(place, resume_from=page.checkpoint) == pages[index + 1 :], page.directory

    def test_nothing_is_left_behind_the_last_checkpoint(self, place: Place) -> None:
        fill(place, IN_ORDER)
        assert self.scan(place, resume_from=self.scan(place)[-1].checkpoint) == []

    def test_a_checkpoint_is_a_text_that_a_database_and_a_log_can_hold(self, place: Place) -> None:
        fill(place, IN_ORDER)
        checkpoints = [page.checkpoint for page in self.scan(place)]
        assert len(set(checkpoints)) == len(checkpoints)
        assert all(checkpoint is not None and checkpoint.isprintable() for checkpoint in checkpoints)

    @pytest.mark.parametrize("gone", [b"a", b"a/b", b"a/b/c", b"a b", b"b"])
    def test_a_checkpoint_whose_directory_is_gone_skips_nothing(self, place: Place, gone: bytes) -> None:
        fill(place, IN_ORDER)
        pages = self.scan(place)
        behind = directories_of(pages).index(gone) + 1
        place.remove(gone)
        expected = [page for page in pages[behind:] if not page.directory.startswith(gone + b"/")]
        assert paths_of(self.scan(place, resume_from=pages[behind - 1].checkpoint)) == paths_of(expected)

    def test_a_checkpoint_skips_nothing_when_the_folders_above_it_are_gone(self, place: Place) -> None:
        fill(place, IN_ORDER)
        checkpoint = self._checkpoint_of(place, b"a/b/c")
        place.remove("a")
        behind = IN_ORDER.index(b"a b/6.mov")
        assert paths_of(self.scan(place, resume_from=checkpoint)) == IN_ORDER[behind:]

    def test_a_checkpoint_skips_nothing_when_a_file_stands_in_its_place(self, place: Place) -> None:
        fill(place, IN_ORDER)
        checkpoint = self._checkpoint_of(place, b"a b")
        place.remove("a b")
        place.write("a b")
        rest = paths_of(self.scan(place, resume_from=checkpoint))
        assert rest == [b"a-b/7.mov", b"a.b/8.mov", b"aa/9.mov", b"b/10.mov", b"b/11.mov", b"b/9.mov"]

    def test_folders_that_appear_behind_a_checkpoint_are_listed(self, place: Place) -> None:
        fill(place, IN_ORDER)
        checkpoint = self._checkpoint_of(place, b"a/b")
        fill(place, [b"a/b/a/new.mov", b"a/c/new.mov", b"a/a/before.mov", b"c/new.mov"])
        rest = paths_of(self.scan(place, resume_from=checkpoint))
        assert {b"a/b/a/new.mov", b"a/c/new.mov", b"c/new.mov"} <= set(rest)
        assert b"a/a/before.mov" not in rest

    def test_a_scan_that_is_resumed_again_and_again_shows_everything_once(self, place: Place) -> None:
        fill(place, IN_ORDER)
        found: list[ScanPage] = []
        checkpoint = None
        while page := next(iter(place.scanner().scan_assets(resume_from=checkpoint, cancel=CancelToken())), None):
            found.append(page)
            checkpoint = page.checkpoint
        assert found == self.scan(place)

    @needs("can_deny_reading")
    def test_a_folder_above_the_checkpoint_that_cannot_be_read_any_more_is_a_problem(self, place: Place) -> None:
        fill(place, IN_ORDER)
        checkpoint = self._checkpoint_of(place, b"a/b")
        place.set_readable("a", readable=False)
        pages = self.scan(place, resume_from=checkpoint)
        assert [problem.path for problem in problems_of(pages)] == [b"a"]
        assert b"b/10.mov" in paths_of(pages)

    @pytest.mark.parametrize("garbage", ["", "garbage", "a/b", "\x00", "after", "123"])
    def test_what_is_no_checkpoint_is_refused(self, place: Place, garbage: str) -> None:
        fill(place, IN_ORDER)
        with classified_as(ConfigurationError):
            list(place.scanner().scan_assets(resume_from=garbage, cancel=CancelToken()))

    def _checkpoint_of(self, place: Place, directory: bytes) -> str | None:
        page = only(page for page in self.scan(place) if page.directory == directory)
        return page.checkpoint
