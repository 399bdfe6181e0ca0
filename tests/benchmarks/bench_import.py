"""What `import media_watch_tasks` costs beyond attrs, peewee and tenacity, which every user of the library has to load.

Run it with the interpreter of the environment: python tests/benchmarks/bench_import.py [ROUNDS]

Each sample is a fresh interpreter that times the import inside itself, so that neither the start of the interpreter
nor of this program is in it. The variants take turns, so that a busy moment hits all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

GOAL_MS = 30.0
DEPENDENCIES = "import attrs, peewee, tenacity, typing_extensions"
VARIANTS = {
    "the core dependencies": ("", DEPENDENCIES),
    "media_watch_tasks beyond them": (DEPENDENCIES, "import media_watch_tasks"),
    "media_watch_tasks, everything": ("", "import media_watch_tasks"),
}
SAMPLE = """
import time
{before}
started = time.perf_counter_ns()
{timed}
print(time.perf_counter_ns() - started)
"""


def sample_ms(before: str, timed: str) -> float:
    """One import in a fresh interpreter, in milliseconds."""
    program = SAMPLE.format(before=before, timed=timed)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e6


def main() -> int:
    """Print the table; 1 if the goal was missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    samples: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for before, timed in VARIANTS.values():  # the first import writes the byte code
        sample_ms(before, timed)
    for _ in range(rounds):
        for name, (before, timed) in VARIANTS.items():
            samples[name].append(sample_ms(before, timed))
    print(f"| import, Python {sys.version.split()[0]}, {rounds} rounds | median ms | fastest ms | slowest ms |")
    print("|---|---|---|---|")
    for name, values in samples.items():
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")
    beyond = statistics.median(samples["media_watch_tasks beyond them"])
    met = beyond <= GOAL_MS
    print(
        f"\ngoal: at most {GOAL_MS:.0f} ms beyond the core dependencies: {'met' if met else 'MISSED'} ({beyond:.1f} ms)"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
