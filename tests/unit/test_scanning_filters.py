"""What a filter lets through, and how it is written down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.kinds import MediaKind
from media_watch_tasks.scanning import DEFAULT_EXCLUDED_NAMES, MediaFilter

LEFT_OUT = [
    b"@eaDir", b"@EADIR", b"#recycle", b"#snapshot", b".@__thumb", b"$RECYCLE.BIN", b"$Recycle.Bin", b".DS_Store",
    b"Thumbs.db", b"thumbs.DB", b"desktop.ini", b"._clip.mov", b"clip.mov.part", b"x.crdownload", b"x.tmp", b".~lock",
    b".stversions", b".hidden", b".", b"...", b"a.TMP",
]  # fmt: skip
KEPT = [
    b"clip.mov", b"@eaDir2", b"x@eaDir", b"recycle", b"Thumbs.db.mov", b"desktop.ini.bak", b"part", b"clip.part.mov",
    b"x.tmp.mov", b"tmp", b"_clip.mov", b"a.b.c", b"caf\xe9.mov", b"new\nline.mov", b"new\n.tmpx", b"~x", b"part.",
]  # fmt: skip


def test_the_defaults_leave_out_what_others_leave_behind() -> None:
    assert MediaFilter().files(b"a/b", [*LEFT_OUT, *KEPT]) == KEPT
    assert MediaFilter().directories(b"", [*LEFT_OUT, *KEPT]) == KEPT


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_name_is_judged_alike_alone_and_among_others(name: bytes) -> None:
    assert MediaFilter().files(b"", [name]) == []
    assert MediaFilter().files(b"", [b"a", name, b"b", name, b"c"]) == [b"a", b"b", b"c"]


@given(st.lists(st.binary(min_size=1, max_size=6).map(lambda name: name.translate(None, b"\0/") or b"x"), max_size=20))
def test_many_names_are_judged_as_each_one_alone(names: list[bytes]) -> None:
    some = MediaFilter(exclude_names=("*a*", "?", "b*", "[x-z]?", "*[0-9]"), include_hidden=True)
    assert some.files(b"", names) == [name for name in names if some.files(b"", [name])]


def test_names_are_judged_however_many_there_are() -> None:
    names = [b"%d.mov" % number for number in range(25_000)]
    among = [*names[:9_999], b"Thumbs.db", *names[9_999:20_001], b"x.tmp", *names[20_001:], b".DS_Store"]
    assert MediaFilter().files(b"", among) == names


def test_nothing_is_left_out_where_that_is_asked() -> None:
    everything = MediaFilter(exclude_names=(), include_hidden=True, min_size=0)
    assert everything.files(b"", [*LEFT_OUT, *KEPT]) == [*LEFT_OUT, *KEPT]
    assert everything.admits(b".hidden/.x", 0)


def test_the_default_names_hold_without_the_hidden_ones() -> None:
    shown = MediaFilter(include_hidden=True)
    assert shown.files(b"", [b".hidden", b".DS_Store", b"._clip.mov", b".~x", b".stversions"]) == [b".hidden"]


def test_defaults_can_be_added_to() -> None:
    more = MediaFilter(exclude_names=(*DEFAULT_EXCLUDED_NAMES, "*.lrv"))
    assert more.files(b"", [b"GX01.LRV", b"GX01.MP4", b"x.tmp"]) == [b"GX01.MP4"]


def test_files_are_chosen_by_kind_and_folders_are_not() -> None:
    videos = MediaFilter(kinds={MediaKind.VIDEO})
    names = [b"a.MOV", b"b.jpg", b"c", b"d.mp4", b"e.xyz"]
    assert videos.files(b"", names) == [b"a.MOV", b"d.mp4"]
    assert videos.directories(b"", names) == names
    assert MediaFilter(kinds=["other"]).files(b"", names) == [b"c", b"e.xyz"]
    assert MediaFilter(kinds="video") == videos
    assert MediaFilter(kinds=()).files(b"", names) == []


def test_paths_are_left_out_with_all_below_them() -> None:
    some = MediaFilter(exclude_paths=("proxy", "**/cache", "2024/*.lrv"))
    assert some.directories(b"", [b"proxy", b"Cache", b"2024"]) == [b"2024"]
    assert some.directories(b"2024", [b"proxy", b"cache"]) == [b"proxy"]
    assert some.files(b"2024", [b"a.lrv", b"a.mov"]) == [b"a.mov"]
    assert some.files(b"2025", [b"a.lrv"]) == [b"a.lrv"]
    assert not some.admits(b"2024/cache/deep/a.mov", 1)
    assert not some.admits(b"proxy/a.mov", 1)
    assert some.admits(b"2024/proxy/a.mov", 1)


@pytest.mark.parametrize(
    ("least", "most", "admitted"),
    [(1, None, [1, 2, 10**15]), (0, None, [0, 1, 2, 10**15]), (2, 2, [2]), (0, 1, [0, 1]), (3, 10**14, [])],
)
def test_sizes_are_judged(least: int, most: int | None, admitted: list[int]) -> None:
    some = MediaFilter(min_size=least, max_size=most)
    assert [size for size in (0, 1, 2, 10**15) if some.admits_size(size)] == admitted
    assert [size for size in (0, 1, 2, 10**15) if some.admits(b"a.mov", size)] == admitted


def test_every_folder_above_a_file_is_judged() -> None:
    assert MediaFilter().admits(b"a/b/c.mov", 1)
    assert not MediaFilter().admits(b"a/@eaDir/c.mov", 1)
    assert not MediaFilter().admits(b".git/b/c.mov", 1)
    assert not MediaFilter().admits(b"a/b/.c.mov", 1)


def test_no_names_are_no_names() -> None:
    assert MediaFilter().files(b"", []) == []


FILTERS = [
    MediaFilter(),
    MediaFilter(kinds={MediaKind.VIDEO, MediaKind.AUDIO}, min_size=0, max_size=5, include_hidden=True),
    MediaFilter(exclude_names=("é*", "caf\udce9", '"quoted"'), exclude_paths=("a/**",)),
    MediaFilter(exclude_names=()),
]


@pytest.mark.parametrize("some", FILTERS)
def test_a_spec_brings_the_filter_back(some: MediaFilter) -> None:
    again = MediaFilter.from_spec(some.spec)
    assert again == some
    assert again.spec == some.spec
    assert some.spec.isascii()
    names = [*LEFT_OUT, *KEPT, "été.mov".encode(), b"caf\xe9"]
    assert again.files(b"a", names) == some.files(b"a", names)


def test_specs_are_equal_only_where_filters_are() -> None:
    assert len({some.spec for some in FILTERS}) == len(FILTERS)
    assert MediaFilter(exclude_names=("b", "a", "b")).spec == MediaFilter(exclude_names=["a", "b"]).spec


@pytest.mark.parametrize("spec", ["", "{}", "[]", "null", "{", '{"version":1,"colour":"red"}', '{"version":2}', "3"])
def test_what_is_no_spec_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError):
        MediaFilter.from_spec(spec)


def test_a_spec_of_another_release_is_refused() -> None:
    fields = json.loads(MediaFilter().spec) | {"version": 99}
    with pytest.raises(ConfigurationError, match="another release"):
        MediaFilter.from_spec(json.dumps(fields))


@pytest.mark.parametrize(
    "settings",
    [
        {"min_size": -1}, {"min_size": 1.5}, {"max_size": -3}, {"min_size": 5, "max_size": 4},
        {"exclude_names": "*.tmp"},
        {"exclude_names": (b"x",)}, {"exclude_names": ("a/b",)}, {"exclude_paths": ("/a",)}, {"kinds": {"film"}},
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        MediaFilter(**settings)  # type: ignore[arg-type]  # what people get wrong
