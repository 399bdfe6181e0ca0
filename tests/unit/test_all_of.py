"""AllOf: parts with ids of their own, and no upload of its own."""

from __future__ import annotations

import pytest

from media_watch_tasks.abc import FansOut
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree, FakeUploader
from media_watch_tasks.uploaders import AllOf


class FailsToClose(FakeUploader):
    def close(self) -> None:
        super().close()
        raise OSError(self.destination_id)


def test_the_parts_come_in_order_and_those_of_an_inner_one_are_taken_out() -> None:
    first, second, third = FakeUploader("a"), FakeUploader("b"), FakeUploader("c")
    uploader = AllOf([first, AllOf([second, third])])
    assert isinstance(uploader, FansOut)
    assert list(uploader.parts) == [first, second, third]
    assert uploader.destination_id == "AllOf(a, b, c)"


def test_two_parts_of_one_destination_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"uploaders 1 and 3 .*'a'"):
        AllOf([FakeUploader("a"), FakeUploader("b"), AllOf([FakeUploader("a")])])


def test_none_at_all_and_what_is_no_uploader_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        AllOf([])
    with pytest.raises(ConfigurationError, match="not str"):
        AllOf(["/mnt/backup"])  # type: ignore[list-item]  # wrong on purpose


def test_it_has_no_upload_of_its_own() -> None:
    tree, part = FakeTree(), FakeUploader("a")
    media = FakeResolver(tree).resolve_for_upload(tree.put("clip.mov"), cancel=CancelToken())
    with pytest.raises(ConfigurationError, match="each of its parts"):
        AllOf([part]).upload(media, FakeContext())
    assert part.calls == []


def test_all_parts_are_closed_also_where_one_fails() -> None:
    good, bad = FakeUploader("good"), FailsToClose("bad")
    with pytest.raises(OSError, match="bad"), AllOf([good, bad]):
        pass
    assert (good.closed, bad.closed) == (1, 1)
    with pytest.raises(ExceptionGroup) as caught:
        AllOf([FailsToClose("one"), good, FailsToClose("two")]).close()
    assert [str(error) for error in caught.value.exceptions] == ["two", "one"]
    assert good.closed == 2
