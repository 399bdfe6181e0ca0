"""The contract of a `TaskStore` as a suite: subclass `TaskStoreContract` in a test module, and let pytest run it.

class TestMyTaskStore(TaskStoreContract):
    def make_store(self, clock):
        return MyTaskStore(clock=clock)
"""

from __future__ import annotations

import pytest

# Before the parts are imported: so that a failed assertion shows the values on both sides.
pytest.register_assert_rewrite("media_watch_tasks.testing.contracts")

from media_watch_tasks.testing.contracts.task_store_claim import ClaimContract  # noqa: E402 - see above
from media_watch_tasks.testing.contracts.task_store_content import ContentContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_control import ControlContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_enqueue import EnqueueContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_half_open import HalfOpenContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_lease import LeaseContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_pause import PauseContract  # noqa: E402 - as above
from media_watch_tasks.testing.contracts.task_store_settle import SettleContract  # noqa: E402 - as above

__all__ = ["TaskStoreContract"]


class TaskStoreContract(
    EnqueueContract,
    ClaimContract,
    HalfOpenContract,
    LeaseContract,
    SettleContract,
    ContentContract,
    PauseContract,
    ControlContract,
):
    """All that a `TaskStore` promises, one test a sentence. `make_store(clock)` gives a new, empty store.

    `close_store(store)` may be overridden too; it is called at the end of each test.
    """
