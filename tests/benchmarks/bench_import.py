"""What `import media_watch_tasks` costs beyond attrs, peewee and tenacity, which every user of the library has to load.

Run it with the interpreter of the environment: python tests/benchmarks/bench_import.py [ROUNDS]

Each sample is a fresh interpreter that times the import inside itself, so that neither the start of the interpreter
nor of this program is in it. The variants take turns, so that a busy moment hits all of them. The goal is judged by
processor time: everything comes from the system's cache, nothing waits, and other programs disturb it less.

Whatever else is installed is hidden from the interpreter (peewee loads the drivers of databases that it finds), and the
modules are compiled before the first sample, as the installation of a wheel does it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile

GOAL_MS = 30.0
CORE = {"attr", "attrs", "peewee", "tenacity", "typing_extensions", "media_watch_tasks"}
DEPENDENCIES = "import attrs, peewee, tenacity, typing_extensions"
BEYOND = "media_watch_tasks beyond them"
VARIANTS = {
    "the core dependencies": ("", DEPENDENCIES),
    BEYOND: (DEPENDENCIES, "import media_watch_tasks"),
    "media_watch_tasks, everything": ("", "import media_watch_tasks"),
}
SAMPLE = """
import sys, time
for name in {hidden}:
    sys.modules.setdefault(name, None)
{before}
loaded = len(sys.modules)
wall, processor = time.perf_counter_ns(), time.process_time_ns()
{timed}
processor, wall = time.process_time_ns() - processor, time.perf_counter_ns() - wall
print([processor / 1e6, wall / 1e6, len(sys.modules) - loaded])
"""


def hidden_modules() -> list[str]:
    """The modules of all that is installed beside the core dependencies."""
    return sorted(name for name in importlib.metadata.packages_distributions() if name not in CORE)


def sample(before: str, timed: str, *, compiled: str) -> list[float]:
    """One import in a fresh interpreter: milliseconds of processor and wall time, and how many modules it loaded.

    Args:
        before: what is imported first.
        timed: what is imported then.
        compiled: the folder of the compiled modules.
    """
    program = SAMPLE.format(before=before, timed=timed, hidden=hidden_modules())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONPYCACHEPREFIX": compiled},
    )
    return [float(value) for value in json.loads(done.stdout)]


def main() -> int:
    """Print the table; 1 if the goal was missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    samples: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as compiled:
        for before, timed in VARIANTS.values():  # the first import writes the byte code
            sample(before, timed, compiled=compiled)
        for _ in range(rounds):
            for name, (before, timed) in VARIANTS.items():
                samples[name].append(sample(before, timed, compiled=compiled))
    print(f"| import, Python {sys.version.split()[0]}, median of {rounds} | processor ms | wall ms | modules |")
    print("|---|---|---|---|")
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in samples.items()
    }
    for name, (processor, wall, modules) in medians.items():
        print(f"| {name} | {processor:.1f} | {wall:.1f} | {modules:.0f} |")
    beyond = medians[BEYOND][0]
    verdict = "met" if beyond <= GOAL_MS else "MISSED"
    print(f"\ngoal: at most {GOAL_MS:.0f} ms beyond the core dependencies: {verdict} ({beyond:.1f} ms)")
    return 0 if verdict == "met" else 1


if __name__ == "__main__":
    sys.exit(main())
