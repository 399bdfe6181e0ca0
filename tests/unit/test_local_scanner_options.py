"""What a local scanner can be told: filters, links, a marker, a name; and what it says of its root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, SourceOfflineError
from media_watch_tasks.local import LocalMediaResolver, LocalMediaScanner
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.model.scans import KnownDirectory, ScanPage
from media_watch_tasks.scanning import MediaFilter
from media_watch_tasks.testing.contracts.page_rules import check_pages, directories_of, paths_of
from media_watch_tasks.testing.permissions import permissions_enforced

CANCEL = CancelToken()


def fill(root: Path, paths: Iterable[str], data: bytes = b"footage") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def scan(scanner: LocalMediaScanner, **options: object) -> list[ScanPage]:
    pages = list(scanner.scan_assets(cancel=CANCEL, **options))  # type: ignore[arg-type]  # the options of scan_assets
    check_pages(pages)
    return pages


def test_by_default_rubbish_is_left_out_and_not_even_entered(tmp_path: Path) -> None:
    fill(tmp_path, ["a.mov", "@eaDir/a.mov/x.jpg", "b/.stversions/b.mov", "b/b.mov.part", ".hidden/h.mov", "b/b.mov"])
    fill(tmp_path, ["empty.mov"], b"")
    pages = scan(LocalMediaScanner(tmp_path))
    assert paths_of(pages) == [b"a.mov", b"b/b.mov"]
    assert directories_of(pages) == [b"", b"b"]
    assert [page.directories for page in pages] == [(b"b",), ()]


def test_a_filter_of_ones_own_takes_the_place_of_the_default(tmp_path: Path) -> None:
    fill(tmp_path, ["a.mov", "a.jpg", ".hidden/h.mov", "b/b.mov.part", "tmp/x.mov"])
    everything = MediaFilter(exclude_names=(), include_hidden=True, min_size=0)
    assert paths_of(scan(LocalMediaScanner(tmp_path, filter=everything))) == [
        b"a.jpg", b"a.mov", b".hidden/h.mov", b"b/b.mov.part", b"tmp/x.mov",
    ]  # fmt: skip
    videos = MediaFilter(kinds={MediaKind.VIDEO}, exclude_paths=("tmp",))
    assert paths_of(scan(LocalMediaScanner(tmp_path, filter=videos))) == [b"a.mov"]


def test_what_an_earlier_filter_hid_is_known(tmp_path: Path) -> None:
    narrow = LocalMediaScanner(tmp_path, filter=MediaFilter(kinds={MediaKind.VIDEO}, exclude_paths=("raw",)))
    wide = LocalMediaScanner(tmp_path)
    assert narrow.filter_spec != wide.filter_spec
    for path, visible in ((b"a.mov", True), (b"a.jpg", False), (b"raw/a.mov", False), (b"x/@eaDir/a.mov", False)):
        assert wide.was_visible(narrow.filter_spec, MediaAsset(wide.source_id, path, 5, 0)) is visible


def test_what_an_unreadable_spec_hid_counts_as_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scanner = LocalMediaScanner(tmp_path)
    assert scanner.was_visible("another scanner's", MediaAsset(scanner.source_id, b"a.mov", 5, 0))
    assert "earlier filter unknown" in caplog.text


def test_following_links_is_part_of_the_filter(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.mov"])
    (tmp_path / "link").symlink_to("a")
    plain, following = LocalMediaScanner(tmp_path), LocalMediaScanner(tmp_path, follow_symlinks=True)
    assert plain.filter_spec != following.filter_spec
    for path, visible in ((b"a/1.mov", True), (b"link/1.mov", False)):
        asset = MediaAsset(plain.source_id, path, 5, 0)
        assert following.was_visible(plain.filter_spec, asset) is visible
        assert following.was_visible(following.filter_spec, asset)


def test_links_below_the_root_are_followed_when_asked_and_no_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill(tmp_path, ["root/a/1.mov", "outside/secret.mov", "root/z/2.mov"])
    (root / "b file.mov").symlink_to("a/1.mov")
    (root / "b folder").symlink_to(root / "a")
    (root / "a/sibling").symlink_to("../z")
    (root / "out").symlink_to("../outside")
    (root / "out.mov").symlink_to(tmp_path / "outside/secret.mov")
    (root / "dangling.mov").symlink_to("none")
    (root / "z/loop").symlink_to("..")
    (root / "z/self").symlink_to("self")
    resolver = LocalMediaResolver(root, follow_symlinks=True)
    pages = scan(LocalMediaScanner(root, follow_symlinks=True))
    paths = [b"b file.mov", b"a/1.mov", b"a/sibling/2.mov", b"b folder/1.mov", b"b folder/sibling/2.mov", b"z/2.mov"]
    assert paths_of(pages) == paths
    assert all(page.complete for page in pages)
    assets = [asset for page in pages for asset in page.assets]
    looks = resolver.stat(assets, cancel=CANCEL)
    assert [look and look.fingerprint for look in looks] == [asset.fingerprint for asset in assets]
    for asset in assets:
        with resolver.resolve_for_upload(asset, cancel=CANCEL).open() as stream:
            assert stream.read() == b"footage"


def test_the_size_of_a_followed_link_is_that_of_its_target(tmp_path: Path) -> None:
    fill(tmp_path, ["large.mov"], b"x" * 5_000)
    (tmp_path / "link.mov").symlink_to("large.mov")
    (page,) = scan(LocalMediaScanner(tmp_path, follow_symlinks=True))
    assert [(name, size) for name, size, _ in page.rows] == [(b"large.mov", 5_000), (b"link.mov", 5_000)]


def test_a_folder_with_followed_links_is_always_listed(tmp_path: Path) -> None:
    # The target of a link may change without a trace in the folder that holds the link.
    fill(tmp_path, ["a/1.mov", "b/2.mov"])
    (tmp_path / "b/link.mov").symlink_to("../a/1.mov")
    pages = scan(LocalMediaScanner(tmp_path, follow_symlinks=True))
    assert {page.directory: page.stamp is None for page in pages} == {b"": False, b"a": False, b"b": True}


def test_without_folder_times_nothing_is_left_unlisted() -> None:
    # The folders of procfs say nothing about their content.
    scanner = LocalMediaScanner("/proc/self/task", filter=MediaFilter(min_size=0, kinds={MediaKind.VIDEO}))
    pages = list(scanner.scan_assets(cancel=CANCEL))
    assert pages
    assert all(page.stamp is None and not page.file_ids for page in pages)
    assert not scanner.identify(cancel=CANCEL).file_ids_stable


def test_the_root_may_be_a_link_and_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ["root/a.mov"])
    (tmp_path / "alias").symlink_to("root")
    monkeypatch.chdir(tmp_path)
    scanner = LocalMediaScanner("alias")
    monkeypatch.chdir("/")
    assert scanner.source_id == f"local:{tmp_path}/alias"
    assert paths_of(scan(scanner)) == [b"a.mov"]


def test_source_ids_are_texts_whatever_the_path(tmp_path: Path) -> None:
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n")
    os.mkdir(odd)
    assert LocalMediaScanner(odd).source_id == f"local:{tmp_path}/caf\\xe9\\n"
    assert LocalMediaScanner(odd, source_id="archive").source_id == "archive"
    assert LocalMediaResolver(odd).source_id == LocalMediaScanner(odd).source_id


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    scanner = LocalMediaScanner(tmp_path / "later")
    LocalMediaResolver(tmp_path / "later")
    (tmp_path / "later").mkdir()
    assert len(scan(scanner)) == 1


@pytest.mark.parametrize("root", ["", "a\0b", b""])
def test_what_is_no_path_is_refused(root: str | bytes) -> None:
    with pytest.raises(ConfigurationError):
        LocalMediaScanner(root)


def test_a_file_is_no_root(tmp_path: Path) -> None:
    fill(tmp_path, ["a.mov"])
    scanner = LocalMediaScanner(tmp_path / "a.mov")
    with pytest.raises(SourceOfflineError, match="no folder"):
        scanner.identify(cancel=CANCEL)
    with pytest.raises(SourceOfflineError, match="no folder"):
        list(scanner.scan_assets(cancel=CANCEL))


def test_a_missing_root_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceOfflineError, match="is the disk mounted"):
        LocalMediaScanner(tmp_path / "none").identify(cancel=CANCEL)


def test_a_root_that_cannot_be_read_is_offline(tmp_path: Path) -> None:
    fill(tmp_path, ["root/a.mov"])
    (tmp_path / "root").chmod(0)
    scanner = LocalMediaScanner(tmp_path / "root")
    with permissions_enforced():
        for work in (lambda: scanner.identify(cancel=CANCEL), lambda: list(scanner.scan_assets(cancel=CANCEL))):
            with pytest.raises(SourceOfflineError, match="permission denied"):
                work()
    (tmp_path / "root").chmod(0o700)


def test_another_folder_has_another_identity(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (LocalMediaScanner(tmp_path / name).identify(cancel=CANCEL) for name in ("a", "b"))
    assert first.weak != second.weak
    assert first.strong == second.strong


def test_the_marker_is_part_of_the_identity(tmp_path: Path) -> None:
    fill(tmp_path, ["id/.marker"], b"disk one")
    with_marker = LocalMediaScanner(tmp_path, marker="id/.marker")
    plain = LocalMediaScanner(tmp_path).identify(cancel=CANCEL)
    first = with_marker.identify(cancel=CANCEL)
    assert first.strong != plain.strong
    assert first == with_marker.identify(cancel=CANCEL)
    fill(tmp_path, ["id/.marker"], b"disk two")
    assert with_marker.identify(cancel=CANCEL).strong != first.strong


def test_a_place_without_its_marker_is_offline(tmp_path: Path) -> None:
    scanner = LocalMediaScanner(tmp_path, marker=".marker")
    with pytest.raises(SourceOfflineError, match="marker"):
        scanner.identify(cancel=CANCEL)
    assert not (tmp_path / ".marker").exists()
    (tmp_path / ".marker").mkdir()
    with pytest.raises(SourceOfflineError, match="marker"):
        scanner.identify(cancel=CANCEL)


@pytest.mark.parametrize("marker", ["", "/etc/passwd", "../x", "a/../x", "a\0"])
def test_a_marker_stands_below_the_root(tmp_path: Path, marker: str) -> None:
    with pytest.raises(ConfigurationError, match="marker"):
        LocalMediaScanner(tmp_path, marker=marker)


def test_a_tree_of_two_thousand_levels_is_listed(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("level of the tree", dir_fd=here)
        os.mkdir("z", dir_fd=here)
        here, above = os.open("level of the tree", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    deepest = os.open("end.mov", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(deepest, b"footage")
    os.close(deepest)
    os.close(here)
    most = count = 0
    found: list[MediaAsset] = []
    for page in LocalMediaScanner(tmp_path).scan_assets(cancel=CANCEL):
        assert page.complete
        count += 1
        found += page.assets
        most = max(most, len(os.listdir("/proc/self/fd")))
    assert count == 4_001
    assert [len(asset.asset_id) for asset in found] == [2_000 * 18 + len("end.mov")]
    assert most < 100
    (look,) = LocalMediaResolver(tmp_path).stat(found, cancel=CANCEL)
    assert look is not None
    assert look.size == 7
    _remove_deep(tmp_path)


def _remove_deep(tmp_path: Path) -> None:
    # shutil.rmtree would recurse too deep. Whatever stands in the deeper half is moved up, again and again.
    here = os.open(tmp_path, os.O_RDONLY)
    while True:
        for entry in os.listdir(here):
            if entry != "level of the tree":
                (os.rmdir if entry == "z" else os.unlink)(entry, dir_fd=here)
        try:
            below = os.open("level of the tree", os.O_RDONLY, dir_fd=here)
        except FileNotFoundError:
            break
        os.rename("level of the tree", "gone", src_dir_fd=here, dst_dir_fd=here)
        for entry in os.listdir(below):
            os.rename(entry, entry, src_dir_fd=below, dst_dir_fd=here)
        os.close(below)
        os.rmdir("gone", dir_fd=here)
    os.close(here)


def test_a_scan_that_is_given_up_holds_nothing_open(tmp_path: Path) -> None:
    fill(tmp_path, ["a/b/c/1.mov", "z/2.mov"])
    before = sorted(os.listdir("/proc/self/fd"))
    pages = LocalMediaScanner(tmp_path).scan_assets(cancel=CANCEL)
    while next(pages).directory != b"a/b":
        pass
    assert len(os.listdir("/proc/self/fd")) > len(before)
    del pages
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_known_directories_are_asked_for_once_and_in_order(tmp_path: Path) -> None:
    fill(tmp_path, ["a/b/1.mov", "a b/2.mov", "c/3.mov"])
    asked: list[bytes] = []

    class Recorder:
        def get(self, directory: bytes, /) -> KnownDirectory | None:
            asked.append(directory)
            return None

    scan(LocalMediaScanner(tmp_path), known=Recorder())
    assert asked == [b"", b"a", b"a/b", b"a b", b"c"]
