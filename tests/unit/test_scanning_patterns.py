"""Wildcard patterns mean what people expect of them, on bytes."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.scanning.patterns import name_expression, path_expression


def name_matches(pattern: str, name: bytes) -> bool:
    return re.fullmatch(name_expression(pattern), name.lower(), re.DOTALL) is not None


def path_matches(pattern: str, path: bytes) -> bool:
    return re.fullmatch(path_expression(pattern), path.lower(), re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.part", "film.mov.part"), ("*.part", ".part"), ("*.PART", "Film.Part"), ("thumbs.db", "Thumbs.db"),
        ("._*", "._clip.mov"), ("?", "a"), ("?", "é"), ("?", "日"), ("??", "日本"), ("*?", "日"),
        ("?.mov", "\N{CLAPPER BOARD}.mov"), ("[ab]c", "Bc"), ("[!ab]c", "xc"), ("[!ab]c", "éc"), ("[éü]c", "Üc"),
        ("[a-f]0", "D0"), ("[0-9][0-9]", "42"), ("a[*]b", "a*b"), ("a[?]b", "a?b"), ("[[]x]", "[x]"), ("[]]", "]"),
        ("[a-]", "-"), ("[!]]", "x"), ("ÉTÉ*", "été.mov"), ("*", "anything\nat all"), ("a**b", "a-b"),
        ("it's (1).mov", "IT'S (1).MOV"), ("a.b", "a.b"), ("*.tar.*", "x.tar.gz"), ("*a*b*", "xxaxxbxx"),
    ],
)  # fmt: skip
def test_a_pattern_matches(pattern: str, name: str) -> None:
    assert name_matches(pattern, name.encode())


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.part", "film.part.mov"), ("*.part", "filmXpart"), ("._*", "x._y"), ("?", ""), ("?", "ab"), ("??", "é"),
        ("??", "日"), ("*??", "é"), ("*??", "日"), ("[!é]", "é"), ("*[!é]", "é"), ("*[!日]", "日"), ("[ab]c", "cc"),
        ("[!ab]c", "Ac"), ("[a-f]0", "g0"), ("a.b", "axb"), ("a[*]b", "axb"), ("a", "ab"), ("b", "ab"),
        ("*.tar.*", "x.tar"),
    ],
)  # fmt: skip
def test_a_pattern_does_not_match(pattern: str, name: str) -> None:
    assert not name_matches(pattern, name.encode())


def test_bytes_that_are_no_text_are_matched_one_by_one() -> None:
    assert name_matches("caf?.mov", b"caf\xe9.mov")
    assert name_matches("*.mov", b"\xff\xfe.mov")
    assert name_matches("caf\udce9.mov", b"caf\xe9.mov")
    assert not name_matches("caf??.mov", b"caf\xe9.mov")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("trash", "trash"), ("trash/**", "trash/a/b.mov"), ("*/cache", "a/Cache"), ("**/cache", "cache"),
        ("**/cache", "a/b/cache"), ("a/**/z.mov", "a/z.mov"), ("a/**/z.mov", "a/b/c/z.mov"),
        ("2024/*.mov", "2024/x.MOV"),
        ("**.tmp", "a/b.tmp"), ("a/?.mov", "a/x.mov"), ("**/old/*", "x/old/y"), ("a/[!b]/c", "a/x/c"),
    ],
)  # fmt: skip
def test_a_path_pattern_matches(pattern: str, path: str) -> None:
    assert path_matches(pattern, path.encode())


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("trash", "a/trash"), ("trash/*", "trash/a/b.mov"), ("*/cache", "a/b/cache"), ("**/cache", "mycache"),
        ("2024/*.mov", "2024/a/x.mov"), ("a?b", "a/b"), ("a[!x]b", "a/b"), ("a/**/z.mov", "a/bz.mov"), ("*", "a/b"),
    ],
)  # fmt: skip
def test_a_path_pattern_does_not_match(pattern: str, path: str) -> None:
    assert not path_matches(pattern, path.encode())


@pytest.mark.parametrize("pattern", ["", "a/b", "[abc", "[", "[!", "a\0b", "[z-a]", "[\u0100-\uffff]"])
def test_what_is_no_name_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        name_expression(pattern)


@pytest.mark.parametrize("pattern", ["", "/a", "a/", "/", "[a", "\0"])
def test_what_is_no_path_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        path_expression(pattern)


@given(
    pattern=st.text(alphabet="ab.*?", min_size=1, max_size=8),
    name=st.text(alphabet="abAB.\n", min_size=1, max_size=10),
)
def test_simple_patterns_mean_what_the_standard_library_says(pattern: str, name: str) -> None:
    assert name_matches(pattern, name.encode()) == fnmatch.fnmatchcase(name.lower(), pattern.lower())


@given(
    pattern=st.lists(st.sampled_from(["*", "?", "a", "é", "日", "[aé]", "[!a日]"]), min_size=1, max_size=6),
    name=st.text(alphabet="aé日x", max_size=6),
)
def test_characters_count_whole_whatever_their_bytes(pattern: list[str], name: str) -> None:
    text = "".join(pattern)
    expected = fnmatch.fnmatchcase(name, text)
    assert name_matches(text, name.encode()) == expected
