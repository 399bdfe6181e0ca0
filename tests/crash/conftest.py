"""What the crash tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.crash.zygote import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """Starts processes; with the mistakes of a mutant in them where its test says so."""
    with Zygote(os.environ.get("CRASH_MUTANT")) as zygote:
        yield zygote
