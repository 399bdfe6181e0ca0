"""A list of mutants, each with the tests that must find it out."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

Mutant = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Mutants:
    """Mutants of one room."""

    found: list[tuple[Mutant, str]] = attrs.field(factory=list)

    def killed_by(self, *tests: str) -> Callable[[Mutant], Mutant]:
        """Register the mutant below, with node ids of tests."""

        def register(mutant: Mutant) -> Mutant:
            self.found.extend((mutant, test) for test in tests)
            return mutant

        return register

    def each(self) -> pytest.MarkDecorator:
        """Runs a test with every (mutant, test)."""
        names = [mutant.__name__ for mutant, _ in self.found]
        return pytest.mark.parametrize(("mutant", "test"), self.found, ids=names)
