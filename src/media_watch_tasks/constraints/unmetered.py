"""Unmetered: a network whose traffic costs nothing extra."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta

from media_watch_tasks.clock import Clock
from media_watch_tasks.constraints.look import PATIENCE, Look
from media_watch_tasks.constraints.named import NamedConstraint

__all__ = ["Unmetered", "ask_network_manager"]

_KEPT = timedelta(seconds=10)
"""A look starts a process: this often is soon enough to notice that the network has changed."""
_COMMAND_SECONDS = 5.0
_SERVICE = "org.freedesktop.NetworkManager"
_QUESTION = (
    "--system",
    "--json=short",
    "--auto-start=no",
    "get-property",
    _SERVICE,
    "/org/freedesktop/NetworkManager",
    _SERVICE,
    "Metered",
)
# NMMetered of NetworkManager's D-Bus API: 0 unknown, 1 yes, 2 no, 3 guessed yes, 4 guessed no.
_METERED = {1: True, 2: False, 3: True, 4: False}


class Unmetered(NamedConstraint):
    """Met while the network in use is not metered.

        Unmetered()                                  # what NetworkManager says
        Unmetered(lambda: modem.connected is False)  # what the application says

    Without a callable NetworkManager is asked over D-Bus, by the program `busctl` that comes with systemd. What it says
    is what the connection's profile says, or its guess: a phone that shares its connection, for example. Where there is
    no `busctl` or no NetworkManager, it is unknown; that is no reason to fail when the program starts, for it may be
    different on the next machine.

    Args:
        ask: returns True while the network is unmetered. What else counts as unknown is said in `Condition`.
        keep_for: how long an answer is given again without asking; by default 10 s.
        patience: how long one answer is waited for, in real time. The run of the queue stands still meanwhile.
        name: what tasks ask for.
        clock: what `keep_for` is measured with.

    Raises:
        ConfigurationError: something that cannot be called, or a time that is too short.
    """

    def __init__(
        self,
        ask: Callable[[], bool] | None = None,
        *,
        keep_for: timedelta = _KEPT,
        patience: timedelta = PATIENCE,
        name: str = "unmetered",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name)
        chosen = ask_network_manager if ask is None else ask
        self._look = Look(chosen, keep_for=keep_for, patience=patience, clock=clock)

    def unmet(self) -> str | None:
        """That the network is metered, or None.

        Raises:
            OSError: NetworkManager cannot be asked (TimeoutError: it does not answer).
            LookupError: NetworkManager does not know.
            TypeError: the callable does not answer with a truth value.
            Exception: whatever the callable raises.
        """
        unmetered = self._look.answer()
        if not isinstance(unmetered, bool):
            raise TypeError(f"the callable of {self.name!r} must return True or False, not {unmetered!r}")
        return None if unmetered else "the network is metered"


def ask_network_manager() -> bool:
    """Whether NetworkManager takes the network in use for unmetered.

    Raises:
        OSError: it cannot be asked.
        LookupError: it does not know.
    """
    program = shutil.which("busctl")
    if program is None:
        raise FileNotFoundError(
            "busctl is not installed: NetworkManager cannot be asked whether the network is metered"
        )
    try:
        done = subprocess.run(  # noqa: S603 - the program is the system's, the arguments are constants
            [program, *_QUESTION], stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError("NetworkManager does not answer") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"busctl ended with {done.returncode}"
        raise OSError(f"NetworkManager cannot be asked whether the network is metered: {said}")
    return not _metered(done.stdout)


def _metered(answer: bytes) -> bool:
    try:
        value = json.loads(answer)["data"]
        return _METERED[value]
    except (ValueError, LookupError, TypeError) as error:
        raise LookupError(f"NetworkManager does not know whether the network is metered: {answer[:100]!r}") from error
