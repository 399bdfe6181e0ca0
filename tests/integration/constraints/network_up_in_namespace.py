"""NetworkUp on a network whose cable can be pulled. To be run in a network namespace of its own, which has no other.

`test_constraints_network.py` does that; pytest does not collect this module by itself.
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from media_watch_tasks.abc import Constraint
from media_watch_tasks.constraints import NetworkUp, routes
from media_watch_tasks.testing.contracts.constraint import ConstraintContract

HANG_GUARD_SECONDS = 60.0
NAS = "10.9.0.20"


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


class Cable:
    """An interface v0, and the switch that it is plugged into."""

    def __init__(self) -> None:
        # Waiting for duplicates of an IPv6 address would take a second.
        _ip("link add v0 type veth peer name v1", "link set lo up", "link set v1 up", "link set v0 up")
        _ip("address add 10.9.0.2/24 dev v0", "address add fd00:9::2/64 dev v0 nodad")

        self._blocked: list[str] = []

    def route(self) -> None:
        _ip("route replace default via 10.9.0.1 dev v0")

    def plug_in(self) -> None:
        _ip("link set v1 up")
        self._until("UP")

    def pull(self) -> None:
        _ip("link set v1 down")
        self._until("LOWERLAYERDOWN")

    def block(self, kind: str, network: str) -> None:
        """A route that leads nowhere."""
        _ip(f"route add {kind} {network}")
        self._blocked.append(f"route delete {kind} {network}")

    def remove(self) -> None:
        _ip("link delete v0", *self._blocked)

    def _until(self, state: str) -> None:
        """The kernel takes note of a carrier in the background."""
        guard = time.monotonic() + HANG_GUARD_SECONDS
        while time.monotonic() < guard:
            shown = subprocess.run(["ip", "-json", "link", "show", "v0"], capture_output=True, check=True).stdout
            if json.loads(shown)[0]["operstate"] == state:
                return
        pytest.fail(f"v0 did not become {state}")


@pytest.fixture
def cable() -> Iterator[Cable]:
    assert [name for _, name in socket.if_nameindex() if name not in {"lo", "sit0", "tunl0"}] == [], (
        "in use: no namespace"
    )
    cable = Cable()
    cable.plug_in()
    yield cable
    cable.remove()


class TestNetworkUp(ConstraintContract):
    """The route stays when the cable is pulled."""

    @pytest.fixture(autouse=True)
    def surroundings(self, cable: Cable) -> None:
        self.cable = cable
        cable.route()

    def make_constraint(self) -> Constraint:
        return NetworkUp()

    def meet(self) -> None:
        self.cable.plug_in()

    def breach(self) -> None:
        self.cable.pull()


class TestNetworkUpTowardsTheNas(TestNetworkUp):
    def make_constraint(self) -> Constraint:
        return NetworkUp(towards=NAS)


class TestNetworkUpByRoute(ConstraintContract):
    """The cable stays, and the route comes and goes, as with DHCP."""

    @pytest.fixture(autouse=True)
    def surroundings(self, cable: Cable) -> None:
        self.cable = cable

    def make_constraint(self) -> Constraint:
        return NetworkUp()

    def meet(self) -> None:
        self.cable.route()

    def breach(self) -> None:
        self.cable.route()
        _ip("route delete default")


class TestNetworkUpWithoutNetlink(TestNetworkUpByRoute):
    """As on another system, or in a sandbox."""

    @pytest.fixture(autouse=True)
    def sandbox(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routes, "_netlink", lambda: None)


def test_a_pulled_cable_is_named(cable: Cable) -> None:
    cable.route()
    cable.pull()
    assert NetworkUp().unmet() == "no way to the internet: v0 is not connected; no route"


def test_an_interface_that_is_switched_off_is_no_way(cable: Cable) -> None:
    cable.route()
    assert NetworkUp(towards=NAS).unmet() is None
    _ip("link set v0 down")
    assert NetworkUp(towards=NAS).unmet() == f"no way to {NAS}: no route"


def test_ipv6_alone_is_a_way_to_the_internet(cable: Cable) -> None:
    assert NetworkUp().unmet() == "no way to the internet: no route"
    _ip("route add default via fd00:9::1 dev v0")
    assert NetworkUp().unmet() is None
    assert NetworkUp(towards=NAS).unmet() is None
    cable.pull()
    assert NetworkUp().unmet() is not None


@pytest.mark.parametrize("netlink", [True, False], ids=["netlink", "without netlink"])
@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit"])
@pytest.mark.parametrize(("address", "network"), [("198.51.100.7", "198.51.100.0/24"), ("fd01::7", "fd01::/64")])
def test_a_route_that_leads_nowhere_is_no_way(
    cable: Cable, monkeypatch: pytest.MonkeyPatch, address: str, network: str, kind: str, *, netlink: bool
) -> None:
    if not netlink:
        monkeypatch.setattr(routes, "_netlink", lambda: None)
    cable.route()
    _ip("route add default via fd00:9::1 dev v0")
    assert NetworkUp(towards=address).unmet() is None
    cable.block(kind, network)
    assert NetworkUp(towards=address).unmet() == f"no way to {address}: no route"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.9.0.2", "fd00:9::2"])
@pytest.mark.usefixtures("cable")
def test_the_machine_itself_is_always_there(address: str) -> None:
    assert NetworkUp(towards=address).unmet() is None


@pytest.mark.usefixtures("cable")
def test_an_error_that_says_nothing_of_routes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_address: str) -> bytes:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(routes, "_question", refuse)
    with pytest.raises(OSError, match="too many"):
        NetworkUp().unmet()
