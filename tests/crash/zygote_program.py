"""The zygote: imports the library once, then forks a process for each request on its standard input. Opens no store."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import random
import runpy
import signal
import sys
import traceback
from typing import Any

from tests.crash import programs, services

__all__: list[str] = []

_PR_SET_PDEATHSIG = 1


def _run(request: dict[str, Any]) -> None:
    """In the child: call the function; never returns."""
    code = 1
    try:
        # Nothing outlives the tests, however they end.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        faulthandler.enable()
        random.seed()
        call = getattr(programs, request["call"], None) or getattr(services, request["call"])
        call(**request["arguments"])
        code = 0
    except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve until the standard input ends."""
    if len(sys.argv) > 1:
        path, _, name = sys.argv[1].rpartition(":")
        runpy.run_path(path)[name]()
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        if "reap" in request:
            answer = os.waitpid(request["reap"], 0)[1]
        else:
            answer = os.fork()
            if answer == 0:
                _run(request)
        sys.stdout.buffer.write(b"%d\n" % answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
