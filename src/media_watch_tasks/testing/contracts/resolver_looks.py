"""MediaResolver suite: fresh looks, what is gone, what cannot be read, and what stands outside the root."""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import (
    AssetNotFound,
    OperationCancelled,
    PermanentError,
    SourceOfflineError,
    TransientError,
)
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.testing.contracts.page_rules import only
from media_watch_tasks.testing.contracts.source_base import IN_ORDER, ODD_NAMES, SourceSuite, classified_as, fill, needs
from media_watch_tasks.testing.places import Place

__all__ = ["ResolverConfinementContract", "ResolverLooksContract", "ResolverTroubleContract"]


class ResolverLooksContract(SourceSuite):
    """`stat`."""

    def test_looks_come_in_the_order_of_the_assets(self, place: Place) -> None:
        fill(place, IN_ORDER)
        place.write("b/10.mov", b"another size")
        assets = list(self.assets(place).values())
        mixed = [*assets[::-2], *assets[::2], assets[0], assets[0]]
        looks = place.resolver().stat(mixed, cancel=self.token())
        assert [look and look.fingerprint for look in looks] == [asset.fingerprint for asset in mixed]

    def test_a_look_shows_the_file_id_of_the_listing(self, place: Place) -> None:
        place.write("a/1.mov")
        asset = self.asset(place, "a/1.mov")
        look = only(place.resolver().stat([asset], cancel=self.token()))
        assert look is not None
        assert look.file_id == asset.file_id

    def test_no_assets_are_no_looks(self, place: Place) -> None:
        assert list(place.resolver().stat([], cancel=self.token())) == []

    def test_what_is_gone_is_none_and_the_others_are_there(self, place: Place) -> None:
        fill(place, IN_ORDER)
        assets = list(self.assets(place).values())
        place.remove("a/b")
        place.remove("z.mov")
        looks = place.resolver().stat(assets, cancel=self.token())
        gone = {asset.asset_id for asset, look in zip(assets, looks, strict=True) if look is None}
        assert gone == {b"z.mov", b"a/b/3.mov", b"a/b/c/4.mov"}

    def test_a_folder_in_the_place_of_a_file_is_no_file(self, place: Place) -> None:
        place.write("clip.mov")
        asset = self.asset(place, "clip.mov")
        place.remove("clip.mov")
        place.mkdir("clip.mov")
        assert list(place.resolver().stat([asset], cancel=self.token())) == [None]

    def test_every_look_is_fresh(self, place: Place) -> None:
        # Whether a file stands still is judged by two looks: a remembered one would say so of a growing file.
        place.write("clip.mov", b"1")
        asset = self.asset(place, "clip.mov")
        resolver = place.resolver()
        for size in range(2, 12):
            place.append("clip.mov", b"+")
            look = only(resolver.stat([asset], cancel=self.token()))
            assert look is not None
            assert look.size == size
        place.set_mtime("clip.mov", 1_500_000_000_000_000_000)
        look = only(resolver.stat([asset], cancel=self.token()))
        assert look is not None
        assert look.mtime_ns == self.mtime(1_500_000_000_000_000_000)

    def test_files_with_odd_names_are_looked_at(self, place: Place) -> None:
        fill(place, [name for name in ODD_NAMES if place.holds(name)])
        assets = list(self.assets(place).values())
        looks = place.resolver().stat(assets, cancel=self.token())
        assert [look and look.fingerprint for look in looks] == [asset.fingerprint for asset in assets]

    def test_a_name_in_another_case_or_form_is_another_file(self, place: Place) -> None:
        names = [name for name in ODD_NAMES[:5] if place.holds(name)]
        for number, name in enumerate(names):
            place.write(name, b"x" * (number + 1))
        assets = self.assets(place)
        place.remove(names[0])
        looks = place.resolver().stat([assets[name] for name in names], cancel=self.token())
        assert [look and look.size for look in looks] == [None, *range(2, len(names) + 1)]

    def test_looks_that_were_cancelled_are_not_taken(self, place: Place) -> None:
        place.write("clip.mov")
        asset = self.asset(place, "clip.mov")
        cancel = CancelToken()
        cancel.cancel()
        with classified_as(OperationCancelled):
            place.resolver().stat([asset], cancel=cancel)


class ResolverTroubleContract(SourceSuite):
    """A file is gone only if that can be known."""

    @pytest.mark.parametrize("removed", ["a/b/3.mov", "a/b", "a"])
    def test_a_file_that_is_gone_is_not_found(self, place: Place, removed: str) -> None:
        fill(place, IN_ORDER)
        asset = self.asset(place, "a/b/3.mov")
        place.remove(removed)
        with classified_as(AssetNotFound):
            place.resolver().resolve_for_upload(asset, cancel=self.token())

    def test_a_folder_in_the_place_of_a_file_is_not_found(self, place: Place) -> None:
        place.write("clip.mov")
        asset = self.asset(place, "clip.mov")
        place.remove("clip.mov")
        place.mkdir("clip.mov")
        with classified_as(AssetNotFound):
            place.resolver().resolve_for_upload(asset, cancel=self.token())

    @needs("can_deny_reading")
    @pytest.mark.parametrize("denied", ["a", "a/b", "a/b/3.mov"])
    def test_a_file_that_cannot_be_read_now_may_be_read_later(self, place: Place, denied: str) -> None:
        fill(place, IN_ORDER)
        asset = self.asset(place, "a/b/3.mov")
        place.set_readable(denied, readable=False)
        with classified_as(TransientError) as raised:
            place.resolver().resolve_for_upload(asset, cancel=self.token())
        assert "a/b/3.mov" in str(raised[0])
        place.set_readable(denied, readable=True)
        with place.resolver().resolve_for_upload(asset, cancel=self.token()).open() as stream:
            assert stream.read() == b"footage"

    @needs("can_deny_reading")
    @pytest.mark.parametrize("denied", ["a", "a/b"])
    def test_a_folder_that_cannot_be_read_is_no_proof_of_absence(self, place: Place, denied: str) -> None:
        fill(place, IN_ORDER)
        assets = self.assets(place)
        place.remove("a/b/3.mov")
        place.set_readable(denied, readable=False)
        with classified_as(TransientError):
            place.resolver().stat([assets[b"z.mov"], assets[b"a/b/3.mov"]], cancel=self.token())
        with classified_as(TransientError):
            place.resolver().resolve_for_upload(assets[b"a/b/3.mov"], cancel=self.token())

    @needs("can_go_offline")
    def test_a_place_that_is_offline_is_no_proof_of_absence(self, place: Place) -> None:
        fill(place, IN_ORDER)
        asset = self.asset(place, "a/b/3.mov")
        resolver = place.resolver()
        media = resolver.resolve_for_upload(asset, cancel=self.token())
        place.set_online(online=False)
        with classified_as(SourceOfflineError):
            resolver.resolve_for_upload(asset, cancel=self.token())
        with classified_as(SourceOfflineError):
            resolver.stat([asset], cancel=self.token())
        with classified_as(SourceOfflineError):
            media.open()
        place.set_online(online=True)
        with resolver.resolve_for_upload(asset, cancel=self.token()).open() as stream:
            assert stream.read() == b"footage"
        look = only(resolver.stat([asset], cancel=self.token()))
        assert look is not None


class ResolverConfinementContract(SourceSuite):
    """Nothing outside of the root is opened, whatever an asset id or a link says."""

    OUTSIDE = (
        b"../outside/secret.mov", b"a/../../outside/secret.mov", b"/etc/passwd", b"..", b".", b"", b"/",
        b"a/../z.mov", b"./z.mov", b"a//1.mov", b"a/1.mov/", b"z.mov\0", b"z.mov\0/../../outside/secret.mov",
        b"..\\outside\\secret.mov", b"a/..", b"a",
    )  # fmt: skip

    @pytest.mark.parametrize("asset_id", OUTSIDE)
    def test_an_asset_id_that_no_scan_gives_is_refused(self, place: Place, asset_id: bytes) -> None:
        fill(place, [b"a/1.mov", b"z.mov"])
        resolver = place.resolver()
        secret = MediaAsset(resolver.source_id, asset_id, 6, 0)
        with classified_as(AssetNotFound, PermanentError):
            resolver.resolve_for_upload(secret, cancel=self.token())
        asset = self.asset(place, "z.mov")
        looks = resolver.stat([secret, asset], cancel=self.token())
        assert looks[0] is None
        assert looks[1] is not None

    @needs("holds_links")
    @pytest.mark.parametrize(
        ("link", "target", "asset_id"),
        [
            ("link.mov", "../outside/secret.mov", b"link.mov"),
            ("link", "../outside", b"link/secret.mov"),
            ("a/link", "../../outside", b"a/link/secret.mov"),
            ("link", "a/../../outside", b"link/secret.mov"),
        ],
    )
    def test_a_link_that_leads_out_of_the_root_is_refused(
        self, place: Place, link: str, target: str, asset_id: bytes
    ) -> None:
        place.write("a/1.mov")
        place.link(link, target)
        resolver = place.resolver()
        secret = MediaAsset(resolver.source_id, asset_id, 6, 0)
        with classified_as(AssetNotFound, PermanentError):
            resolver.resolve_for_upload(secret, cancel=self.token())
        assert list(resolver.stat([secret], cancel=self.token())) == [None]

    @needs("holds_links")
    def test_a_folder_that_was_replaced_by_a_link_is_not_entered(self, place: Place) -> None:
        place.write("a/secret.mov", b"inside")
        asset = self.asset(place, "a/secret.mov")
        resolver = place.resolver()
        media = resolver.resolve_for_upload(asset, cancel=self.token())
        place.remove("a")
        place.link("a", "../outside")
        with classified_as(AssetNotFound, PermanentError):
            media.open()
        assert list(resolver.stat([asset], cancel=self.token())) == [None]
