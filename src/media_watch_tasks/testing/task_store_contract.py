"""The contract of a `TaskStore` as a suite: subclass `TaskStoreContract` in a test module, and let pytest run it.

class TestMyTaskStore(TaskStoreContract):
    def make_store(self, clock):
        return MyTaskStore(clock=clock)
"""

from __future__ import annotations

from media_watch_tasks.testing.contracts.task_store_claim import ClaimContract
from media_watch_tasks.testing.contracts.task_store_content import ContentContract
from media_watch_tasks.testing.contracts.task_store_control import ControlContract
from media_watch_tasks.testing.contracts.task_store_enqueue import EnqueueContract
from media_watch_tasks.testing.contracts.task_store_half_open import HalfOpenContract
from media_watch_tasks.testing.contracts.task_store_lease import LeaseContract
from media_watch_tasks.testing.contracts.task_store_pause import PauseContract
from media_watch_tasks.testing.contracts.task_store_sequel import SequelContract
from media_watch_tasks.testing.contracts.task_store_settle import SettleContract
from media_watch_tasks.testing.contracts.task_store_share import ShareContract

__all__ = ["TaskStoreContract"]


class TaskStoreContract(
    EnqueueContract,
    ClaimContract,
    ShareContract,
    HalfOpenContract,
    LeaseContract,
    SettleContract,
    ContentContract,
    PauseContract,
    ControlContract,
    SequelContract,
):
    """All that a `TaskStore` promises, one test a sentence. `make_store(clock)` gives a new, empty store.

    `close_store(store)` may be overridden too; it is called at the end of each test.
    """
