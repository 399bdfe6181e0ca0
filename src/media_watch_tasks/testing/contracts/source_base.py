"""What the suites for scanners and resolvers share: the place, what it can do, and its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.model.assets import MediaAsset
from media_watch_tasks.model.scans import KnownDirectory, ScanPage
from media_watch_tasks.testing.contracts.page_rules import check_pages, problems_of
from media_watch_tasks.testing.places import Place

__all__ = ["IN_ORDER", "ODD_NAMES", "SourceSuite", "classified_as", "fill", "needs"]

ODD_NAMES: Sequence[bytes] = (
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.mov".encode(),  # NFC
    "cafe\N{COMBINING ACUTE ACCENT}.mov".encode(),  # NFD: looks the same
    b"Holiday.mov", b"holiday.mov", b"HOLIDAY.MOV",
    b" leading blank.mov", b"two  blanks.mov", b"trailing blank.mov ", b"trailing dot.mov.",
    b"it's \"quoted\" `here`.mov", b"$HOME;rm -rf *.mov", b"-rf.mov", b"%2e%2e%2f.mov", b"100%.mov", b"#1?.mov",
    b"back\\slash.mov", b"colon:stream.mov", b"pipe|<>.mov", b"new\nline.mov", b"carriage\rreturn.mov", b"tab\t.mov",
    b"NUL.mov", b"con", b"~home.mov", b"*.mov", b"[a-z].mov", b"{x}.mov",
    "\N{CLAPPER BOARD}\N{VARIATION SELECTOR-16}.mov".encode(), "\N{HIRAGANA LETTER A}\u200b\u202e.mov".encode(),
    b"x" * 251 + b".mov",
    ("\N{CYRILLIC SMALL LETTER YA}" * 120 + ".mov").encode(),
    b"undecodable \xff\xfe.mov", b"latin-1 caf\xe9.mov", b"surrogate \xed\xa0\x80.mov",
)  # fmt: skip
"""Names that software stumbles over; a place is asked which of them it can hold."""

IN_ORDER: Sequence[bytes] = [
    b"above.mov", b"z.mov",
    b"a/1.mov", b"a/2.mov", b"a/b/3.mov", b"a/b/c/4.mov", b"a/d/5.mov",
    # As texts, all of these stand before the folders below `a`.
    b"a b/6.mov", b"a-b/7.mov", b"a.b/8.mov", b"aa/9.mov",
    b"b/10.mov", b"b/11.mov", b"b/9.mov",
]  # fmt: skip
"""Files in the order in which a scan shows them."""


def fill(place: Place, paths: Iterable[bytes]) -> None:
    """A file at each path."""
    for path in paths:
        place.write(path)


_Test = TypeVar("_Test", bound=Callable[..., object])


def needs(capability: str) -> Callable[[_Test], _Test]:
    """Marks a test that is left out of suites whose class attribute of this name is False."""

    def mark(test: _Test) -> _Test:
        marked = test.__dict__.get("needed_capabilities", ())
        test.__dict__["needed_capabilities"] = (*marked, capability)
        return test

    return mark


@contextmanager
def classified_as(*kinds: type[MediaWatchError]) -> Iterator[list[MediaWatchError]]:
    """Asserts that the block raises one of these; another class of the library is a wrong answer, not a crash.

    The exception is put into the list that the block gets.
    """
    raised: list[MediaWatchError] = []
    expected = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield raised
    except kinds as error:
        raised.append(error)
        return
    except MediaWatchError as other:
        raise AssertionError(f"{expected} is the answer here, not {other!r}") from other
    raise AssertionError(f"{expected} was not raised")


class SourceSuite:
    """The place, as the fixture `place`, and what it cannot do, as class attributes.

    A test of a promise that a place cannot be brought to keep is not collected; it is not skipped.
    """

    gives_stamps: ClassVar[bool] = True
    """False where the scanner gives no directory stamps, so that nothing is ever left unlisted."""
    shows_set_back_times: ClassVar[bool] = True
    """False where a folder whose time of modification was set back looks as it did (Samba has no change time)."""
    names_directories: ClassVar[bool] = True
    """False where the scanner does not fill in `ScanPage.directories`."""
    can_deny_reading: ClassVar[bool] = True
    """False where the place cannot make a file or folder unreadable."""
    can_go_offline: ClassVar[bool] = True
    """False where the place cannot be taken away and brought back."""
    holds_links: ClassVar[bool] = True
    """False where there are no symbolic links."""
    watches_streams: ClassVar[bool] = True
    """False where a stream does not tell that its file changes while it is read: the manager's own look at the file
    after the upload is then the only one."""
    keeps_open_files: ClassVar[bool] = True
    """False where a file cannot be deleted, or cannot be read on, while it is open."""
    mtime_step_ns: ClassVar[int] = 1
    """The precision in which the place keeps times, in nanoseconds; a time is cut down to it."""
    earliest_mtime_ns: ClassVar[int] = -1_000_000_000_000_000_000
    """The earliest time of modification that the place keeps, nanoseconds since 1970-01-01 UTC."""
    read_ahead: ClassVar[int] = 256
    """No scanner reads more folders than this before their pages are asked for."""

    def __init_subclass__(cls, **settings: Any) -> None:  # noqa: ANN401 - what classes further down take
        super().__init_subclass__(**settings)
        for name in dir(cls):
            needed = getattr(getattr(cls, name, None), "needed_capabilities", ())
            if not all(getattr(cls, capability) for capability in needed):
                setattr(cls, name, None)

    @pytest.fixture
    def place(self) -> Place:
        """Override: an empty place, closed afterwards."""
        raise NotImplementedError("override the fixture `place`")

    def scan(self, place: Place, **options: Any) -> list[ScanPage]:  # noqa: ANN401 - the options of scan_assets
        """All pages of one scan, checked for what holds for every scan."""
        options.setdefault("cancel", CancelToken())
        pages = list(place.scanner().scan_assets(**options))
        check_pages(pages)
        return pages

    def assets(self, place: Place) -> dict[bytes, MediaAsset]:
        """The assets of a complete scan by their ids."""
        pages = self.scan(place)
        assert not problems_of(pages)  # noqa: S101 - a suite asserts
        return {asset.asset_id: asset for page in pages for asset in page.assets}

    def asset(self, place: Place, path: str | bytes) -> MediaAsset:
        """One asset as a scan shows it now."""
        return self.assets(place)[path.encode() if isinstance(path, str) else path]

    def token(self) -> CancelToken:
        """A token that nobody cancels."""
        return CancelToken()

    def remembered(self, pages: Iterable[ScanPage]) -> dict[bytes, KnownDirectory]:
        """What a store knows of the directories after these pages."""
        return {
            page.directory: KnownDirectory(page.stamp, page.directories or ())
            for page in pages
            if page.complete and page.stamp is not None
        }

    def mtime(self, wanted_ns: int) -> int:
        """The time that the place keeps of one that was set."""
        return wanted_ns - wanted_ns % self.mtime_step_ns
