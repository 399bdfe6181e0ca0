"""The contract suites, one module or a few for each interface; `media_watch_tasks.testing` names them."""

from pkgutil import iter_modules

import pytest

# Before any of them is imported: so that a failed assertion shows the values on both sides.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
