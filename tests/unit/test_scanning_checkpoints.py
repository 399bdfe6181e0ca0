"""Checkpoints come back as the directory that they were made of, and divide a tree in two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.identity import is_below, order_key
from media_watch_tasks.scanning import Position, Resume, decode_checkpoint, encode_checkpoint

COMPONENT = st.binary(min_size=1, max_size=3).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in {b".", b".."}
)
DIRECTORY = st.lists(COMPONENT, max_size=4).map(b"/".join)
CLOSE = st.lists(st.sampled_from([b"a", b"b", b"a ", b"a-", b"a.b", b"ab"]), max_size=4).map(b"/".join)


@given(DIRECTORY)
def test_a_checkpoint_brings_its_directory_back(directory: bytes) -> None:
    checkpoint = encode_checkpoint(directory)
    assert checkpoint.isascii()
    assert checkpoint.isprintable()
    assert decode_checkpoint(checkpoint) == directory


@pytest.mark.parametrize(
    "garbage",
    ["", "after", "after:", "a/b", "after:/a//b", "after:/a/", "after://a", "after:/..", "after:/a/../b", "after:/.",
     "after:/%00", "after:/%zz", "after:/a b", "after:/%61", "before:/a", "after:/é"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(garbage: str) -> None:
    with pytest.raises(ConfigurationError, match="checkpoint"):
        decode_checkpoint(garbage)


@given(directory=CLOSE, checkpoint=CLOSE)
def test_a_checkpoint_divides_the_tree_in_the_order_of_a_scan(directory: bytes, checkpoint: bytes) -> None:
    position = Resume(checkpoint).position(directory)
    done = order_key(directory) <= order_key(checkpoint)
    assert (position is Position.AHEAD) == (not done)
    assert (position is Position.ON_THE_WAY) == is_below(checkpoint, directory)


@given(checkpoint=CLOSE, others=st.sets(CLOSE, max_size=12))
def test_whatever_follows_a_directory_ahead_is_ahead(checkpoint: bytes, others: set[bytes]) -> None:
    positions = [Resume(checkpoint).position(directory) for directory in sorted(others, key=order_key)]
    ahead = [position is Position.AHEAD for position in positions]
    assert ahead == sorted(ahead)


def test_a_scan_resumes_from_a_text() -> None:
    assert Resume.from_checkpoint(encode_checkpoint(b"a/b")) == Resume(b"a/b")
