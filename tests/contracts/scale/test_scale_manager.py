"""What the manager promises, promised again with its stores on PostgreSQL: the tests are those of the other stores."""

# ruff: noqa: F403 - the tests of each module, with the rig of this folder

from __future__ import annotations

from tests.contracts.manager.test_manager_absence import *
from tests.contracts.manager.test_manager_after_upload import *
from tests.contracts.manager.test_manager_baseline import *
from tests.contracts.manager.test_manager_constraints import *
from tests.contracts.manager.test_manager_control import *
from tests.contracts.manager.test_manager_delivery import *
from tests.contracts.manager.test_manager_inspection import *
from tests.contracts.manager.test_manager_outcomes import *
from tests.contracts.manager.test_manager_rescan import *
from tests.contracts.manager.test_manager_running import *
from tests.contracts.manager.test_manager_scan import *
from tests.contracts.manager.test_manager_unfinished import *
