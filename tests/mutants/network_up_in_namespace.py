"""Wrong versions of NetworkUp. To be run in a network namespace of its own, as the tests that find them out.

`test_constraints_network_mutants.py` does that; pytest does not collect this module by itself.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.constraints import network, routes

TESTS = "tests/integration/constraints/network_up_in_namespace.py"

Kill = Callable[[Mutant, str], None]
MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by("TestNetworkUp::test_it_follows_its_surroundings_both_ways", "test_a_pulled_cable_is_named")
def believes_a_route_without_a_carrier(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routes, "_has_carrier", lambda _name: True)


@killed_by("TestNetworkUpByRoute::test_it_follows_its_surroundings_both_ways")
def believes_a_carrier_without_a_route(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f"{network.__name__}.obstacle", lambda _address: None if routes._has_carrier("v0") else "no carrier")


@killed_by("TestNetworkUp::test_it_follows_its_surroundings_both_ways")
def never_asks_by_netlink(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routes, "_netlink", lambda: None)


@killed_by("test_ipv6_alone_is_a_way_to_the_internet")
def wants_ipv4(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "_FAR_AWAY", network._FAR_AWAY[:1])


@killed_by("TestNetworkUp::test_none_while_it_is_met")
def wants_ipv6(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "_FAR_AWAY", network._FAR_AWAY[1:])


@killed_by("test_the_machine_itself_is_always_there", "test_a_route_that_leads_nowhere_is_no_way")
def looks_for_the_internet_whatever_it_was_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "_address", lambda _text: network._FAR_AWAY[0])


@killed_by("test_an_error_that_says_nothing_of_routes_is_unknown")
def takes_every_error_for_no_route(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routes, "_NO_ROUTE", frozenset(errno.errorcode))


@killed_by("TestNetworkUpWithoutNetlink::test_it_follows_its_surroundings_both_ways")
def takes_every_way_for_passable_where_netlink_is_forbidden(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routes, "_connect", lambda _address: None)


@MUTANTS.each()
def test_a_wrong_network_is_found_out(assert_killed: Kill, mutant: Mutant, test: str) -> None:
    assert_killed(mutant, f"{TESTS}::{test}")
