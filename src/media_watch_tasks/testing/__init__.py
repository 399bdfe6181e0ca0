"""Contract suites, fakes and fault injection for authors of plug-ins: shipped with the library.

Only the suites (`contracts`) need pytest. Where it runs, their assertions show the values that they compare, as those
of test modules do.
"""

from __future__ import annotations

import sys

if "pytest" in sys.modules:
    # Before any suite is imported, and without importing pytest into a program that has no use for it.
    sys.modules["pytest"].register_assert_rewrite("media_watch_tasks.testing.contracts")
