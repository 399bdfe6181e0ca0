"""The suite for `ChangesSource`: resolvers whose files can be renamed, moved and removed."""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_watch_tasks.abc.action import ChangesSource
from media_watch_tasks.abc.resolver import MediaResolver
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetNotFound, OperationCancelled, SourceOfflineError, TransientError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.testing.contracts.source_base import SourceSuite, classified_as, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ChangesSourceContract"]

_Change = Callable[[ChangesSource, MediaAsset, CancelToken], object]

_CHANGES: dict[str, _Change] = {
    "set_aside": lambda source, asset, cancel: source.set_aside(asset, b"in/aside.mov", cancel=cancel),
    "put_back": lambda source, asset, cancel: source.put_back(asset.asset_id, b"in/back.mov", cancel=cancel),
    "remove": lambda source, asset, cancel: source.remove(asset.asset_id, cancel=cancel),
    "move_to": lambda source, asset, cancel: source.move_to(asset.asset_id, b"done/a.mov", cancel=cancel),
}


class ChangesSourceContract(SourceSuite):
    """Add it to the bases beside `MediaResolverContract`."""

    def changing(self, place: Place) -> ChangesSource:
        """The resolver, which has the capability."""
        resolver = place.resolver()
        assert isinstance(resolver, ChangesSource)
        return resolver

    def contents(self, place: Place, *paths: bytes) -> list[bytes | None]:
        """What stands at each of these paths; None: no file."""
        resolver = place.resolver()
        assert isinstance(resolver, MediaResolver)
        found: list[bytes | None] = []
        for path in paths:
            asked = MediaAsset(resolver.source_id, path, 0, 0)
            (stat,) = resolver.stat([asked], cancel=self.token())
            if stat is None:
                found.append(None)
                continue
            asset = MediaAsset(resolver.source_id, path, stat.size, stat.mtime_ns)
            with resolver.resolve_for_upload(asset, cancel=self.token()).open() as stream:
                found.append(stream.read())
        return found

    def written(self, place: Place, path: str = "in/a.mov", data: bytes = b"footage") -> MediaAsset:
        """A file, as a scan shows it."""
        place.write(path, data)
        return self.asset(place, path)

    # ---- aside and back

    def test_a_file_stands_aside_with_its_bytes_and_its_time(self, place: Place) -> None:
        """The manager looks whether it is the version that was delivered."""
        asset = self.written(place)
        self.changing(place).set_aside(asset, b"in/aside.mov", cancel=self.token())
        assert self.contents(place, b"in/a.mov", b"in/aside.mov") == [None, b"footage"]
        assert self.asset(place, "in/aside.mov").fingerprint == asset.fingerprint

    def test_a_file_that_was_put_back_is_what_it_was(self, place: Place) -> None:
        """True says so."""
        asset = self.written(place)
        source = self.changing(place)
        source.set_aside(asset, b"in/aside.mov", cancel=self.token())
        assert source.put_back(b"in/aside.mov", b"in/a.mov", cancel=self.token()) is True
        assert self.contents(place, b"in/a.mov", b"in/aside.mov") == [b"footage", None]
        assert self.asset(place, "in/a.mov") == asset

    def test_nothing_is_put_back_over_a_file_that_has_come_meanwhile(self, place: Place) -> None:
        """False says so, and both files stay."""
        asset = self.written(place)
        source = self.changing(place)
        source.set_aside(asset, b"in/aside.mov", cancel=self.token())
        place.write("in/a.mov", b"the next take")
        assert source.put_back(b"in/aside.mov", b"in/a.mov", cancel=self.token()) is False
        assert self.contents(place, b"in/a.mov", b"in/aside.mov") == [b"the next take", b"footage"]

    # ---- remove

    def test_a_removed_file_is_gone_and_no_other(self, place: Place) -> None:
        """Not its neighbour, not its folder."""
        asset = self.written(place)
        place.write("in/b.mov", b"neighbour")
        self.changing(place).remove(asset.asset_id, cancel=self.token())
        assert self.contents(place, b"in/a.mov", b"in/b.mov") == [None, b"neighbour"]

    def test_removing_a_file_that_is_gone_does_nothing(self, place: Place) -> None:
        """A call that died after the removal is repeated."""
        asset = self.written(place)
        source = self.changing(place)
        for _ in range(2):
            source.remove(asset.asset_id, cancel=self.token())
        assert self.contents(place, b"in/a.mov") == [None]

    # ---- move

    def test_a_file_moves_into_folders_that_are_made(self, place: Place) -> None:
        """With its bytes and its time."""
        asset = self.written(place)
        self.changing(place).move_to(asset.asset_id, b"done/2026/a.mov", cancel=self.token())
        assert self.contents(place, b"in/a.mov", b"done/2026/a.mov") == [None, b"footage"]
        assert self.asset(place, "done/2026/a.mov").fingerprint == asset.fingerprint

    def test_a_move_overwrites_nothing(self, place: Place) -> None:
        """However many files of the name have gone there before."""
        source = self.changing(place)
        for data in (b"first", b"second", b"third"):
            asset = self.written(place, data=data)
            source.move_to(asset.asset_id, b"done/a.mov", cancel=self.token())
        there = [path for path in self.assets(place) if path.startswith(b"done/")]
        assert sorted(data for data in self.contents(place, *there) if data) == [b"first", b"second", b"third"]
        assert self.contents(place, b"done/a.mov") == [b"first"]

    def test_a_move_to_a_root_level_path_is_a_move_too(self, place: Place) -> None:
        """No folder has to be made for it."""
        asset = self.written(place)
        self.changing(place).move_to(asset.asset_id, b"a.mov", cancel=self.token())
        assert self.contents(place, b"in/a.mov", b"a.mov") == [None, b"footage"]

    # ---- trouble

    @pytest.mark.parametrize("change", ["set_aside", "put_back", "move_to"])
    def test_a_file_that_is_gone_is_not_found(self, place: Place, change: str) -> None:
        """Whoever removed it has done what was to be done."""
        asset = self.written(place)
        place.remove("in/a.mov")
        with classified_as(AssetNotFound):
            _CHANGES[change](self.changing(place), asset, self.token())

    @pytest.mark.parametrize("change", list(_CHANGES))
    @needs("can_go_offline")
    def test_a_source_that_is_away_is_not_a_file_that_is_gone(self, place: Place, change: str) -> None:
        """An action that is owed would be taken for done."""
        asset = self.written(place)
        source = self.changing(place)
        place.set_online(online=False)
        with classified_as(SourceOfflineError):
            _CHANGES[change](source, asset, self.token())
        place.set_online(online=True)
        assert self.contents(place, b"in/a.mov") == [b"footage"]

    @pytest.mark.parametrize("change", list(_CHANGES))
    @needs("can_deny_reading")
    def test_a_folder_that_may_not_be_changed_is_tried_again_later(self, place: Place, change: str) -> None:
        """The file stays where it is."""
        asset = self.written(place)
        source = self.changing(place)
        place.set_readable("in", readable=False)
        with classified_as(TransientError):
            _CHANGES[change](source, asset, self.token())
        place.set_readable("in", readable=True)
        assert self.contents(place, b"in/a.mov") == [b"footage"]

    @pytest.mark.parametrize("change", list(_CHANGES))
    def test_a_cancelled_change_is_not_begun(self, place: Place, change: str) -> None:
        """Shutdown ends the work between two changes."""
        asset = self.written(place)
        cancel = CancelToken()
        cancel.cancel()
        with pytest.raises(OperationCancelled):
            _CHANGES[change](self.changing(place), asset, cancel)
        assert self.contents(place, b"in/a.mov") == [b"footage"]
