"""Names at the destination are the source's bytes, and no name leads out of it."""

from __future__ import annotations

import os
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import ConfigurationError, PermanentError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.identity import display_text
from media_watch_tasks.uploaders import DirectoryUploader
from media_watch_tasks.uploaders.directory.existing import version_name, version_number
from media_watch_tasks.uploaders.directory.template import PathTemplate

KEY = "0123456789abcdef" * 4


@pytest.fixture
def uploader(target: Path) -> DirectoryUploader:
    return DirectoryUploader(target)


def _names_at(target: Path) -> set[bytes]:
    root = os.fsencode(target)
    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}


def _asset(asset_id: bytes, *, mtime_ns: int = 0, source_id: str = "local:/in") -> MediaAsset:
    return MediaAsset(source_id, asset_id, 1, mtime_ns)


@pytest.mark.parametrize(
    "path",
    [
        b"line\r\nbreak.mov",
        b"quotes '\" and \\ backslash.mov",
        b"undecodable \xff\xfe.mov",
        b"lone surrogate \xed\xa0\x80.mov",
        "Café.mov".encode(),
        b"folder \xff/clip.mov",
        b"..hidden/...mov",
        b"n" * 255,
        "é".encode() * 127,
        b"/".join([b"d" * 200] * 15 + [b"deep.mov"]),
    ],
)
def test_a_name_arrives_byte_for_byte_and_its_receipt_leads_back_to_it(
    uploader: DirectoryUploader, source: Any, target: Path, path: bytes
) -> None:
    media = source.new(path, b"data")
    receipt = source.upload(uploader, media)
    assert _names_at(target) == {path}
    assert receipt.remote_id == display_text(path)
    assert uploader.verify(None, receipt)
    assert source.find(uploader, media) == receipt
    os.unlink(os.path.join(os.fsencode(target), path))
    assert not uploader.verify(None, receipt)


def test_twins_in_case_and_in_normal_form_stay_apart(uploader: DirectoryUploader, source: Any, target: Path) -> None:
    names = ["Foto.jpg", "foto.jpg", unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")]
    for number, name in enumerate(names):
        source.upload(uploader, source.new(name, b"%d" % number))
    assert _names_at(target) == {name.encode() for name in names}
    assert {(target / name).read_bytes() for name in names} == {b"0", b"1", b"2", b"3"}


@pytest.mark.parametrize(
    "path", [b"../escape.mov", b"a/../../escape.mov", b"/abs.mov", b"a//b.mov", b"a/./b.mov", b"nul\0.mov", b"..", b""]
)
def test_a_path_that_leads_out_is_refused(
    uploader: DirectoryUploader, source: Any, tmp_path: Path, target: Path, path: bytes
) -> None:
    media = source.new(path, b"data")
    with pytest.raises(PermanentError, match="outside of the destination"):
        source.upload(uploader, media)
    assert list(target.iterdir()) == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("name", [b"n" * 256, b"folder/" + b"n" * 256, b"n" * 256 + b"/clip.mov"])
def test_a_name_that_is_too_long_is_refused_before_anything_is_read(
    uploader: DirectoryUploader, source: Any, name: bytes
) -> None:
    media = source.new(name, b"data")
    context = source.context(uploader, media)
    with pytest.raises(PermanentError, match="cannot hold this name"):
        uploader.upload(media, context)
    assert context.bytes_read == 0


def test_a_name_like_those_of_unfinished_copies_is_refused(uploader: DirectoryUploader, source: Any) -> None:
    with pytest.raises(PermanentError, match="unfinished copies"):
        source.upload(uploader, source.new(".mwt-0123456789abcdef-0123456789ab.part", b"data"))


class TestLinks:
    @pytest.mark.parametrize("absolute", [True, False])
    def test_a_link_to_a_folder_inside_is_followed(
        self, uploader: DirectoryUploader, source: Any, target: Path, *, absolute: bool
    ) -> None:
        (target / "real/deep").mkdir(parents=True)
        (target / "a").mkdir()
        (target / "a/link").symlink_to(target / "real/deep" if absolute else "../real/deep")
        media = source.new("a/link/new/clip.mov", b"data")
        receipt = source.upload(uploader, media)
        assert (target / "real/deep/new/clip.mov").read_bytes() == b"data"
        assert uploader.verify(None, receipt)
        assert source.find(uploader, media) == receipt

    @pytest.mark.parametrize("kind", ["outside", "dangling", "the root", "circle", "sibling with the same start"])
    def test_a_link_that_leads_out_is_refused(
        self, uploader: DirectoryUploader, source: Any, target: Path, tmp_path: Path, kind: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        sibling = tmp_path / "backup-of-somebody"
        sibling.mkdir()
        to = {
            "outside": outside,
            "dangling": tmp_path / "nowhere",
            "the root": target,
            "circle": target / "link",
            "sibling with the same start": sibling,
        }[kind]
        (target / "link").symlink_to(to)
        with pytest.raises(PermanentError, match="symbolic link"):
            source.upload(uploader, source.new("link/clip.mov", b"data"))
        assert list(outside.iterdir()) == []
        assert list(sibling.iterdir()) == []
        assert not (tmp_path / "nowhere").exists()

    def test_the_destination_itself_may_be_a_link(self, source: Any, target: Path, tmp_path: Path) -> None:
        (tmp_path / "shortcut").symlink_to(target)
        (target / "real").mkdir()
        (target / "link").symlink_to("real")
        uploader = DirectoryUploader(tmp_path / "shortcut")
        source.upload(uploader, source.new("link/clip.mov", b"data"))
        assert (target / "real/clip.mov").read_bytes() == b"data"


class TestTemplate:
    MTIME = to_ns(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))

    @pytest.mark.parametrize(
        ("template", "path"),
        [
            ("{path}", b"tour/clip.final.MOV"),
            ("{name}", b"clip.final.MOV"),
            ("{stem}-{key8}{ext}", b"clip.final-01234567.MOV"),
            ("{year}/{month}/{day}/{name}", b"2024/02/29/clip.final.MOV"),
            ("{key2}/{key4}/{key}", b"01/0123/" + KEY.encode()),
            ("{key64}", KEY.encode()),
            ("{source}/{path}", b"local%3A%2Fin/tour/clip.final.MOV"),
            ("{{{name}}}", b"{clip.final.MOV}"),
            ("Ünïcødé/{name}", "Ünïcødé/clip.final.MOV".encode()),
        ],
    )
    def test_fields_are_filled_in(self, template: str, path: bytes) -> None:
        asset = _asset(b"tour/clip.final.MOV", mtime_ns=self.MTIME)
        assert b"/".join(PathTemplate(template).render(asset, KEY)) == path

    def test_a_name_without_extension_has_an_empty_one(self) -> None:
        assert PathTemplate("{stem}.x{ext}").render(_asset(b"README"), KEY) == (b"README.x",)
        assert PathTemplate("{stem}.x{ext}").render(_asset(b".hidden"), KEY) == (b".hidden.x",)

    @pytest.mark.parametrize(("mtime_ns", "year"), [(-1, b"1969"), (2**63 - 1, b"2262"), (2**80, b"2262")])
    def test_dates_out_of_the_ordinary_have_a_year(self, mtime_ns: int, year: bytes) -> None:
        assert PathTemplate("{year}/{name}").render(_asset(b"a", mtime_ns=mtime_ns), KEY) == (year, b"a")

    @pytest.mark.parametrize("source_id", ["a/b", "a%2Fb", "..", "ä\udcff"])
    def test_a_source_id_is_one_harmless_name(self, source_id: str) -> None:
        template = PathTemplate("x{source}/{name}")
        (folder, _) = template.render(_asset(b"a", source_id=source_id), KEY)
        assert b"/" not in folder
        assert template.render(_asset(b"a", source_id="a/b"), KEY) != template.render(
            _asset(b"a", source_id="a%2Fb"), KEY
        )

    @pytest.mark.parametrize(
        "template",
        [
            *("", "/{path}", "../{path}", "a/../{name}", "{name}/", "a//{name}", "./{name}", "nul\0{name}"),
            *("{nam}", "{}", "{0}", "{name", "{name!r}", "{year:5}", "{key0}", "{key65}", "{key02}", "{name.real}"),
        ],
    )
    def test_a_template_that_makes_no_sense_is_refused_at_once(self, target: Path, template: str) -> None:
        with pytest.raises(ConfigurationError, match="path template"):
            DirectoryUploader(target, template=template)

    @given(asset_id=st.binary(max_size=40), template=st.sampled_from(["{path}", "a/{name}", "{stem}{ext}", "{path}x"]))
    def test_whatever_the_name_the_path_stays_below(self, asset_id: bytes, template: str) -> None:
        try:
            components = PathTemplate(template).render(_asset(asset_id), KEY)
        except PermanentError:
            return
        joined = os.path.normpath(os.path.join(b"/dest", *components))
        assert joined == b"/dest/" + b"/".join(components)
        assert b"\0" not in joined


class TestVersionNames:
    @given(name=st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name), number=st.integers(1, 999))
    def test_a_version_is_recognised_by_its_name(self, name: bytes, number: int) -> None:
        assert version_number(name, version_name(name, number)) == number

    @pytest.mark.parametrize(
        "candidate",
        [b"clip.1.mov", b"clip.02.mov", b"clip.x.mov", b"clip2.mov", b"clip.2.avi", b"xclip.2.mov", b"clip."],
    )
    def test_other_names_are_no_versions(self, candidate: bytes) -> None:
        assert version_number(b"clip.mov", candidate) is None


class TestIdentityOfTheDestination:
    def test_the_id_is_the_absolute_path(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(target.parent)
        relative = DirectoryUploader("backup")
        assert relative.destination_id == f"DirectoryUploader:{target}"
        assert relative.destination_id == DirectoryUploader(os.fsencode(target)).destination_id
        assert DirectoryUploader(target, destination_id="nas").destination_id == "nas"

    def test_an_undecodable_path_has_an_id_that_a_database_takes(self, tmp_path: Path) -> None:
        path = os.path.join(os.fsencode(tmp_path), b"\xff")
        os.mkdir(path)
        uploader = DirectoryUploader(path)
        uploader.check()
        uploader.destination_id.encode("utf-8")
        assert uploader.destination_id.endswith(r"\xff")

    @pytest.mark.parametrize(
        "settings",
        [{"on_newer": "keep"}, {"verify": "yes"}, {"require_marker": "../marker"}, {"require_marker": ""}],
    )
    def test_settings_that_make_no_sense_are_refused(self, target: Path, settings: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(settings))):
            DirectoryUploader(target, **settings)

    @pytest.mark.parametrize("path", ["", "nul\0"])
    def test_a_target_that_is_no_path_is_refused(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match="target"):
            DirectoryUploader(path)


class TestWatchedFolders:
    @pytest.mark.parametrize("below", ["", "sub", "sub/deeper"])
    def test_a_destination_inside_of_a_watched_folder_is_refused(self, target: Path, below: str) -> None:
        inside = target / below
        inside.mkdir(parents=True, exist_ok=True)
        with pytest.raises(ConfigurationError, match="watched folder"):
            DirectoryUploader(inside).refuse_watched(str(target))

    def test_links_do_not_hide_it(self, target: Path, tmp_path: Path) -> None:
        (target / "sub").mkdir()
        (tmp_path / "link").symlink_to(target / "sub")
        with pytest.raises(ConfigurationError):
            DirectoryUploader(tmp_path / "link").refuse_watched(os.fsencode(target))

    def test_beside_and_above_are_allowed(self, target: Path, tmp_path: Path) -> None:
        uploader = DirectoryUploader(target)
        uploader.refuse_watched(str(tmp_path / "back"))
        uploader.refuse_watched(str(target / "incoming"))

    def test_a_folder_that_scans_leave_out_is_allowed(self, target: Path) -> None:
        (target / "a/.mwt/b").mkdir(parents=True)
        asked: list[bytes] = []

        def excluded(path: bytes) -> bool:
            asked.append(path)
            return path == b"a/.mwt"

        DirectoryUploader(target / "a/.mwt/b").refuse_watched(str(target), excluded=excluded)
        assert asked == [b"a", b"a/.mwt"]
        with pytest.raises(ConfigurationError):
            DirectoryUploader(target / "a").refuse_watched(str(target), excluded=excluded)


def test_a_version_whose_name_gets_too_long_is_refused(source: Any, target: Path) -> None:
    uploader = DirectoryUploader(target, on_newer="version")
    previous = source.upload(uploader, source.new("n" * 254, b"1"))
    with pytest.raises(PermanentError, match="cannot hold this name"):
        source.upload(uploader, source.new("n" * 254, b"2"), previous=previous)
    assert (target / ("n" * 254)).read_bytes() == b"1"
