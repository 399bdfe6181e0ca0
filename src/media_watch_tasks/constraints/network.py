"""NetworkUp: the machine is connected."""

from __future__ import annotations

import ipaddress

from media_watch_tasks.constraints.named import NamedConstraint
from media_watch_tasks.constraints.routes import obstacle
from media_watch_tasks.errors import ConfigurationError

__all__ = ["NetworkUp"]

_FAR_AWAY = ("193.0.14.129", "2001:7fd::1")
"""A root name server (k.root-servers.net): the way to it is the way to the internet. Nothing is sent there."""


class NetworkUp(NamedConstraint):
    """Met while the machine has a way to the network: a route whose interface is up and has a carrier.

        NetworkUp()                          # to the internet, by IPv4 or IPv6
        NetworkUp(towards="192.168.1.20")    # to the NAS

    Nothing is sent, so that it is quick and costs nothing. It knows of pulled cables, of Wi-Fi out of reach and of
    flight mode; whether the other side answers shows when a task is tried, and costs that task no attempt where the
    scanner or the uploader says that a place is offline. On systems other than Linux the route alone is looked at.

    Args:
        towards: an IP address; names are not looked up, which could take long.
        name: what tasks ask for.

    Raises:
        ConfigurationError: `towards` is not an IP address.
    """

    def __init__(self, *, towards: str | None = None, name: str = "network") -> None:
        super().__init__(name)
        self._targets = _FAR_AWAY if towards is None else (_address(towards),)
        self._shown = "the internet" if towards is None else towards

    def unmet(self) -> str | None:
        """Why there is no way, or None.

        Raises:
            OSError: the system cannot say.
        """
        obstacles = []
        for target in self._targets:
            found = obstacle(target)
            if found is None:
                return None
            obstacles.append(found)
        return f"no way to {self._shown}: {'; '.join(dict.fromkeys(obstacles))}"


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ConfigurationError(f"towards must be an IP address, not {text!r}") from error
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ConfigurationError(f"towards must be an IP address without a zone, not {text!r}")
    return str(address)
