"""Wrong pairs of uploaders, each of which a test of `Then` finds out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.abc import Uploader
from media_watch_tasks.uploaders.wrappers import then

Patch = pytest.MonkeyPatch
Kill = Callable[[Callable[[Patch], None], str], None]


def hands_what_stands_there_to_the_manager(patch: Patch) -> None:
    def delivered(part: Uploader, media: Any, context: Any) -> Any:
        return part.upload(media, context)

    patch.setattr(then, "_delivered", delivered)


def believes_whatever_stands_there(patch: Patch) -> None:
    patch.setattr(then, "_is_equal", lambda *_arguments: True)


def sends_to_the_first_again(patch: Patch) -> None:
    patch.setattr(then, "_known", lambda _context: None)


def mixes_up_the_receipts(patch: Patch) -> None:
    patch.setattr(then, "_kept", lambda receipt, _detail: receipt)


def believes_the_first_alone(patch: Patch) -> None:
    def verify(self: Any, media: Any, receipt: Any) -> Any:
        return self._inner.verify(media, then._kept(receipt, "first_receipt"))

    patch.setattr(then.Then, "verify", verify)


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (
            hands_what_stands_there_to_the_manager,
            "then.py::test_what_stands_at_the_first_already_never_stands_for_both",
        ),
        (believes_whatever_stands_there, "then.py::test_what_stands_at_the_first_already_never_stands_for_both"),
        (sends_to_the_first_again, "wrappers.py::test_the_first_uploader_is_not_asked_again_when_the_second_fails"),
        (mixes_up_the_receipts, "then.py::test_the_earlier_receipt_of_the_first_is_its_own"),
        (
            believes_the_first_alone,
            "then.py::TestThenKeepsPromisesOfItsSecond::test_a_damaged_object_does_not_verify",
        ),
    ],
)
def test_a_wrong_pair_is_found_out(mutant: Callable[[Patch], None], test: str, assert_killed: Kill) -> None:
    assert_killed(mutant, f"tests/uploaders/test_uploaders_{test}")
