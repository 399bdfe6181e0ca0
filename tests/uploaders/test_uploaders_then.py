"""Then keeps the promises of an uploader where both parts do, and gives each part what is its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from media_watch_tasks import AlreadyExists, ConfigurationError, Uploader, UploadReceipt
from media_watch_tasks.abc import FindsExisting, Verifies
from media_watch_tasks.testing.contracts.uploader import UploaderContract
from media_watch_tasks.testing.contracts.uploader_capabilities import (
    ChecksContract,
    FindsExistingContract,
    VerifiesContract,
)
from media_watch_tasks.testing.fakes import FakeUploader
from media_watch_tasks.uploaders import DirectoryUploader, Then


def folder_uploader(folder: Path) -> DirectoryUploader:
    folder.mkdir()
    return DirectoryUploader(folder, fsync=False)


class TestThenKeepsPromises(UploaderContract, FindsExistingContract, VerifiesContract, ChecksContract):
    """Damage to either part is found."""

    damaged = "one"

    @pytest.fixture
    def uploader(self, tmp_path: Path) -> Iterator[Uploader]:
        self.folder = tmp_path
        with Then(folder_uploader(tmp_path / "one"), folder_uploader(tmp_path / "two")) as uploader:
            yield uploader

    def contents(self, uploader: Uploader) -> list[bytes]:
        return [
            path.read_bytes() for path in (self.folder / "two").rglob("*") if path.is_file() and path.name[0] != "."
        ]

    def damage(self, uploader: Uploader, receipt: UploadReceipt) -> None:
        path = self.folder / self.damaged / str(receipt.remote_id)
        path.write_bytes(b"damaged" + path.read_bytes()[7:])


class TestThenKeepsPromisesOfItsSecond(TestThenKeepsPromises):
    damaged = "two"


class Finding(FakeUploader, FindsExisting, Verifies):
    """Finds what it has by the key, and notes what earlier receipt it was given."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.previous: list[UploadReceipt | None] = []

    def upload(self, media: Any, context: Any) -> UploadReceipt:
        self.previous.append(context.previous)
        return super().upload(media, context)

    def find_existing(self, media: Any, context: Any) -> UploadReceipt | None:
        if context.key not in self.objects:
            return None
        return UploadReceipt(context.key, size=len(self.objects[context.key]))

    def verify(self, media: Any, receipt: UploadReceipt) -> bool:
        return receipt.remote_id in self.objects


def exists(size: int, *, digest: str | None = None, by_key: bool = False) -> AlreadyExists:
    return AlreadyExists("there", receipt=UploadReceipt("old", size=size, sha256=digest), by_key=by_key)


DIGEST = hashlib.sha256(b"footage").hexdigest()


@pytest.mark.parametrize(
    ("error", "proven"),
    [
        (exists(7), True),
        (exists(7, digest=DIGEST), True),
        (exists(1, by_key=True), True),
        (exists(6), False),
        (exists(7, digest="0" * 64), False),
        (AlreadyExists("there"), False),
    ],
)
def test_what_stands_at_the_first_already_never_stands_for_both(
    rig: Any, error: AlreadyExists, *, proven: bool
) -> None:
    first, second = FakeUploader("store", outcomes=[error]), FakeUploader("catalog")
    rig.watch(Then(first, second))
    rig.tree.put("clip.mov", b"footage")
    (task,) = rig.run()
    if proven:
        assert task.state == "success"
        assert len(second.objects) == 1
        assert task.receipt.details["first"] == "old"
    else:
        assert (task.state, second.calls) == ("dead", [])


def test_an_answer_of_the_first_that_was_lost_is_found_by_its_key(rig: Any) -> None:
    first, second = Finding("store"), FakeUploader("catalog")
    both = Then(first, second)
    media = rig.media("clip.mov", b"footage")
    first.upload(media, rig.context(media))
    context = rig.context(media, attempt=2)
    assert both.find_existing(media, context) is None, "nobody knows what the second one has"
    receipt = both.upload(media, context)
    assert len(first.calls) == 1
    assert receipt.details["first"] == context.key
    assert Then(second, first).find_existing(media, rig.context(media)) is None, "nor here what the first one has"


def test_the_earlier_receipt_of_the_first_is_its_own(rig: Any) -> None:
    first = Finding("store")
    both = Then(first, FakeUploader("catalog"))
    media = rig.media("clip.mov", b"footage")
    receipt = both.upload(media, rig.context(media))
    both.upload(media, rig.context(media, previous=receipt))
    assert first.previous[0] is None
    assert first.previous[1] is not None
    assert first.previous[1].remote_id == receipt.details["first"]
    assert first.previous[1].details == {}


def test_it_verifies_where_both_can_and_at_any_depth(rig: Any) -> None:
    one, two, three = Finding("one"), Finding("two"), Finding("three")
    assert not isinstance(Then(one, FakeUploader()), Verifies)
    assert not isinstance(Then(FakeUploader(), one), Verifies)
    for all_of_them in (Then(Then(one, two), three), Then(one, Then(two, three))):
        media = rig.media("clip.mov", b"footage")
        receipt = all_of_them.upload(media, rig.context(media))
        assert isinstance(all_of_them, Verifies)
        assert all_of_them.verify(media, receipt)
        assert not all_of_them.verify(media, UploadReceipt(receipt.remote_id)), "no word of the first"
        for part in (one, two, three):
            kept = dict(part.objects)
            part.objects.clear()
            assert not all_of_them.verify(media, receipt)
            part.objects.update(kept)


def test_neither_delivers_into_a_watched_folder(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    inside = folder_uploader(watched)
    for both in (Then(inside, FakeUploader()), Then(FakeUploader(), inside)):
        with pytest.raises(ConfigurationError):
            both.refuse_watched(str(watched))
