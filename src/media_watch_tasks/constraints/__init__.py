"""Conditions of the surroundings that tasks wait for: network, power, time of day, room on a disk, or any callable."""

from media_watch_tasks.constraints.condition import Condition
from media_watch_tasks.constraints.free_disk import FreeDisk
from media_watch_tasks.constraints.network import NetworkUp
from media_watch_tasks.constraints.power import PowerAvailable
from media_watch_tasks.constraints.time_window import TimeWindow
from media_watch_tasks.constraints.unmetered import Unmetered

__all__ = ["Condition", "FreeDisk", "NetworkUp", "PowerAvailable", "TimeWindow", "Unmetered"]
